"""Aho-Corasick over words: every term of a dictionary that stands in a row of tokens, in one pass.

Aho and Corasick, "Efficient string matching", CACM 18 (1975): a trie of the terms, a link from each state to the longest
proper suffix that is also a state, and a link to the nearest state at which a term ends. The letters here are folded
words, so a match never begins or ends inside one, and the machine has a state per word of the dictionary, not per
character. Compiled it is a handful of arrays, which can be kept in a file.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

SHIFT = 32
"""A transition's key is the state and the number of the word, in one number: no tuple per look."""


class Match(NamedTuple):
    """The term ``value`` is the tokens from ``begin`` to ``end`` (exclusive)."""

    begin: int
    end: int
    value: int


class AutomatonBuilder:
    """Takes the terms."""

    def __init__(self) -> None:
        """Begin with no terms."""
        self._words: dict[str, int] = {}
        self._goto: dict[int, int] = {}
        self._parent = array("i", [0])
        self._depth = array("i", [0])
        self._values: dict[int, list[int]] = {}

    def add(self, words: Sequence[str], value: int) -> None:
        """Add a term; the same words may be added with several values, and no words add nothing."""
        state = 0
        for word in words:
            key = state << SHIFT | self._words.setdefault(word, len(self._words) + 1)
            found = self._goto.get(key)
            if found is None:
                found = self._goto[key] = len(self._parent)
                self._parent.append(state)
                self._depth.append(self._depth[state] + 1)
            state = found
        if state:
            self._values.setdefault(state, []).append(value)

    def build(self) -> Automaton:
        """Link the states, those of less depth first, and lay the values out."""
        count = len(self._parent)
        first, values = array("i"), array("i")
        for state in range(count):
            first.append(len(values))
            values.extend(dict.fromkeys(self._values.get(state, ())))
        first.append(len(values))
        fail, output = self._links()
        keys = array("q", self._goto)
        return Automaton("\n".join(self._words), keys, self._depth, fail, output, first, values)

    def _links(self) -> tuple[array[int], array[int]]:
        count, goto = len(self._parent), self._goto
        letters = array("i", [0, *(key & (1 << SHIFT) - 1 for key in goto)])
        fail, output = array("i", bytes(4 * count)), array("i", bytes(4 * count))
        for state in sorted(range(1, count), key=self._depth.__getitem__):
            number, back = letters[state], self._parent[state]
            found = 0
            while back and not found:
                back = fail[back]
                found = goto.get(back << SHIFT | number, 0)
            fail[state] = found
            output[state] = state if state in self._values else output[found]
        return fail, output


class Automaton:
    """Finds terms. ``parts`` gives what it is made of, and the same parts make it again."""

    def __init__(  # what it is made of
        self,
        words: str,
        keys: array[int],
        depth: array[int],
        fail: array[int],
        output: array[int],
        first: array[int],
        values: array[int],
    ) -> None:
        """Take the parts; states are numbered in the order of ``keys``, from 1."""
        self._parts = {"keys": keys, "depth": depth, "fail": fail, "output": output, "first": first, "values": values}
        self._text = words
        self._words = {word: number for number, word in enumerate(words.split("\n"), start=1)}
        self._goto = dict(zip(keys, range(1, len(keys) + 1), strict=True))
        self._depth, self._fail, self._output, self._first, self._values = depth, fail, output, first, values

    @property
    def parts(self) -> tuple[str, Mapping[str, array[int]]]:
        """The words, one a line in the order of their numbers, and the arrays by name."""
        return self._text, self._parts

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self._depth)

    def matches(self, words: Iterable[str]) -> Iterator[Match]:
        """Yield every term that stands in the words, overlapping ones too, by where they end."""
        numbers, goto, fail, output = self._words, self._goto, self._fail, self._output
        state = 0
        for at, word in enumerate(words, start=1):
            number = numbers.get(word)
            if number is None:
                state = 0
                continue
            found = goto.get(state << SHIFT | number)
            while found is None and state:
                state = fail[state]
                found = goto.get(state << SHIFT | number)
            state = found or 0
            ending = output[state]
            while ending:
                begin = at - self._depth[ending]
                for value in self._values[self._first[ending] : self._first[ending + 1]]:
                    yield Match(begin, at, value)
                ending = output[fail[ending]]
