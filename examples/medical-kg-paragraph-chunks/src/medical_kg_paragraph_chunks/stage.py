"""The stage type ``chunk``: a chunk per paragraph, where the built-in one fills chunks up to a number of tokens.

It has the name, the reads and the writes of the built-in type, so that a pipeline may use either; only its config is its
own. Which one ``chunk`` means is said in ``medical_kg.toml`` or in the pipeline, never by the order of installation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from medical_kg import ItemRejected, Model, Stage, StageContext, StageMetadata
from medical_kg.documents.ir import Document, Section
from medical_kg.documents.keys import CHUNKS, DOCUMENTS
from medical_kg.documents.records import Chunk
from medical_kg.documents.sentences import sentences
from pydantic import Field


class ParagraphChunkConfig(Model):
    """What a pipeline may set under ``config``; any other field is refused while the pipeline is checked."""

    min_words: int = Field(default=20, ge=1, description="a shorter paragraph is joined with the next of its section")
    max_words: int = Field(default=120, ge=1, description="a longer one is cut where a sentence ends")


class Passage(NamedTuple):
    """A piece of a document's text, in characters (end exclusive)."""

    section: str
    start: int
    end: int


class ParagraphChunkStage(Stage[ParagraphChunkConfig]):
    """Cuts documents into chunks at their paragraphs."""

    metadata = StageMetadata(
        stage_type="chunk",
        version="1.0.0",  # of its behaviour: raise it when equal input gives other output
        description="Cuts documents into chunks at their paragraphs.",
        reads=(DOCUMENTS,),
        writes=(CHUNKS,),
        mode="item",
        flat=True,  # one document gives many chunks
        config_model=ParagraphChunkConfig,
        cacheable=True,
    )

    def process(self, ctx: StageContext, item: Document) -> list[Chunk]:
        """Return a document's chunks in reading order.

        Raises:
            ItemRejected: a paragraph lies outside the text. The document becomes a dead letter, the others go on.
        """
        if any(not 0 <= block.start <= block.end <= len(item.text) for block in item.blocks):
            message = f"a block of {item.id} lies outside its text of {len(item.text)} characters"
            raise ItemRejected(message)
        found = list(passages(item, self.config.min_words, self.config.max_words))
        ctx.logger.debug("%s has %d chunks", item.id, len(found))
        return [_chunk(item, number, passage) for number, passage in enumerate(found)]


def passages(document: Document, min_words: int, max_words: int) -> Iterator[Passage]:
    """Yield the pieces of a document, each within one section; together they hold all of its paragraphs."""
    for section in document.sections:
        for start, end in _joined(document, section, min_words):
            for first, last in _cut(document.text, start, end, max_words):
                yield Passage(section.title, first, last)


def _joined(document: Document, section: Section, min_words: int) -> Iterator[tuple[int, int]]:
    start = end = None
    for block in section.blocks:
        start, end = block.start if start is None else start, block.end
        if len(document.text[start:end].split()) >= min_words:
            yield start, end
            start = None
    if start is not None and end is not None:
        yield start, end


def _cut(text: str, start: int, end: int, max_words: int) -> Iterator[tuple[int, int]]:
    """Yield spans of whole sentences with at most ``max_words`` words; a longer sentence makes a span of its own."""
    begin = last = None
    for first, stop in sentences(text, start, end):
        if begin is not None and last is not None and len(text[begin:stop].split()) > max_words:
            yield begin, last
            begin = None
        begin, last = first if begin is None else begin, stop
    if begin is not None and last is not None:
        yield begin, last


def _chunk(document: Document, number: int, passage: Passage) -> Chunk:
    text = document.text[passage.start : passage.end]
    return Chunk(
        id=f"{document.id}#{number}",
        root=document.root,
        document=document.id,
        ordinal=number,
        start=passage.start,
        end=passage.end,
        section=passage.section,
        text=text,
        tokens=len(text.split()),
    )
