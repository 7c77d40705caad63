"""Abbreviations: Schwartz and Hearst's algorithm on sentences of every shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.extraction.abbreviations import definitions


def pairs(text: str) -> list[tuple[str, str]]:
    return [(one.short, one.long) for one in definitions(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chronic obstructive pulmonary disease (COPD) is common", [("COPD", "chronic obstructive pulmonary disease")]),
        ("the tumour necrosis factor alpha (TNF-alpha) level", [("TNF-alpha", "tumour necrosis factor alpha")]),
        (
            "Gallamine (GLL) and 3-quinuclidinyl benzilate (QNB)",
            [("GLL", "Gallamine"), ("QNB", "3-quinuclidinyl benzilate")],
        ),
        ("the adenomatous polyposis coli (APC; 5q21) gene", [("APC", "adenomatous polyposis coli")]),
        ("heat shock proteins [HSPs] rose", [("HSPs", "heat shock proteins")]),
        (
            "patients with COPD (chronic obstructive pulmonary disease)",
            [("COPD", "chronic obstructive pulmonary disease")],
        ),
        ("acquired (in adults) immune deficiency syndrome", []),
        ("heart failure (see below) was seen", []),
        ("a dose of 5 mg (n = 12)", []),
        ("Heart failure was treated. Good results (HF) came", []),
        ("the drug (the drug)", []),
        ("seizures (12%)", []),
        ("lithium (Li) carbonate", [("Li", "lithium")]),
        ("()", []),
        ("(A)", []),
        ("(AB) at the beginning", []),
    ],
)
def test_sentences_read_by_hand(text: str, expected: list[tuple[str, str]]) -> None:
    """Each definition with its shortest long form; asides, figures and other sentences' words give none."""
    assert pairs(text) == expected


@given(st.text(alphabet="abAB ()[];.-1", max_size=120))
def test_places_hold_the_words(text: str) -> None:
    """Whatever the text, each definition's places hold its short and long form."""
    for one in definitions(text):
        assert text[one.short_start : one.short_end] == one.short
        assert text[one.long_start : one.long_end] == one.long
        assert one.long_end <= one.short_start or one.short_end <= one.long_start


def test_only_a_part_of_the_text_is_read() -> None:
    """A long form does not begin before the part that is asked for."""
    text = "acute renal failure (ARF) again"
    assert [one.long for one in definitions(text, 0, len(text))] == ["acute renal failure"]
    assert list(definitions(text, 6, len(text))) == []
