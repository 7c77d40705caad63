"""``chunk``: cuts documents into spans that fit the embedder, at sentence ends where there are any.

A document's sections are tokenised once each and cut between tokens: at the last sentence end that fits, else at white
space, else between a word and a punctuation mark, else between tokens. The embedder's own tokens are counted, so no
chunk is longer than its budget.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field, model_validator

from medical_kg import ItemRejected, Model, PluginName, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import CHUNKS, DOCUMENTS
from medical_kg.documents.records import Chunk
from medical_kg.documents.sentences import sentences
from medical_kg.documents.spans import pack
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.ir import Document, Section


class ChunkConfig(Model):
    """Config of ``chunk``: whose tokens are counted, how many make a chunk, how many it shares with the one before."""

    embedder: Annotated[str, PluginName("medical_kg.embedders")] = Field(
        default="minilm", description="whose tokens are counted"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="the embedder's own options")
    max_tokens: int = Field(default=200, ge=16, description="tokens of a chunk, at most")
    overlap: int = Field(default=0, ge=0, description="tokens repeated from the end of the chunk before")

    @model_validator(mode="after")
    def _overlap_leaves_room(self) -> ChunkConfig:
        if self.overlap > self.max_tokens // 2:
            msg = f"overlap {self.overlap} must be at most half of max_tokens {self.max_tokens}"
            raise ValueError(msg)
        return self


class ChunkStage(Stage[ChunkConfig]):
    """Cuts documents into chunks."""

    metadata = StageMetadata(
        stage_type="chunk",
        version="1.0.0",
        description="Cuts documents into spans that fit the embedder, at sentence ends where possible.",
        reads=(DOCUMENTS,),
        writes=(CHUNKS,),
        mode="item",
        flat=True,
        config_model=ChunkConfig,
        needs=("plugins",),
    )

    def open(self, ctx: StageContext) -> None:
        """Get the embedder's tokenizer.

        Raises:
            UsageError: chunks would be longer than the embedder takes in, so their ends would be lost.
        """
        name = self.config.embedder
        self._embedder = ctx.plugins.get("medical_kg.embedders", name)(self.config.options)
        if self.config.max_tokens > self._embedder.max_tokens:
            msg = (
                f"max_tokens {self.config.max_tokens} is more than embedder {name!r} takes in "
                f"({self._embedder.max_tokens}); lower max_tokens or choose another embedder"
            )
            raise UsageError(msg)

    def process(self, ctx: StageContext, item: Document, **reads: Any) -> list[Chunk]:
        """Return the document's chunks in reading order."""
        del ctx, reads
        chunks: list[Chunk] = []
        for region in _regions(item):
            for start, end, tokens in self._cut(item, region):
                chunk = _chunk(item, region.title, len(chunks), (start, end), tokens)
                chunks.append(chunk)
        return chunks

    def _cut(self, document: Document, region: _Region) -> Iterator[tuple[int, int, int]]:
        text = document.text[region.start : region.end]
        starts = _sentence_starts(text, [start - region.start for start in region.block_starts])
        for span in pack(text, self._embedder.token_offsets, starts, self.config.max_tokens, self.config.overlap):
            yield region.start + span.start, region.start + span.end, span.tokens


class _Region(NamedTuple):
    """The part of a document's text that one section takes, up to where the next begins."""

    title: str
    start: int
    end: int
    block_starts: tuple[int, ...]


def _regions(document: Document) -> list[_Region]:
    """Share the whole text among the sections, so that what stands between blocks belongs to one of them."""
    size = len(document.text)
    if any(not 0 <= block.start <= block.end <= size for block in document.blocks):
        msg = f"document {document.id}: a block lies outside its text of {size} characters; run ir-validation before"
        raise ItemRejected(msg)
    sections = [section for section in document.sections if section.blocks]
    sections.sort(key=lambda section: section.blocks[0].start)
    if not sections:
        return [_Region("", 0, size, ())]
    borders = [0, *(section.blocks[0].start for section in sections[1:]), size]
    return [
        _Region(
            _title(section), start, end, tuple(block.start for block in section.blocks if start <= block.start < end)
        )
        for section, (start, end) in zip(sections, pairwise(borders), strict=True)
    ]


def _title(section: Section) -> str:
    return " > ".join(part for part in (*section.path, section.title) if part)


def _sentence_starts(text: str, block_starts: list[int]) -> list[int]:
    borders = sorted({0, *block_starts, len(text)})
    return [start for first, last in pairwise(borders) for start, _ in sentences(text, first, last)]


def _chunk(document: Document, section: str, ordinal: int, span: tuple[int, int], tokens: int) -> Chunk:
    start, end = span
    return Chunk(
        id=f"{document.id}#{ordinal}",
        root=document.root,
        document=document.id,
        ordinal=ordinal,
        start=start,
        end=end,
        section=section,
        text=document.text[start:end],
        tokens=tokens,
    )
