"""One page of a PDF as paragraphs: PDFium gives characters with boxes, the gaps between lines tell the paragraphs."""

from __future__ import annotations

import re
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from medical_kg.documents.build import squeeze

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LINE_ENDS = frozenset({0x0A, 0x0D})
DROPPED = dict.fromkeys([0x00, 0x02, 0xAD, 0xFFFE, 0xFFFF])
"""Characters that are not text; PDFium puts U+0002 where a word is divided between two lines."""
CONTROL = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
WIDER = 1.35
"""Lines further apart than so many times the usual distance belong to different paragraphs."""
LOOSEST = 3.0
"""The usual distance is at most so many times a line's height, where a page has too few lines to tell."""
INDENT = 0.5
"""How far a paragraph's first line is set in at least, in heights of a line."""
END_OF_SENTENCE = re.compile(r"[.!?:;][\"'\u201d\u2019\u00bb)\]]*(?:\s*\[?[\d,\u2013-]+\]?)?$")


class Page(NamedTuple):
    """A page's paragraphs, each on one line, and how many characters PDFium found."""

    paragraphs: list[str]
    characters: int


class Line(NamedTuple):
    """A line of text. Where a word is divided PDFium gives two lines as one, so the end may stand lower.

    ``left`` and ``base`` are of its first character, ``last`` is the base of its last one; in points, upwards.
    """

    text: str
    left: float
    base: float
    last: float
    height: float


def read_page(page: Any) -> Page:
    """Return the text of a page that pypdfium2 has opened; raises ``PdfiumError`` where it cannot."""
    from pypdfium2 import raw

    textpage = page.get_textpage()
    try:
        count = textpage.count_chars()
        codes = [raw.FPDFText_GetUnicode(textpage, index) for index in range(count)]
        lines = [line for first, end in _spans(codes) if (line := _line(textpage, codes, first, end)) is not None]
    finally:
        textpage.close()
    return Page([_joined(group) for group in paragraphs(lines)], count)


def _spans(codes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give where lines begin and end."""
    first = 0
    for index, code in enumerate([*codes, 0x0A]):
        if code in LINE_ENDS:
            if first < index:
                yield first, index
            first = index + 1


def _line(textpage: Any, codes: Sequence[int], first: int, end: int) -> Line | None:
    text = as_text(codes[first:end])
    printed = [index for index in range(first, end) if codes[index] > 0x20]  # noqa: PLR2004  # a space
    if not text or not printed:
        return None
    left, bottom, _, top = textpage.get_charbox(printed[0], loose=True)
    last = textpage.get_charbox(printed[-1], loose=True)[1]
    return Line(text, left, bottom, last, top - bottom)


def as_text(codes: Sequence[int]) -> str:
    """Return UTF-16 or UTF-32 code units as text on one line, without what is no text."""
    units = "".join(map(chr, codes)).translate(DROPPED)
    whole = units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return squeeze(CONTROL.sub(" ", whole))


def paragraphs(lines: Sequence[Line]) -> list[list[Line]]:
    """Return the lines in groups that belong together, in the order given."""
    drops = [before.last - after.base for before, after in pairwise(lines)]
    downwards = [drop for drop in drops if drop > 0]
    usual = median(downwards) if downwards else 0.0
    groups = [[line] for line in lines[:1]]
    for (before, after), drop in zip(pairwise(lines), drops, strict=True):
        if _begins(before, after, drop, min(usual, LOOSEST * max(before.height, after.height))):
            groups.append([])
        groups[-1].append(after)
    return groups


def _begins(before: Line, after: Line, drop: float, usual: float) -> bool:
    """Whether a line begins a paragraph."""
    if drop < -INDENT * after.height:  # at the top of the next column
        return not (after.text[0].islower() and not END_OF_SENTENCE.search(before.text))
    if drop > WIDER * usual:
        return True
    is_set_in = after.left - before.left > INDENT * after.height
    return drop > 0 and is_set_in and bool(END_OF_SENTENCE.search(before.text))


def _joined(lines: Sequence[Line]) -> str:
    return " ".join(line.text for line in lines)
