"""Which parts of a PDF are headings, and how they stand under each other."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from medical_kg.formats.pdflayout import END_OF_SENTENCE, TITLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from medical_kg.formats.pdflayout import Look, Part

LONGEST = 150
"""A heading is no longer than this, in characters."""
SMALLEST = 0.85
"""It is no smaller than this share of the text's size."""
NUMBER = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,3})\.?\s+\D")
BEGINS = re.compile(r"(?:\d{1,2}(?:\.\d{1,2}){0,3}\.?\s+)?[^\W\d_]")
WORD = re.compile(r"[^\W\d_]{3}")
NAMES = re.compile(r"@|[^\W\d_]\d[^\W_]*\W.*[^\W\d_]\d|^(?:Received|Revised|Accepted|Published)\b")
"""What stands below a title: authors with the numbers of their institutes, addresses, dates."""
BACK = re.compile(
    r"(?:References|Bibliography|Literature cited|Abbreviations|Acknowledge?ments?|Competing interests|Funding|"
    r"Conflicts? of interest|Authors?['\u2019]* (?:contributions|information|details)|Additional files?)$",
    re.IGNORECASE,
)
"""Headings above text that is often set smaller."""


def with_headings(pages: Sequence[Sequence[Part]], body: Look) -> list[list[Part]]:
    """Return the pages with those parts as headings that are set like others of their kind, and have text below them."""
    places = list(_candidates(pages, body))
    looks = Counter(pages[page][place].look for page, place in places)
    title = title_of(pages, body)
    found = [list(page) for page in pages]
    for page, place in places:
        part = pages[page][place]
        if (looks[part.look] > 1 or BACK.match(part.text)) and part.text != title:
            found[page][place] = part._replace(kind="heading")
    return found


def _candidates(pages: Sequence[Sequence[Part]], body: Look) -> Iterator[tuple[int, int]]:
    row = [(page, place) for page, parts in enumerate(pages) for place in range(len(parts))]
    for at, (page, place) in enumerate(row):
        after = next((pages[p][q] for p, q in row[at + 1 : at + 2]), None)
        if after is not None and _may_head(pages[page][place], body) and _has_text(pages[page][place], after, body):
            yield page, place


def _may_head(part: Part, body: Look) -> bool:
    look, text = part.look, part.text
    if part.kind != "paragraph" or look is None or not look.font or len(text) > LONGEST:
        return False
    is_other = look.font != body.font or look.size >= body.size * TITLE
    return is_other and ((look.size >= SMALLEST * body.size and _reads_as_one(text)) or bool(BACK.match(text)))


def _reads_as_one(text: str) -> bool:
    if text[0].islower() or text[-1] in ",;" or NAMES.search(text):
        return False
    is_sentence = END_OF_SENTENCE.search(text) and not text.endswith("?")
    return bool(BEGINS.match(text) and WORD.search(text)) and not is_sentence


def _has_text(part: Part, after: Part, body: Look) -> bool:
    """Whether what stands below a part is text of the body, or a heading under it; of a known heading, any other text."""
    if after.kind == "caption":
        return False
    if BACK.match(part.text):
        return after.look != part.look
    return after.look is None or after.look.size >= SMALLEST * body.size


def title_of(pages: Sequence[Sequence[Part]], body: Look) -> str:
    """Return what is set largest on the first page, if it is much larger than the text; else ""."""
    sized = [(part.look.size, -place, part.text) for place, part in enumerate(pages[0] if pages else ()) if part.look]
    size, _, text = max(sized, default=(0.0, 0, ""))
    return text if size >= TITLE * body.size and " " in text else ""


class Outline:
    """How headings stand under each other: by their numbers, else by their looks, larger ones above smaller ones."""

    def __init__(self, headings: Iterable[Part]) -> None:
        """Take all headings of a document."""
        looks = dict.fromkeys(part.look for part in headings if part.look)
        self._ranks = {look: rank for rank, look in enumerate(sorted(looks, key=lambda look: -look.size), start=1)}
        self._above: list[tuple[int, str]] = []
        self.is_empty = not looks

    def above(self, heading: Part) -> list[str]:
        """Return the headings above this one, the outermost first; they are asked for in the order of the text."""
        level = self._level(heading)
        self._above = [(upper, title) for upper, title in self._above if upper < level]
        titles = [title for _, title in self._above]
        self._above.append((level, heading.text))
        return titles

    def _level(self, heading: Part) -> int:
        if number := NUMBER.match(heading.text):
            return number[1].count(".") + 1
        return 1 if BACK.match(heading.text) or heading.look is None else self._ranks[heading.look]
