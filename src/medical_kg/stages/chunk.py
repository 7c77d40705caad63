"""``chunk``: cuts documents into spans that fit the embedder.

A document's sections are tokenised once each and cut between tokens: at the last sentence end that fits, else at white
space, else between a word and a punctuation mark, else between tokens. A table is kept whole where it fits, and cut between
rows where it does not. The embedder's own tokens are counted, those of the headings put before the text too, so no chunk is
longer than its budget.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from medical_kg import ItemRejected, Model, PluginName, PluginOptions, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import CHUNKS, DOCUMENTS
from medical_kg.documents.records import Chunk
from medical_kg.documents.sentences import sentences
from medical_kg.documents.spans import pack
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.ir import Block, Document, Section

CONTEXT_SHARE = 4
"""Headings may take one part in so many of a chunk's tokens."""
ARROW = " > "


class ChunkConfig(Model):
    """Config of ``chunk``: where to cut, whose tokens are counted, how many make a chunk and are shared by two."""

    strategy: Literal["sentence", "section", "fixed"] = Field(
        default="sentence",
        description="sentence: as many whole sentences of a section as fit; section: whole sections, else whole "
        "paragraphs, else whole sentences; fixed: the same number of tokens each, across sections",
    )
    context: Literal["headings", "none"] = Field(
        default="headings", description="whether the headings above a chunk are put before it for the embedder"
    )
    embedder: Annotated[str, PluginName("medical_kg.embedders")] = Field(
        default="minilm", description="whose tokens are counted"
    )
    options: Annotated[dict[str, Any], PluginOptions("embedder")] = Field(
        default_factory=dict, description="the embedder's own options"
    )
    max_tokens: int = Field(default=200, ge=16, description="tokens of a chunk with its headings, at most")
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
        version="1.1.0",
        description="Cuts documents into spans that fit the embedder, at sentence ends where possible.",
        reads=(DOCUMENTS,),
        writes=(CHUNKS,),
        mode="item",
        flat=True,
        config_model=ChunkConfig,
        needs=("http", "plugins"),
    )

    def open(self, ctx: StageContext) -> None:
        """Get the embedder's tokenizer.

        Raises:
            UsageError: chunks would be longer than the embedder takes in, so their ends would be lost.
        """
        name = self.config.embedder
        self._embedder = ctx.plugins.get("medical_kg.embedders", name)(self.config.options)
        self._embedder.connect(ctx.http)
        if self.config.max_tokens > self._embedder.max_tokens:
            msg = (
                f"max_tokens {self.config.max_tokens} is more than embedder {name!r} takes in "
                f"({self._embedder.max_tokens}); lower max_tokens or choose another embedder"
            )
            raise UsageError(msg)

    def process(self, ctx: StageContext, item: Document, **reads: Any) -> list[Chunk]:
        """Return the document's chunks in reading order."""
        del ctx, reads
        regions = _regions(item)
        whole = [_joined(regions)] if self.config.strategy == "fixed" else regions
        chunks: list[Chunk] = []
        for region in whole:
            headings = self._headings(item, region)
            reserved = self._count(headings)
            for start, end, tokens in self._cut(item, region, reserved):
                section = _section_at(regions, start)
                context = _context(headings, item.text[start:end])
                total = tokens + (reserved if context == ARROW.join(headings) else self._count(context))
                chunks.append(_chunk(item, section, len(chunks), (start, end), total, context))
        return chunks

    def _cut(self, document: Document, region: _Region, reserved: int) -> Iterator[tuple[int, int, int]]:
        text = document.text[region.start : region.end]
        borders, minor = _borders(text, region, self.config.strategy)
        budget = self.config.max_tokens - reserved
        overlap = min(self.config.overlap, budget // 2)
        for span in pack(text, self._embedder.token_offsets, borders, budget, overlap, minor):
            yield region.start + span.start, region.start + span.end, span.tokens

    def _headings(self, document: Document, region: _Region) -> list[str]:
        """Return the title and the headings above, as many of the nearest as their share of a chunk has room for."""
        if self.config.context == "none":
            return []
        above = [document.title, *(() if self.config.strategy == "fixed" else region.titles)]
        headings = list(dict.fromkeys(" ".join(one.split()) for one in above if one.strip()))
        while headings and self._count(headings) > self.config.max_tokens // CONTEXT_SHARE:
            # The title says most, then the nearest heading: those between go first.
            del headings[1 if len(headings) > 2 else -1]  # noqa: PLR2004  # the title, the nearest, and one between
        return headings

    def _count(self, headings: list[str] | str) -> int:
        text = headings if isinstance(headings, str) else ARROW.join(headings)
        return len(self._embedder.token_offsets(text)) if text else 0


class _Region(NamedTuple):
    """The part of a document's text that one section takes, up to where the next begins."""

    titles: tuple[str, ...]
    start: int
    end: int
    blocks: tuple[Block, ...]


def _regions(document: Document) -> list[_Region]:
    """Share the whole text among the sections, so that what stands between blocks belongs to one of them."""
    size = len(document.text)
    if any(not 0 <= block.start <= block.end <= size for block in document.blocks):
        msg = f"document {document.id}: a block lies outside its text of {size} characters; run ir-validation before"
        raise ItemRejected(msg)
    sections = [section for section in document.sections if section.blocks]
    sections.sort(key=lambda section: section.blocks[0].start)
    if not sections:
        return [_Region((), 0, size, ())]
    borders = [0, *(section.blocks[0].start for section in sections[1:]), size]
    return [
        _Region(_titles(section), start, end, tuple(block for block in section.blocks if start <= block.start < end))
        for section, (start, end) in zip(sections, pairwise(borders), strict=True)
    ]


def _joined(regions: list[_Region]) -> _Region:
    return _Region((), regions[0].start, regions[-1].end, ())


def _section_at(regions: list[_Region], start: int) -> str:
    found = next((region for region in regions if region.start <= start < region.end), regions[-1])
    return ARROW.join(found.titles)


def _titles(section: Section) -> tuple[str, ...]:
    return tuple(part for part in (*section.path, section.title) if part)


def _borders(text: str, region: _Region, strategy: str) -> tuple[list[int], list[int]]:
    """Return where a chunk had better end, and where it may end if need be, in the region's text."""
    if strategy == "fixed":
        return [], []
    starts = [block.start - region.start for block in region.blocks]
    ends = sorted({0, *starts, len(text)})
    tables = {block.start - region.start for block in region.blocks if block.kind == "table"}
    whole: list[int] = []
    rows: list[int] = []
    for first, last in pairwise(ends):
        if first in tables:
            rows += _rows(text, first, last)
        else:
            whole += _sentences(text, first, last)
    return (starts, [*whole, *rows]) if strategy == "section" else ([*starts, *whole], rows)


def _sentences(text: str, first: int, last: int) -> Iterator[int]:
    for start, _ in sentences(text, first, last):
        yield start


def _rows(text: str, first: int, last: int) -> Iterator[int]:
    start = first
    while start < last:
        yield start
        found = text.find("\n", start, last)
        start = found + 1 if found >= 0 else last


def _context(headings: list[str], text: str) -> str:
    """Return the headings that the text does not begin with itself."""
    first = {" ".join(line.split()) for line in text.split("\n\n", 2)[:2]}
    return ARROW.join(heading for heading in headings if heading not in first)


def _chunk(  # one argument per thing known of a chunk
    document: Document, section: str, ordinal: int, span: tuple[int, int], tokens: int, context: str
) -> Chunk:
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
        context=context,
    )
