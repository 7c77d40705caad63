"""Concepts in text: longest wins, nothing hides what holds, short and common words, abbreviations."""

from __future__ import annotations

import itertools

import pytest
from given_vocabulary import Given
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.extraction.abbreviations import definitions
from medical_kg.extraction.lexicon import Concept, build
from medical_kg.extraction.mentions import Finder, Found, longest
from medical_kg.extraction.tokens import row_of
from medical_kg.vocabularies.contract import Term

TERMS = [
    Term("D:1", "Lung Cancer", ("lung neoplasms",), kind="condition"),
    Term("D:2", "Cancer", kind="condition"),
    Term("D:3", "small cell lung cancer syndrome", kind="condition"),
    Term("D:4", "Wiskott-Aldrich syndrome", ("WAS",), kind="condition"),
    Term("D:5", "Von Hippel-Lindau disease", ("VHL",), kind="condition"),
    Term("D:6", "Acute Renal Failure", kind="condition"),
    Term("D:7", "Leukodystrophy", kind="condition"),
    Term("D:8", "E. coli infection", kind="condition"),
    Term("C:1", "Methoxyflurane", kind="chemical"),
    Term("C:2", "Acetic acid", kind="chemical"),
    Term("C:3", "Lithium", kind="chemical"),
    Term("G:1", "VHL", ("WT1",), kind="gene"),
    Term("G:2", "SET", kind="gene"),
]
FINDER = Finder(build([Given(TERMS)]))


def found(text: str, finder: Finder = FINDER) -> list[tuple[str, str]]:
    return [
        (text[one.start : one.end], (one.concept.identifiers or (one.concept.name,))[0])
        for one in finder.find(text, [(0, len(text))])
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Small cell lung cancers were seen", [("lung cancers", "d:1")]),
        ("lung-cancer and cancer", [("lung-cancer", "d:1"), ("cancer", "d:2")]),
        ("precancer, cancerous", []),
        ("the WAS gene was found", [("WAS", "d:4")]),
        ("THIS WAS FOUND", []),
        ("wt1 and WT1", [("WT1", "g:1")]),
        ("a set of three; the SET protein", [("SET", "g:2")]),
        ("VHL", []),
        ("3-methoxyflurane and methoxyflurane", [("methoxyflurane", "c:1")]),
        ("methoxyflurane-induced", [("methoxyflurane", "c:1")]),
        ("(2,4-dichlorophenoxy)acetic acid", []),
        ("an E. coli infection", [("E. coli infection", "d:8")]),
        ("", []),
    ],
)
def test_texts_read_by_hand(text: str, expected: list[tuple[str, str]]) -> None:
    """Longest wins, words are whole, acronyms need their case and one kind, systematic names are not taken apart."""
    assert found(text) == expected


JOINED = Finder(
    build(
        [
            Given(
                [
                    *(Term(f"D:{at}", f"{part} cancer", kind="condition") for at, part in enumerate(("lung", "breast", "ovarian"))),
                    Term("D:3", "Type 1 diabetes", kind="condition"),
                    Term("D:4", "Type 2 diabetes", kind="condition"),
                    Term("D:5", "Melanoma", ("melanoma cancer",), kind="condition"),
                    Term("D:6", "ON failure", kind="condition"),
                    Term("C:1", "Folic acid", kind="chemical"),
                    Term("C:2", "Acetic acid", kind="chemical"),
                ]
            )
        ]
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("had breast and ovarian cancers.", [("breast and ovarian cancers", ["d:1", "d:2"])]),
        ("Breast/ovarian cancer", [("Breast/ovarian cancer", ["d:1", "d:2"])]),
        ("breast and/or ovarian cancer", [("breast and/or ovarian cancer", ["d:1", "d:2"])]),
        ("lung, breast, or ovarian cancer", [("lung, breast, or ovarian cancer", ["d:0", "d:1", "d:2"])]),
        ("skin, lung and breast cancer", [("lung and breast cancer", ["d:0", "d:1"])]),
        ("type 1 and type 2 diabetes", [("type 1 and type 2 diabetes", ["d:3", "d:4"])]),
        ("breast and breast cancer", [("breast and breast cancer", ["d:1"])]),
        ("skin and lung cancer", [("lung cancer", ["d:0"])]),
        ("melanoma and lung cancer", [("melanoma", ["d:5"]), ("lung cancer", ["d:0"])]),
        ("breast with ovarian cancer", [("ovarian cancer", ["d:2"])]),
        ("and ovarian cancer", [("ovarian cancer", ["d:2"])]),
        ("folic and acetic acid", [("acetic acid", ["c:2"])]),
        ("breast and ovarian cancer (BOC); BOC", [("breast and ovarian cancer", ["d:1", "d:2"]),
                                                  ("BOC", []), ("BOC", [])]),
    ],
)  # fmt: skip
def test_conditions_may_share_their_last_word(text: str, expected: list[tuple[str, list[str]]]) -> None:
    """One place, all that is named there; only what a vocabulary has, and no word that is a name by itself."""
    places: dict[tuple[int, int], list[str]] = {}
    for one in JOINED.find(text, [(0, len(text))]):
        places.setdefault((one.start, one.end), []).extend(one.concept.identifiers)
    assert [(text[start:end], identifiers) for (start, end), identifiers in places.items()] == expected


def test_a_longer_match_that_does_not_hold_hides_nothing() -> None:
    """Where the longer term is dropped (its case differs), the shorter one inside it is found."""
    terms = [Term("D:1", "Cancer", kind="condition"), Term("G:1", "Cancer-X1Y", kind="gene")]
    finder = Finder(build([Given(terms)]))
    assert found("a cancer-x1y test", finder) == [("cancer", "d:1")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "acute renal failure (ARF). Later ARF and ARFs.",
            [("acute renal failure", "d:6"), ("ARF", "d:6"), ("ARF", "d:6"), ("ARFs", "d:6")],
        ),
        ("white adipose stores (WAS) rose; WAS fell", []),
        (
            "cerebral leukodystrophy (CLD): CLD",
            [("leukodystrophy", "d:7"), ("CLD", "cerebral leukodystrophy"), ("CLD", "cerebral leukodystrophy")],
        ),
        ("von Hippel-Lindau disease (VHL)", [("von Hippel-Lindau disease", "d:5"), ("VHL", "d:5")]),
        ("buffered lithium (BL) and BL", [("lithium", "c:3")]),
    ],
)
def test_abbreviations_mean_what_the_document_says(text: str, expected: list[tuple[str, str]]) -> None:
    """A defined abbreviation is its long form everywhere, whatever a vocabulary says of the letters."""
    assert found(text) == expected


def test_nothing_reaches_over_the_end_of_a_paragraph() -> None:
    """A name whose words stand in two paragraphs is none; an abbreviation counts in all of them."""
    text = "acute renal failure (ARF) lung\ncancer and ARF"
    starts = [(0, 30), (31, len(text))]
    assert [text[one.start : one.end] for one in FINDER.find(text, starts)] == [
        "acute renal failure",
        "ARF",
        "cancer",
        "ARF",
    ]


CONCEPT = Concept("condition", "x", ())
SPANS = st.builds(lambda start, size: Found(start, start + size, CONCEPT), st.integers(0, 40), st.integers(1, 9))


@given(st.lists(SPANS, max_size=30))
def test_of_overlapping_ones_the_longest_stays(spans: list[Found]) -> None:
    """What is kept does not overlap and is in order; what is dropped overlaps a kept one that is at least as long."""
    kept = longest(spans)
    assert all(one.end <= other.start for one, other in itertools.pairwise(kept))
    for one in spans:
        overlapping = [other for other in kept if other.start < one.end and one.start < other.end]
        assert one in kept or any(other.end - other.start >= one.end - one.start for other in overlapping)


WORDS = st.sampled_from(
    [
        "lung",
        "cancer",
        "Cancers",
        "small",
        "cell",
        "WAS",
        "(",
        ")",
        "-",
        "acute renal failure",
        "ARF",
        ".",
        "\u00e9",
        "lithium",
    ]
)


@given(st.lists(WORDS, max_size=25).map(" ".join))
def test_every_place_holds_a_name_of_its_concept(text: str) -> None:
    """A place's words are, folded, a name of the concept, or an abbreviation; places are in order and inside the text."""
    places = FINDER.find(text, [(0, len(text))])
    assert all(one.end <= other.start for one, other in itertools.pairwise(places))
    names = {row_of(name) for term in TERMS for name in (term.name, *term.synonyms)}
    shorts = {one.short for one in definitions(text)}
    for one in places:
        surface = text[one.start : one.end]
        assert row_of(surface) in names or surface in shorts or surface.removesuffix("s") in shorts


@pytest.mark.parametrize(
    ("name", "kind", "identifier"),
    [
        ("Heart Failure", "condition", "mesh:D006333"),
        (" heart failure. ", "condition", "mesh:D006333"),
        ("Congestive heart failure (CHF); CHF", "condition", "mesh:D006333"),
        ("Failure, Heart", "condition", "mesh:D006333"),
        ("Heart Failure, Congestive", "condition", "mesh:D006333"),
        ("heart failure, pain", "condition", None),
        ("heart failure,", "condition", "mesh:D006333"),
        ("heart failure", "chemical", None),
        ("chronic heart failure", "condition", None),
        ("heart failure 2", "condition", None),
        ("heart failure and pain", "condition", None),
        ("", "condition", None),
        ("-", "condition", None),
    ],
)
def test_a_name_stands_for_a_concept_when_it_says_nothing_more(name: str, kind: str, identifier: str | None) -> None:
    """The whole of a name must be one concept of the kind, however often it is repeated."""
    terms = [
        Term("MESH:D006333", "Heart Failure", ("congestive heart failure",), kind="condition"),
        Term("MESH:D010146", "Pain", kind="condition"),
    ]
    concept = Finder(build([Given(terms)])).named(name, kind)
    assert (concept and concept.identifiers[0]) == identifier
