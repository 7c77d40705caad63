"""Denial and supposition: hand-written sentences, each with what it says of the word in brackets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.extraction.scope import REACH, ROLES, polarities, scopes


def said(marked: str) -> list[str]:
    """What a sentence says of each [bracketed] stretch."""
    text, spans, start = "", [], 0
    for character in marked:
        if character == "[":
            start = len(text)
        elif character == "]":
            spans.append((start, len(text)))
        else:
            text += character
    return list(polarities(text, (0, len(text)), spans))


@pytest.mark.parametrize(
    "marked",
    [
        "He denies [chest pain].",
        "There was no [fever], [chills] or [night sweats].",
        "Without [nausea] she recovered.",
        "No evidence of [metastasis] was seen.",
        "The patients did not develop [hepatitis].",
        "Neither [cough] nor [dyspnea] was reported.",
        "In the absence of [renal failure] it is safe.",
        "The wound was free of [infection].",
        "[Pneumonia] was ruled out.",
        "[Seizures] were not observed.",
        "[Arrhythmia] is unlikely.",
        "NO [FEVER]",
    ],
)
def test_denied(marked: str) -> None:
    """A trigger before or after denies what it governs, a whole list too."""
    assert set(said(marked)) == {"negated"}


@pytest.mark.parametrize(
    "marked",
    [
        "Suspected [pulmonary embolism].",
        "Findings suggestive of [lymphoma].",
        "We asked whether [asthma] is inherited.",
        "She is at risk for [stroke].",
        "A CT was done to rule out [appendicitis].",
        "[Tuberculosis] cannot be excluded.",
        "[Sepsis] was suspected.",
        "It may be [gout].",
    ],
)
def test_supposed(marked: str) -> None:
    """What is suspected, asked or guarded against is only supposed."""
    assert set(said(marked)) == {"hypothetical"}


@pytest.mark.parametrize(
    "marked",
    [
        "He has [asthma].",
        "No change in [hypertension] was seen.",
        "There was no significant difference in [mortality].",
        "Not only [asthma] but also [eczema] was found.",
        "There is no doubt that this is [cancer].",
        "The knot was seen in [edema].",
        "A gram-negative [sepsis] followed.",
        "[Non-small cell lung cancer] is common.",
    ],
)
def test_affirmed(marked: str) -> None:
    """Plain statements, phrases that only look like triggers, and triggers within other words leave things as they are."""
    assert set(said(marked)) == {"affirmed"}


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("No [fever] but [cough] was noted.", ["negated", "affirmed"]),
        ("He denies [pain]; [nausea] is present.", ["negated", "affirmed"]),
        ("[Rash] occurred, although [fever] was not observed.", ["affirmed", "negated"]),
        ("There was no [anemia] due to [leukemia].", ["negated", "affirmed"]),
        ("[Diabetes] without [ketoacidosis].", ["affirmed", "negated"]),
        ("He has [gout], which is not [arthritis].", ["affirmed", "negated"]),
        ("Possible [flu] and not [covid].", ["hypothetical", "negated"]),
    ],
)
def test_scopes_end(marked: str, expected: list[str]) -> None:
    """A contrast, a cause, a relative clause or a semicolon ends what a trigger governs."""
    assert said(marked) == expected


def test_a_trigger_inside_a_name_governs_nothing() -> None:
    """``Lack of`` in a name is part of the name."""
    assert said("[Lack of growth] with [anemia].") == ["affirmed", "affirmed"]


def test_a_trigger_governs_so_many_words_at_most() -> None:
    """Beyond the reach things are left as they are, on either side."""
    near, far = " ".join(["x"] * (REACH - 1)), " ".join(["x"] * REACH)
    assert said(f"no {near} [fever]") == ["negated"]
    assert said(f"no {far} [fever]") == ["affirmed"]
    assert said(f"[fever] {near} was ruled out") == ["negated"]
    assert said(f"[fever] {far} was ruled out") == ["affirmed"]


def test_spans_far_apart_are_each_told() -> None:
    """Scopes open and close along the sentence: one that has ended governs nothing after it, one inside another does."""
    assert said("no [a] but [b] and no [c]; possible [d], not [e] but [f]") == [
        "negated",
        "affirmed",
        "negated",
        "hypothetical",
        "negated",
        "affirmed",
    ]


def test_only_the_sentence_counts() -> None:
    """A denial in the sentence before says nothing of this one."""
    text = "No fever. Cough."
    assert polarities(text, (10, 16), [(10, 15)]) == ["affirmed"]


@given(st.lists(st.sampled_from([*ROLES, "fever", "x"]), max_size=12))
def test_scopes_lie_in_the_sentence(words: list[str]) -> None:
    """Whatever triggers a sentence is made of, what they govern lies in it."""
    text = " ".join(words)
    assert all(0 <= one.start <= one.end <= len(text) for one in scopes(text, (0, len(text))))
