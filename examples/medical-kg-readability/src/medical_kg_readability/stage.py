"""The stage type, its config, its record and its state key."""

from __future__ import annotations

from pydantic import Field

from medical_kg import ItemRejected, Model, Stage, StageContext, StageMetadata, StateKey
from medical_kg.documents.ir import Document
from medical_kg.documents.keys import DOCUMENTS
from medical_kg_readability.flesch import count


class Readability(Model):
    """The score of one document."""

    id: str
    root: str
    words: int
    reading_ease: float


class ReadabilityConfig(Model):
    """The config: a text of fewer than ``min_words`` words is rejected, since its score would say nothing."""

    min_words: int = Field(default=20, ge=1)


READABILITY: StateKey[list[Readability]] = StateKey(
    "readability", list[Readability], id="id", root="root", description="how hard each document is to read"
)


class ReadabilityStage(Stage[ReadabilityConfig]):
    """Scores each document by the Flesch reading ease."""

    metadata = StageMetadata(
        stage_type="readability",
        version="1.0.0",
        description="Scores how hard each document is to read.",
        reads=(DOCUMENTS,),
        writes=(READABILITY,),
        mode="item",
        config_model=ReadabilityConfig,
        output_counter=lambda out: {"scored": len(out[READABILITY])},
        cacheable=True,
    )

    def process(self, ctx: StageContext, item: Document) -> Readability:
        """Score one document; raises ``ItemRejected`` when it is too short."""
        counts = count(item.text)
        if counts.words < self.config.min_words:
            message = f"it has {counts.words} words, a score needs {self.config.min_words}"
            raise ItemRejected(message)
        ctx.logger.debug("scored %s", item.id)
        return Readability(id=item.id, root=item.root, words=counts.words, reading_ease=round(counts.reading_ease, 1))
