"""The stage type ``chunk`` by paragraph: the rules that hold for every stage type, and what this one does."""

from __future__ import annotations

import pytest
from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.testing import StageCase, run_stage
from medical_kg.testing.conformance import StageConformance

from medical_kg_paragraph_chunks import ParagraphChunkStage


def make_document(ident: str, *paragraphs: str) -> Document:
    """A document of one section."""
    builder = DocumentBuilder()
    builder.section("Results")
    for paragraph in paragraphs:
        builder.block(paragraph)
    return builder.build(
        id=ident, root=ident, kind="text", title="", provenance=Provenance(source="example", uri="memory:")
    )


def broken_document() -> Document:
    """A document whose one block ends beyond its text."""
    section = Section(id="s1", blocks=(Block(id="b1", start=0, end=99),))
    return make_document("c", "Short.").model_copy(update={"sections": (section,)})


def texts(document: Document, **config: int) -> list[str]:
    """The texts of a document's chunks."""
    return [chunk.text for chunk in run_stage(ParagraphChunkStage, config, documents=[document]).output["chunks"]]


class TestConformance(StageConformance):
    """The rules that hold for every stage type, each a test of its own."""

    @pytest.fixture
    def case(self) -> StageCase:
        """Records that it can work on, and one that it must reject."""
        return StageCase(
            ParagraphChunkStage,
            config={"min_words": 3, "max_words": 6},
            reads={"documents": [make_document("a", "One two three.", "Four five six."), make_document("b", "Seven.")]},
            bad_item=broken_document(),
        )


def test_a_paragraph_is_a_chunk() -> None:
    """Each paragraph of enough words is a chunk of its own; a title goes with what follows it."""
    document = make_document("a", "One two three.", "Four five six.")
    assert texts(document, min_words=3) == ["Results\n\nOne two three.", "Four five six."]


def test_what_is_short_is_joined_with_the_next() -> None:
    """Short paragraphs gather until there are enough words; the last of a section stands as it is."""
    document = make_document("a", "One.", "Two three four.", "Five.")
    assert texts(document, min_words=5) == ["Results\n\nOne.\n\nTwo three four.", "Five."]


def test_what_is_long_is_cut_where_sentences_end() -> None:
    """A long paragraph is cut between sentences; no sentence is."""
    document = make_document("a", "One two three. Four five six. Seven eight nine ten eleven twelve.")
    assert texts(document, min_words=1, max_words=5) == [
        "Results",
        "One two three.",
        "Four five six.",
        "Seven eight nine ten eleven twelve.",
    ]


def test_a_chunk_says_where_it_stands() -> None:
    """The text between a chunk's offsets is its text."""
    document = make_document("a", "One two three.", "Four five six.")
    chunks = run_stage(ParagraphChunkStage, {"min_words": 3}, documents=[document]).output["chunks"]
    assert [document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks] == [True, True]
    assert [(chunk.id, chunk.root, chunk.ordinal, chunk.section) for chunk in chunks] == [
        ("a#0", "a", 0, "Results"),
        ("a#1", "a", 1, "Results"),
    ]
