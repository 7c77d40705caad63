"""Abbreviations and what they stand for in this very document.

Schwartz and Hearst, "A simple algorithm for identifying abbreviation definitions in biomedical text", PSB 2003: a short
form in brackets, and before it the shortest run of words in which its letters can be found from right to left, the first
one at the start of a word. Added here: ``short (long)``, and brackets within brackets are looked into from the inside.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

BRACKETED = re.compile(r"[(\[]([^()\[\]]{2,200})[)\]]")
WORD = re.compile(r"\S+")
SEPARATOR = re.compile(r"[;,]\s|\s(?:and|or)\s|=")
SHORTEST, LONGEST, MOST_WORDS = 2, 12, 2
LONGEST_LOWER = 5
"""A short form in lower case is one word of at most so many characters: most words in brackets are no abbreviations."""
REACH = 250
"""How many characters before a bracket a long form may begin."""
SENTENCE_END = re.compile(r"[.;:!?]\s+(?=[A-Z])|\n")


class Definition(NamedTuple):
    """A short form and its long form, with the place of each."""

    short: str
    long: str
    short_start: int
    long_start: int

    @property
    def short_end(self) -> int:
        """Where the short form ends."""
        return self.short_start + len(self.short)

    @property
    def long_end(self) -> int:
        """Where the long form ends."""
        return self.long_start + len(self.long)


def definitions(text: str, start: int = 0, end: int | None = None) -> Iterator[Definition]:
    """Yield each definition of an abbreviation in ``text[start:end]``, in order."""
    first = start
    for match in BRACKETED.finditer(text, start, len(text) if end is None else end):
        inside = SEPARATOR.split(match[1], maxsplit=1)[0].strip("\"' ")
        found = None
        if is_short_form(inside):
            at = match.start(1) + match[1].index(inside)
            found = _before(text, (first, match.start()), inside, at)
        found = found or _inside(text, match)
        if found:
            yield found


def is_short_form(words: str) -> bool:
    """Whether words look like an abbreviation: 2-12 characters, at most two words, a letter, begins with one or a digit."""
    return (
        SHORTEST <= len(words) <= (LONGEST_LOWER if words.islower() else LONGEST)
        and len(words.split()) <= (1 if words.islower() else MOST_WORDS)
        and words[0].isalnum()
        and any(map(str.isalpha, words))
    )


def _before(text: str, place: tuple[int, int], short: str, start: int) -> Definition | None:
    """Look for the long form in the words before the bracket: at most min(n + 5, 2 n) of them, in the same sentence."""
    bracket = place[1]
    begin = max(place[0], bracket - REACH)
    for end in SENTENCE_END.finditer(text, begin, bracket):
        begin = end.end()
    letters = sum(map(str.isalnum, short))
    words = list(WORD.finditer(text, begin, bracket))[-min(letters + 5, letters * 2) :]
    if not words:
        return None
    first, last = words[0].start(), words[-1].end()
    at = _long_form(short, text[first:last])
    if at is None or (short.islower() and text[first + at : last].count(" ") < 1):
        return None
    return _plausible(Definition(short, text[first + at : last], start, first + at))


def _inside(text: str, match: re.Match[str]) -> Definition | None:
    """Look for a short form right before the bracket whose long form stands inside."""
    before = re.search(r"(?<!\S)([A-Z][\w-]{1,9})\s?\Z", text[max(0, match.start() - LONGEST) : match.start()])
    inside = match[1].rstrip()
    if not before or sum(map(str.isupper, before[1])) < SHORTEST or " " not in inside.strip():
        return None
    at = _long_form(before[1], inside)
    if at is None or inside[:at].strip():
        return None
    short_start = max(0, match.start() - LONGEST) + before.start(1)
    return _plausible(Definition(before[1], inside[at:], short_start, match.start(1) + at))


def _plausible(found: Definition) -> Definition | None:
    """Refuse a long form that is shorter than, or holds, the short form, or begins with a mark."""
    shorter = len(found.long) <= len(found.short)
    holds = found.short.casefold() in {word.strip(",.") for word in found.long.casefold().split()}
    return None if shorter or holds else found


def _long_form(short: str, candidate: str) -> int | None:
    """Return where the long form begins in the candidate, None where the letters cannot be found."""
    letters = [one for one in short.casefold() if one.isalnum()]
    folded = candidate.lower()
    at = len(folded)
    for number in range(len(letters) - 1, -1, -1):
        at -= 1
        while at >= 0 and not (
            folded[at] == letters[number] and (number > 0 or at == 0 or not folded[at - 1].isalnum())
        ):
            at -= 1
        if at < 0:
            return None
    # The long form begins where its first word does.
    return max(candidate.rfind(" ", 0, at) + 1, 0)
