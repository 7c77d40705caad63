"""The stage alone: no engine, no Dagster."""

from __future__ import annotations

import pytest
from medical_kg_readability import ReadabilityStage
from medical_kg_readability.flesch import count, syllables

from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.testing import run_stage

TEXT = "The cat sat on the mat. It was a sunny day."


def document(ident: str, text: str) -> Document:
    """A document of one block."""
    return Document(
        id=ident,
        root=f"root-{ident}",
        kind="text",
        title="",
        text=text,
        sections=(Section(id="s0", blocks=(Block(id="s0.b0", start=0, end=len(text)),)),),
        provenance=Provenance(source="test", uri="memory:"),
    )


@pytest.mark.parametrize(
    ("word", "expected"), [("cat", 1), ("table", 2), ("trial", 1), ("disease", 2), ("see", 1), ("the", 1)]
)
def test_syllables_are_groups_of_vowels(word: str, expected: int) -> None:
    """A syllable is a group of vowels; a final e is silent but in -le and -ee."""
    assert syllables(word) == expected


def test_reading_ease_is_flesch_s_formula() -> None:
    """206.835 - 1.015 x words per sentence - 84.6 x syllables per word."""
    counts = count(TEXT)
    assert counts == (11, 2, 12)
    assert counts.reading_ease == pytest.approx(206.835 - 1.015 * 11 / 2 - 84.6 * 12 / 11)


def test_each_document_gets_a_score_under_its_own_id() -> None:
    """One record per document, with the document's id and root, and counted as scored."""
    result = run_stage(ReadabilityStage, {"min_words": 5}, documents=[document("a", TEXT), document("b", TEXT)])
    assert [(record.id, record.root) for record in result.output["readability"]] == [("a", "root-a"), ("b", "root-b")]
    assert result.counts == {"scored": 2}


def test_a_short_text_is_a_dead_letter_and_the_rest_goes_on() -> None:
    """What is too short is rejected by itself, with the reason."""
    result = run_stage(ReadabilityStage, {"min_words": 5}, documents=[document("a", "Too short."), document("b", TEXT)])
    assert [record.id for record in result.output["readability"]] == ["b"]
    assert [(letter.item_id, letter.message) for letter in result.dead_letters] == [
        ("a", "it has 2 words, a score needs 5")
    ]
