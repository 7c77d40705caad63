"""``knowledge-graph``: puts entities and claims into a graph store, replacing what their roots said before."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from medical_kg import Model, PluginName, Stage, StageContext, StageMetadata, optional
from medical_kg.documents.keys import CLAIMS, DOCUMENTS, ENTITIES, GRAPH_RECEIPT, REMOVED
from medical_kg.documents.records import GraphReceipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Claim, Entity, RemovedRoot
    from medical_kg.stores.contract import GraphStore

DOOR = "medical_kg.stores"


class KnowledgeGraphConfig(Model):
    """``store`` names a plugin of the door ``medical_kg.stores`` that offers a graph."""

    store: Annotated[str, PluginName(DOOR)] = Field(default="database", description="where the graph is kept")


class KnowledgeGraphStage(Stage[KnowledgeGraphConfig]):
    """Writes a batch into the graph; writing it again leaves the same rows.

    All rows of the batch's roots are replaced: those of the documents where the stage can read them, so that a document
    without facts clears what an earlier version of it said, else those of the entities and claims. A root that a newer
    submission has written or removed is left as it is.
    """

    metadata = StageMetadata(
        stage_type="knowledge-graph",
        version="1.1.0",
        description="Writes entities and claims into the knowledge graph, merged by node, with provenance on each edge.",
        reads=(ENTITIES, CLAIMS, optional(DOCUMENTS), optional(REMOVED)),
        writes=(GRAPH_RECEIPT,),
        config_model=KnowledgeGraphConfig,
        output_counter=lambda output: {
            "nodes": output[GRAPH_RECEIPT].nodes,
            "edges": output[GRAPH_RECEIPT].edges,
            "removed": output[GRAPH_RECEIPT].removed,
            "refused": output[GRAPH_RECEIPT].refused,
        },
        keeps=True,
        needs=("plugins", "workspace"),
    )

    def run(
        self,
        ctx: StageContext,
        *,
        entities: Sequence[Entity] = (),
        claims: Sequence[Claim] = (),
        documents: Sequence[Document] | None = None,
        removed: Sequence[RemovedRoot] | None = None,
        **reads: Any,
    ) -> GraphReceipt:
        """Write the batch; the receipt says what the graph now holds for it."""
        del reads
        roots = dict.fromkeys(record.root for records in (documents or (), entities, claims) for record in records)
        with closing(self._graph(ctx)) as graph:
            gone = graph.remove((root.id for root in removed or () if root.id not in roots), version=ctx.sequence)
            written = graph.replace(list(roots), entities, claims, version=ctx.sequence)
        refused = (*gone.refused, *written.refused)
        _tell(ctx, gone.removed, refused)
        return GraphReceipt(
            store=self.config.store,
            replaced=written.replaced,
            removed=gone.removed,
            refused=len(refused),
            **written.rows,
        )

    def kept(self, ctx: StageContext, root: str) -> Mapping[str, int]:
        """Count what a root says."""
        with closing(self._graph(ctx)) as graph:
            return graph.kept(root)

    def forget(self, ctx: StageContext, root: str) -> Mapping[str, int]:
        """Erase what a root says."""
        with closing(self._graph(ctx)) as graph:
            return graph.erase(root)

    def _graph(self, ctx: StageContext) -> GraphStore:
        store = ctx.plugins.get(DOOR, self.config.store)(ctx.workspace.database_url)
        graph: GraphStore = store.graph()
        return graph


def _tell(ctx: StageContext, removed: int, refused: Sequence[str]) -> None:
    if removed:
        ctx.logger.info("removed %d root(s) that are gone from the source", removed)
    if refused:
        ctx.logger.warning(
            "%d root(s) were left alone: a newer submission wrote or removed them (%s)",
            len(refused),
            ", ".join(refused[:3]),
        )
