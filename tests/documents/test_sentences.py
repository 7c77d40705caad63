from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medical_kg.documents.sentences import sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "text",
    [
        "The dose was 3.5 mg per day.",
        "Drugs, e.g. Metformin, were stopped.",
        "Aspirin vs. Placebo was compared.",
        "See Fig. 2 and Tab. 3 for details.",
        "Growth of E. coli was slow.",
        "Dr. Smith and Prof. A. B. Jones agreed.",
        "Smith et al. 2004 found none.",
        "i.v. Heparin was given b.i.d. Monday.",
        "Cells (approx. 5 x 10.2) died.",
        "It fell ... then it stayed.",
        "1. Introduction",
    ],
)
def test_abbreviations_initials_and_numbers_do_not_end_a_sentence(text: str) -> None:
    """A full stop inside or after an abbreviation, an initial or a number is no sentence end."""
    assert split(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It worked. We stopped.", ["It worked.", "We stopped."]),
        ("P was 0.05. No effect was seen.", ["P was 0.05.", "No effect was seen."]),
        ('He said "no!" Then he left.', ['He said "no!"', "Then he left."]),
        ("Really? Yes! (Indeed.) 12 men came.", ["Really?", "Yes!", "(Indeed.)", "12 men came."]),
        ("A heading\n\nthe text", ["A heading", "the text"]),
        ("\u4e00\u3002\u4e8c\uff01\u4e09", ["\u4e00\u3002", "\u4e8c\uff01", "\u4e09"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences_end_at_marks_and_empty_lines(text: str, expected: list[str]) -> None:
    """Marks before a new sentence, full-width marks and empty lines end a sentence."""
    assert split(text) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(st.text(alphabet=st.sampled_from("aA1 .!?\n\"')\u3002\xe9\u200b")))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    """The spans are in order, apart, trimmed, and hold every character that is not white space."""
    spans = list(sentences(text))
    assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())
    assert all(text[start:end].strip() == text[start:end] for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))


def test_a_part_of_the_text_keeps_its_offsets() -> None:
    """Spans of a part are offsets into the whole text."""
    text = "Skip me. One. Two. Skip."
    assert [text[start:end] for start, end in sentences(text, 9, 18)] == ["One.", "Two."]
