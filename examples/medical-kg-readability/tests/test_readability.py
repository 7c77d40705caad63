"""The stage type ``readability``: the rules that hold for every stage type, and what this one does."""

from __future__ import annotations

import pytest
from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.testing import StageCase, run_stage
from medical_kg.testing.conformance import StageConformance

from medical_kg_readability import ReadabilityStage
from medical_kg_readability.flesch import count, syllables

TEXT = "The cat sat on the mat. It was a sunny day."


def make_document(ident: str, text: str) -> Document:
    """A record of the state key ``documents``."""
    return Document(
        id=ident,
        root=ident,
        kind="text",
        title="",
        text=text,
        sections=(Section(id="s1", blocks=(Block(id="b1", start=0, end=len(text)),)),),
        provenance=Provenance(source="example", uri="memory:"),
    )


class TestConformance(StageConformance):
    """The rules that hold for every stage type, each a test of its own."""

    @pytest.fixture
    def case(self) -> StageCase:
        """Records that it can work on, and one that it must reject."""
        return StageCase(
            ReadabilityStage,
            config={"min_words": 5},
            reads={"documents": [make_document("a", TEXT), make_document("b", TEXT * 2)]},
            bad_item=make_document("c", "Too short."),
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


def test_a_short_text_is_a_dead_letter_and_the_rest_is_scored() -> None:
    """What is too short is rejected by itself, with the reason."""
    run = run_stage(
        ReadabilityStage, {"min_words": 5}, documents=[make_document("a", "Too short."), make_document("b", TEXT)]
    )
    assert [(record.id, record.words) for record in run.output["readability"]] == [("b", 11)]
    assert [(letter.item_id, letter.message) for letter in run.dead_letters] == [
        ("a", "it has 2 words, a score needs 5")
    ]
    assert run.counts == {"scored": 1}
