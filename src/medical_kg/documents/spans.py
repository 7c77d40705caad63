"""Packs the tokens of a text into spans of a bounded number of tokens, cut at borders where there are any."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    TokenOffsets = Callable[[str], Sequence[tuple[int, int]]]


LONG, PART = 100, 16
"""A token of more characters than LONG is taken in parts of PART, so that no span grows without bound."""


class Span(NamedTuple):
    """A piece of text, in characters (end exclusive), and how many tokens it has."""

    start: int
    end: int
    tokens: int


def pack(  # a text, its tokens, two kinds of borders, two limits
    text: str,
    token_offsets: TokenOffsets,
    borders: Iterable[int],
    budget: int,
    overlap: int = 0,
    minor_borders: Iterable[int] = (),
) -> Iterator[Span]:
    """Yield spans of at most ``budget`` tokens that together hold every character that is not white space.

    Borders are places where something begins that is best kept whole, such as a sentence. A span ends at the last
    border that fits; where there is none, at the last minor border (a row of a table that is too long), else at white
    space, else beside a punctuation mark, else between two tokens. Tokens that share a character stay together,
    so a single character worth more tokens than the budget makes a span of its own. A token of more than 100 characters
    (a word the model does not know, a sequence, a picture in base64) counts as one for every 16. With ``overlap`` a span
    begins up to that many tokens before the end of the one before it, at a sentence or a word. Linear in the text.
    """
    units = _Units(text, token_offsets(text), borders, minor_borders)
    begin = done = 0
    while done < units.count:
        end = units.end_of(begin, done, budget)
        if end <= done or (begin < done and not units.is_border(end)):
            # What is shared with the span before must not cost the next sentence or table its wholeness.
            alone = units.end_of(done, done, budget)
            if end <= done or units.is_border(alone):
                begin, end = done, alone
        tokens, end = _recounted(units, token_offsets, begin, end, budget)
        yield from units.span(begin, end, tokens)
        begin, done = units.overlapping(begin, end, overlap), end
    if not units.count:
        yield from units.span(0, 0, 0)


def _recounted(units: _Units, token_offsets: TokenOffsets, begin: int, end: int, budget: int) -> tuple[int, int]:
    """Count a span anew where a word is cut, since half a word has other tokens; shorten it until it fits."""
    tokens = units.tokens(begin, end)
    while units.has_parts or not (units.at_space(begin) and units.at_space(end)):
        tokens = sum(len(token_offsets(units.text[span.start : span.end])) for span in units.span(begin, end, 0))
        if tokens <= budget or end == begin + 1:
            break
        end -= 1
    return tokens, end


class _Units:
    """The tokens of a text, those that share characters taken together; positions are numbers of units."""

    def __init__(
        self, text: str, offsets: Iterable[tuple[int, int]], borders: Iterable[int], minor_borders: Iterable[int] = ()
    ) -> None:
        """Group the tokens and find where the borders are among them."""
        self.text = text
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.before = [0]
        self.has_parts = False
        for start, end in self._in_parts(offsets):
            if end > start and (not self.ends or start >= self.ends[-1]):
                self.starts.append(start)
                self.ends.append(end)
                self.before.append(self.before[-1])
            elif self.ends:
                self.ends[-1] = max(self.ends[-1], end)
            if self.ends:
                self.before[-1] += 1
        self.count = len(self.starts)
        self.borders = sorted({bisect_left(self.starts, start) for start in borders})
        self.minor = sorted({bisect_left(self.starts, start) for start in minor_borders})

    def _in_parts(self, offsets: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        for start, end in offsets:
            if end - start <= LONG:
                yield start, end
            else:
                self.has_parts = True
                yield from ((part, min(part + PART, end)) for part in range(start, end, PART))

    def tokens(self, begin: int, end: int) -> int:
        """Return how many tokens the units from ``begin`` to ``end`` have."""
        return self.before[end] - self.before[begin]

    def end_of(self, begin: int, done: int, budget: int) -> int:
        """Return the best end after ``done`` of a span that begins at ``begin``."""
        last = max(bisect_right(self.before, self.before[begin] + budget) - 1, begin + 1)
        if last >= self.count:
            return self.count
        for borders in (self.borders, self.minor):
            at = bisect_right(borders, last) - 1
            if at >= 0 and borders[at] > done:
                return borders[at]
        for fits in (self.at_space, self._at_mark):
            for end in range(last, done, -1):
                if fits(end):
                    return end
        return last

    def is_border(self, unit: int) -> bool:
        """Whether a sentence, or whatever the borders mark, begins or the text ends here."""
        at = bisect_left(self.borders, unit)
        return unit >= self.count or (at < len(self.borders) and self.borders[at] == unit)

    def overlapping(self, begin: int, end: int, overlap: int) -> int:
        """Return where the span after ``begin``-``end`` begins to share up to ``overlap`` tokens with it."""
        first = max(bisect_left(self.before, self.before[end] - overlap), begin + 1)
        for borders in (self.borders, self.minor):
            at = bisect_left(borders, first)
            if at < len(borders) and borders[at] < end:
                return borders[at]
        return next((unit for unit in range(first, end) if self.at_space(unit)), end)

    def at_space(self, unit: int) -> bool:
        """Whether white space, or an end of the text, stands before this unit."""
        if unit in (0, self.count):
            return True
        gap = self.text[self.ends[unit - 1] : self.starts[unit]]
        return any(map(str.isspace, gap))

    def _at_mark(self, unit: int) -> bool:
        left, right = self.text[self.starts[unit] - 1], self.text[self.starts[unit]]
        return not (left.isalnum() and right.isalnum())

    def span(self, begin: int, end: int, tokens: int) -> Iterator[Span]:
        """Yield the span from one unit to the next without the white space around it, nothing if nothing is left."""
        start = self.starts[begin] if begin else 0
        stop = self.starts[end] if end < self.count else len(self.text)
        part = self.text[start:stop]
        if stripped := part.strip():
            first = start + len(part) - len(part.lstrip())
            yield Span(first, first + len(stripped), tokens)
