"""Where the concepts of a lexicon stand in a text.

Every term that stands there is found, then what does not hold is dropped (a case that differs, an abbreviation that the
document itself uses for something else), then of overlapping ones the longest stay. In this order: a longer match that
does not hold must not hide a shorter one that does.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from medical_kg.extraction.abbreviations import definitions
from medical_kg.extraction.coordination import JOINS, coordinations
from medical_kg.extraction.forms import CONDITIONS
from medical_kg.extraction.lexicon import Concept
from medical_kg.extraction.tokens import Folder, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from medical_kg.extraction.abbreviations import Definition
    from medical_kg.extraction.lexicon import Lexicon
    from medical_kg.extraction.tokens import Token

SHOUTED = 4
"""From this length on, a word all in capitals beside an acronym says that the whole line is."""
LOCANT = re.compile(r"(?:\d['\u2032]?|,|(?<![^\W_])[A-Za-z\u03b1-\u03c9])[-\u2010\u2011]\Z|[)\]][-\u2010\u2011]?\Z")
"""What stands before the rest of a systematic chemical name: ``2-``, ``N-``, ``1,4-``, ``(2S)-``, ``)``."""


class Found(NamedTuple):
    """A concept and where it stands."""

    start: int
    end: int
    concept: Concept


class Finder:
    """Finds concepts; one per process, used for many documents."""

    def __init__(self, lexicon: Lexicon) -> None:
        """Keep the lexicon."""
        self._lexicon = lexicon
        self._folder = Folder()

    def find(self, text: str, spans: Iterable[tuple[int, int]]) -> list[Found]:
        """Return what stands in the spans of a text (paragraphs; nothing reaches over their ends), in order."""
        spans = list(spans)
        defined = _Defined(text, spans)
        rows = [tokens(text, self._folder, start, end) for start, end in spans]
        found: list[Found] = []
        together: dict[Found, list[Found]] = {}
        for row in rows:
            held = self._held(text, row, defined)
            found += self._candidates(text, row, held)
            for same in self._joined(row, held):
                together[same[0]] = same
        found += defined.uses(text, spans, found)
        return [each for one in longest([*found, *together]) for each in together.get(one, (one,))]

    def named(self, name: str, kind: str) -> Concept | None:
        """Return the concept of a kind that a name stands for; None where words of it say more, or something else.

        ``Type 2 Diabetes (T2D)`` names one concept twice and nothing besides; ``severe asthma`` says more than ``asthma``.
        A heading such as ``Diabetes Mellitus, Type 2`` is read in the order of speech as well.
        """
        head, comma, before = name.rpartition(",")
        spoken = [name, f"{before.strip()} {head}"] if comma else [name]
        concept = next(filter(None, map(self._all_of, spoken)), None)
        return concept if concept and concept.kind == kind and concept.identifiers else None

    def _all_of(self, name: str) -> Concept | None:
        """Return the one concept that all words of a name are about."""
        found = self.find(name, [(0, len(name))])
        concepts = {one.concept for one in found}
        named_words = {at for one in found for at in range(one.start, one.end)}
        says_more = any(letter.isalnum() and at not in named_words for at, letter in enumerate(name))
        return None if says_more or len(concepts) != 1 else concepts.pop()

    def _held(self, text: str, row: Sequence[Token], defined: _Defined) -> dict[tuple[int, int], int]:
        """Return what holds, by its first token and the one after its last; of forms that share a place, the first."""
        lexicon = self._lexicon
        best: dict[tuple[int, int], int] = {}
        for begin, end, value in lexicon.automaton.matches([token.folded for token in row]):
            place = (row[begin].start, row[end - 1].end)
            if self._holds(text, place, value, defined) and (
                (begin, end) not in best or lexicon.order(value) < lexicon.order(best[begin, end])
            ):
                best[begin, end] = value
        return best

    def _candidates(self, text: str, row: Sequence[Token], held: dict[tuple[int, int], int]) -> Iterator[Found]:
        """Yield what holds and is not the rest of a chemical's systematic name."""
        for (begin, end), value in held.items():
            start, concept = row[begin].start, self._lexicon.concept(value)
            if concept.kind != "chemical" or not LOCANT.search(text, max(0, start - 4), start):
                yield Found(start, row[end - 1].end, concept)

    def _joined(self, row: Sequence[Token], held: dict[tuple[int, int], int]) -> Iterator[list[Found]]:
        """Yield conditions that share their head, several at one place; a modifier is nothing that holds by itself."""
        words = [token.folded for token in row]
        if JOINS.isdisjoint(words):
            return
        ends = {end for _, end in held}
        last: dict[int, int] = {}
        for begin, end in held:
            if end - begin > 1 and words[begin - 1] in JOINS:
                last[begin] = max(end, last.get(begin, 0))
        names = [(begin, end, self._lexicon.concept(held[begin, end])) for begin, end in last.items() if begin]
        conditions = [name for name in names if name[2].kind in CONDITIONS]
        for begin, end, concepts in coordinations(words, conditions, ends, self._condition):
            start, stop = row[begin].start, row[end - 1].end
            yield [Found(start, stop, concept) for concept in concepts]

    def _condition(self, words: Sequence[str]) -> Concept | None:
        """Return the condition that these very words name."""
        lexicon = self._lexicon
        forms = [value for begin, end, value in lexicon.automaton.matches(words) if end - begin == len(words)]
        plain = sorted((value for value in forms if value not in lexicon.exact), key=lexicon.order)
        concept = lexicon.concept(plain[0]) if plain else None
        return concept if concept and concept.kind in CONDITIONS else None

    def _holds(self, text: str, place: tuple[int, int], value: int, defined: _Defined) -> bool:
        surface = text[place[0] : place[1]]
        if surface in defined.shorts:
            return False  # the document says what it stands for
        exact = self._lexicon.exact.get(value)
        if exact is None:
            return True
        if exact in self._lexicon.ambiguous or surface not in (exact, exact + "s"):
            return False
        return not (exact.isalpha() and _is_shouted(text, *place))


def longest(found: Iterable[Found]) -> list[Found]:
    """Return of overlapping ones the longest (of equally long ones the first), in the order of the text."""
    starts: list[int] = []
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start - one.end, one.start)):
        at = bisect_left(starts, one.start)
        free_before = at == 0 or kept[at - 1].end <= one.start
        if free_before and (at == len(kept) or one.end <= kept[at].start):
            starts.insert(at, one.start)
            kept.insert(at, one)
    return kept


class _Defined:
    """The abbreviations that a text defines, and what their long forms turn out to be."""

    def __init__(self, text: str, spans: Iterable[tuple[int, int]]) -> None:
        """Find the definitions."""
        self.shorts: dict[str, Definition] = {}
        for start, end in spans:
            if text.find("(", start, end) >= 0 or text.find("[", start, end) >= 0:
                for one in definitions(text, start, end):
                    self.shorts.setdefault(one.short, one)

    def uses(self, text: str, spans: Iterable[tuple[int, int]], found: Sequence[Found]) -> Iterator[Found]:
        """Yield every place of an abbreviation whose long form is, or ends with, something found."""
        by_end: dict[int, Found] = {}
        for one in found:
            if one.end not in by_end or one.start < by_end[one.end].start:
                by_end[one.end] = one
        concepts = {
            short: concept for short, one in self.shorts.items() if (concept := _meaning(one, by_end.get(one.long_end)))
        }
        if not concepts:
            return
        alternatives = "|".join(map(re.escape, sorted(concepts, key=len, reverse=True)))
        pattern = re.compile(rf"(?<!\w)({alternatives})s?(?!\w)")
        for start, end in spans:
            for match in pattern.finditer(text, start, end):
                yield Found(match.start(), match.end(), concepts[match[1]])


def _meaning(definition: Definition, at_its_end: Found | None) -> Concept | None:
    """Return the concept of a long form: the one it is, or a kind of condition named by it, where one stands at its end."""
    if at_its_end is None:
        return None
    if at_its_end.start <= definition.long_start:
        return at_its_end.concept
    if at_its_end.concept.kind in CONDITIONS:
        return Concept(at_its_end.concept.kind, definition.long, ())
    return None


def _is_shouted(text: str, start: int, end: int) -> bool:
    """Whether the words on either side are all in capitals, so that capitals say nothing."""
    before, after = text[max(0, start - 30) : start].split(), text[end : end + 30].split()
    beside = [word.strip(".,;:()") for word in (*before[-1:], *after[:1])]
    return any(len(word) >= SHOUTED and word.isalpha() and word.isupper() for word in beside)
