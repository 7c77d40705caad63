"""Folding: what must meet meets, what must not does not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.extraction.tokens import Folder, fold, row_of, tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tumours", "tumor"),
        ("Haemorrhages", "hemorrhage"),
        ("oedema", "Edema"),
        ("biopsies", "biopsy"),
        ("abscesses", "abscess"),
        ("psychoses", "psychosis"),
        ("metastases", "metastasis"),
        ("Crohn's disease", "Crohn disease"),
        ("Crohn\u2019s disease", "crohn diseases"),
        ("beta-blockers", "beta blocker"),
        ("\u03b2-blocker", "beta-blocker"),
        ("Sj\u00f6gren", "Sjogren"),
        ("non\u2010small\u2011cell", "non-small cell"),
    ],
)
def test_spellings_that_meet(one: str, other: str) -> None:
    """Case, plural, British spelling, accents, Greek letters, hyphens and possessives keep nothing apart."""
    assert row_of(one) == row_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("AIDS", "aid"), ("virus", "viru"), ("pelvis", "pelvi"), ("stress", "stres"), ("A, B", "A B"), ("5", "6")],
)
def test_spellings_that_stay_apart(one: str, other: str) -> None:
    """An acronym keeps its s, and so does a word that only ends in one; commas and numbers count."""
    assert row_of(one) != row_of(other)


@given(st.text(max_size=80))
def test_tokens_lie_in_order_and_hold_every_word(text: str) -> None:
    """Tokens are non-empty stretches of the text in order, and no letter or digit is lost but a possessive's s."""
    found = tokens(text, Folder())
    places = [(token.start, token.end) for token in found]
    assert all(start < end for start, end in places)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(places))
    held = "".join(text[start:end] for start, end in places)
    assert [one for one in text if one.isalnum() and one not in "sS"] == [
        one for one in held if one.isalnum() and one not in "sS"
    ]


@given(st.text(max_size=30))
def test_folding_is_the_same_for_a_kept_word(word: str) -> None:
    """A folder gives what ``fold`` gives, the first time, the second time, and after it forgot."""
    folder = Folder(most=1)
    assert folder(word) == folder(word) == fold(word)
    folder("x")
    assert folder(word) == fold(word)
