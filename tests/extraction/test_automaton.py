"""Aho-Corasick over words, against the plain way of looking at every place."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from medical_kg.extraction.automaton import Automaton, AutomatonBuilder, Match

WORDS = st.sampled_from("abc")
ROWS = st.lists(WORDS, max_size=40)
TERMS = st.lists(st.lists(WORDS, min_size=1, max_size=5), max_size=12)


def automaton(terms: Sequence[Sequence[str]]) -> Automaton:
    builder = AutomatonBuilder()
    for value, words in enumerate(terms):
        builder.add(words, value)
    return builder.build()


@given(ROWS, TERMS)
def test_it_finds_what_looking_at_every_place_finds(row: list[str], terms: list[list[str]]) -> None:
    """Every term at every place, overlapping ones and several values of one term too, and nothing else."""
    expected = {
        Match(at, at + len(words), value)
        for value, words in enumerate(terms)
        for at in range(len(row))
        if row[at : at + len(words)] == words
    }
    found = list(automaton(terms).matches(row))
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert [one.end for one in found] == sorted(one.end for one in found)


@given(ROWS, TERMS)
def test_its_parts_make_it_again(row: list[str], terms: list[list[str]]) -> None:
    """An automaton made of another's parts finds the same."""
    one = automaton(terms)
    words, arrays = one.parts
    assert list(Automaton(words, **arrays).matches(row)) == list(one.matches(row))


def test_no_words_are_no_term() -> None:
    """A term without words is never found, nor does an empty automaton find anything."""
    assert list(automaton([[]]).matches(["a"])) == []
    assert automaton([]).states == 1


class Counting(dict[int, int]):
    """Counts the looks."""

    looks = 0

    def get(self, key: int, default: int | None = None) -> int | None:  # type: ignore[override]  # what is used of it
        self.looks += 1
        return super().get(key, default)


def test_it_is_linear_in_the_text() -> None:
    """At most two transitions are looked up per word, also where every place begins almost all of a long term."""
    made = automaton([["a"] * 200 + ["b"], ["a"] * 100 + ["c"]])
    for length in (1_000, 10_000):
        made._goto = counting = Counting(made._goto)
        assert list(made.matches(["a"] * length)) == []
        assert counting.looks <= 2 * length
