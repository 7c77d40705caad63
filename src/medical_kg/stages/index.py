"""``index``: makes documents, chunks and vectors searchable in a store."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from medical_kg import Model, PluginName, Stage, StageContext, StageMetadata, optional
from medical_kg.documents.ir import identifiers_like
from medical_kg.documents.keys import CHUNKS, DOCUMENTS, EMBEDDINGS, INDEX_RECEIPT, REMOVED
from medical_kg.documents.records import IndexReceipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Chunk, Embedding, RemovedRoot
    from medical_kg.stores.contract import IndexStore


class IndexConfig(Model):
    """Config of ``index``: which store."""

    store: Annotated[str, PluginName("medical_kg.stores")] = Field(
        default="database", description="where the index is kept"
    )


def _count(output: Mapping[Any, Any]) -> dict[str, int]:
    receipt: IndexReceipt = output[INDEX_RECEIPT]
    return {
        "documents": receipt.documents,
        "chunks": receipt.chunks,
        "vectors": receipt.vectors,
        "replaced": receipt.replaced,
        "removed": receipt.removed,
        "refused": receipt.refused,
    }


class IndexStage(Stage[IndexConfig]):
    """Replaces everything the store holds of the batch's documents, and drops what is gone from the source.

    Every document's root is replaced, also one that has no chunks any more. A root that a newer submission has
    written or removed is left as it is.
    """

    metadata = StageMetadata(
        stage_type="index",
        version="1.0.0",
        description="Makes documents, chunks and vectors searchable.",
        reads=(DOCUMENTS, CHUNKS, optional(EMBEDDINGS), optional(REMOVED)),
        writes=(INDEX_RECEIPT,),
        mode="batch",
        config_model=IndexConfig,
        output_counter=_count,
        keeps=True,
        needs=("workspace", "plugins"),
    )

    def run(self, ctx: StageContext, **reads: Any) -> IndexReceipt:
        """Write the batch; any error of the store fails the stage."""
        with closing(self._index(ctx)) as index:
            return self._write(ctx, index, **reads)

    def kept(self, ctx: StageContext, root: str) -> Mapping[str, int]:
        """Count the rows of a root."""
        with closing(self._index(ctx)) as index:
            return index.kept(root)

    def forget(self, ctx: StageContext, root: str) -> Mapping[str, int]:
        """Erase a root."""
        with closing(self._index(ctx)) as index:
            return index.erase(root)

    def roots_named(self, ctx: StageContext, name: str) -> tuple[str, ...]:
        """Find a document by any of its identifiers."""
        with closing(self._index(ctx)) as index:
            found = map(index.document, identifiers_like(name))
            return tuple(dict.fromkeys(document.root for document in found if document))

    def _index(self, ctx: StageContext) -> IndexStore:
        store = ctx.plugins.get("medical_kg.stores", self.config.store)(ctx.workspace.database_url)
        index: IndexStore = store.index()
        return index

    def _write(
        self,
        ctx: StageContext,
        index: IndexStore,
        documents: Sequence[Document],
        chunks: Sequence[Chunk],
        embeddings: Sequence[Embedding] | None = None,
        removed: Sequence[RemovedRoot] | None = None,
    ) -> IndexReceipt:
        here = {document.root for document in documents}
        gone = index.remove((one.id for one in removed or () if one.id not in here), version=ctx.sequence)
        written = index.replace(documents, chunks, embeddings or (), version=ctx.sequence)
        refused = (*gone.refused, *written.refused)
        if gone.removed:
            ctx.logger.info("removed %d root(s) that are gone from the source", gone.removed)
        if refused:
            ctx.logger.warning(
                "%d root(s) were left alone: a newer submission wrote or removed them (%s)",
                len(refused),
                ", ".join(refused[:3]),
            )
        return IndexReceipt(
            store=self.config.store,
            replaced=written.replaced,
            removed=gone.removed,
            refused=len(refused),
            **written.rows,
        )
