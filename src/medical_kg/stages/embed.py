"""``embed``: gives every chunk a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from medical_kg import Model, PluginName, PluginOptions, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import CHUNKS, EMBEDDINGS
from medical_kg.documents.records import Embedding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg.documents.records import Chunk


class EmbedConfig(Model):
    """Config of ``embed``: which embedder, and its own options."""

    embedder: Annotated[str, PluginName("medical_kg.embedders")] = Field(
        default="minilm", description="what turns texts into vectors"
    )
    options: Annotated[dict[str, Any], PluginOptions("embedder")] = Field(
        default_factory=dict, description="the embedder's own options"
    )


class EmbedStage(Stage[EmbedConfig]):
    """Gives every chunk a vector, and says what made it."""

    metadata = StageMetadata(
        stage_type="embed",
        version="1.0.0",
        description="Turns each chunk into a vector.",
        reads=(CHUNKS,),
        writes=(EMBEDDINGS,),
        mode="item",
        items_per_call=32,
        config_model=EmbedConfig,
        cacheable=True,
        needs=("http", "plugins"),
    )

    def open(self, ctx: StageContext) -> None:
        """Get the embedder; it loads its model at the first chunk."""
        self._embedder = ctx.plugins.get("medical_kg.embedders", self.config.embedder)(self.config.options)
        self._embedder.connect(ctx.http)

    def process_many(self, ctx: StageContext, items: Sequence[Chunk], **reads: Any) -> list[Embedding]:
        """Return one embedding per chunk, in order."""
        del ctx, reads
        vectors = self._embedder.embed_documents([chunk.in_context for chunk in items])
        identity = self._embedder.identity
        return [
            Embedding(id=chunk.id, root=chunk.root, embedder=identity, vector=vector)
            for chunk, vector in zip(items, vectors, strict=True)
        ]
