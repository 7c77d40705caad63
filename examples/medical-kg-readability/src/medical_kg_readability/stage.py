"""The stage type ``readability``, its config, and what it writes.

The contract of a stage is the docstring of ``medical_kg.orchestration.contract.stage``.
"""

from __future__ import annotations

from medical_kg import ItemRejected, Model, Stage, StageContext, StageMetadata, StateKey
from medical_kg.documents.ir import Document
from medical_kg.documents.keys import DOCUMENTS
from pydantic import Field

from medical_kg_readability.flesch import count


class Readability(Model):
    """A record of ``readability``: ``id`` is its own, ``root`` that of the input record it descends from."""

    id: str
    root: str
    words: int
    reading_ease: float


class ReadabilityConfig(Model):
    """What a pipeline may set under ``config``; any other field is refused while the pipeline is checked."""

    min_words: int = Field(default=20, ge=1, description="a text of fewer words is rejected: its score says nothing")


READABILITY: StateKey[list[Readability]] = StateKey(
    "readability", list[Readability], id="id", root="root", description="how hard each document is to read"
)


class ReadabilityStage(Stage[ReadabilityConfig]):
    """Scores how hard each document is to read."""

    metadata = StageMetadata(
        stage_type="readability",
        version="1.0.0",  # of its behaviour: raise it when equal input gives other output
        description="Scores how hard each document is to read.",
        reads=(DOCUMENTS,),
        writes=(READABILITY,),
        mode="item",
        config_model=ReadabilityConfig,
        output_counter=lambda out: {"scored": len(out[READABILITY])},
        cacheable=True,
    )

    def process(self, ctx: StageContext, item: Document) -> Readability:
        """Score one document.

        Raises:
            ItemRejected: the text is too short. The item becomes a dead letter, the others go on.
        """
        counts = count(item.text)
        if counts.words < self.config.min_words:
            message = f"it has {counts.words} words, a score needs {self.config.min_words}"
            raise ItemRejected(message)
        ctx.logger.debug("scored %s", item.id)
        return Readability(id=item.id, root=item.root, words=counts.words, reading_ease=round(counts.reading_ease, 1))
