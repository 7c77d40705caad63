"""One page of a PDF as lines: PDFium gives characters with boxes and fonts."""

from __future__ import annotations

import ctypes
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from medical_kg.documents.build import squeeze

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LINE_ENDS = frozenset({0x0A, 0x0D})
SPACE = 0x20
DROPPED = dict.fromkeys([0x00, 0x02, 0xAD, 0xFFFE, 0xFFFF])
"""Characters that are not text; PDFium puts U+0002 where a word is divided between two lines."""
CONTROL = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
WIDE = 1.0
"""A gap of so many heights of a line is none between words: it parts the cells of a row."""
FONT_NAME_BYTES = 128


class Piece(NamedTuple):
    """A stretch of a line without a wide gap, and where it begins and ends, in points."""

    text: str
    left: float
    right: float


class Line(NamedTuple):
    """A line of text. Where a word is divided PDFium gives two lines as one, so the end may stand lower.

    ``base`` is of its first character, ``last`` of its last one; in points, upwards. ``font`` names the one font it is in,
    "" where it changes.
    """

    pieces: tuple[Piece, ...]
    base: float
    last: float
    height: float
    font: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(piece.text for piece in self.pieces)

    @property
    def left(self) -> float:
        """Where it begins."""
        return self.pieces[0].left


class Page(NamedTuple):
    """A page's lines in the order of the file, and how many characters PDFium found."""

    lines: list[Line]
    characters: int


def read_page(page: Any) -> Page:
    """Return the text of a page that pypdfium2 has opened; raises ``PdfiumError`` where it cannot."""
    from pypdfium2 import raw

    textpage = page.get_textpage()
    try:
        count = textpage.count_chars()
        codes = [raw.FPDFText_GetUnicode(textpage, index) for index in range(count)]
        found = [_line(textpage, codes, first, end) for first, end in _spans(codes)]
    finally:
        textpage.close()
    return Page([line for line in found if line is not None], count)


def _spans(codes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Give where lines begin and end."""
    first = 0
    for index, code in enumerate([*codes, 0x0A]):
        if code in LINE_ENDS:
            if first < index:
                yield first, index
            first = index + 1


def _line(textpage: Any, codes: Sequence[int], first: int, end: int) -> Line | None:
    printed = [index for index in range(first, end) if codes[index] > SPACE]
    if not printed or not as_text(codes[first:end]):
        return None
    _, base, _, top = textpage.get_charbox(printed[0], loose=True)
    last = textpage.get_charbox(printed[-1], loose=True)[1]
    pieces = tuple(_pieces(textpage, codes, printed, WIDE * (top - base)))
    return Line(pieces, base, last, top - base, _font(textpage, printed)) if pieces else None


def _pieces(textpage: Any, codes: Sequence[int], printed: Sequence[int], wide: float) -> Iterator[Piece]:
    """Give the stretches between wide gaps, which can only be where there is a space."""
    begin = printed[0]
    left = textpage.get_charbox(begin, loose=True)[0]
    for before, after in pairwise(printed):
        if after - before == 1:
            continue
        right, next_left = textpage.get_charbox(before, loose=True)[2], textpage.get_charbox(after, loose=True)[0]
        if next_left - right > wide:
            yield from _piece(codes[begin : before + 1], left, right)
            begin, left = after, next_left
    yield from _piece(codes[begin : printed[-1] + 1], left, textpage.get_charbox(printed[-1], loose=True)[2])


def _piece(codes: Sequence[int], left: float, right: float) -> Iterator[Piece]:
    if text := as_text(codes):
        yield Piece(text, left, right)


def _font(textpage: Any, printed: Sequence[int]) -> str:
    """Return the font of the first, middle and last character; "" where they differ."""
    from pypdfium2 import raw

    names = set()
    for index in {printed[0], printed[len(printed) // 2], printed[-1]}:
        name, flags = ctypes.create_string_buffer(FONT_NAME_BYTES), ctypes.c_int()
        raw.FPDFText_GetFontInfo(textpage, index, name, FONT_NAME_BYTES, flags)
        names.add(name.value)
    return names.pop().decode("utf-8", "replace") if len(names) == 1 else ""


def as_text(codes: Sequence[int]) -> str:
    """Return UTF-16 or UTF-32 code units as text on one line, without what is no text."""
    units = "".join(map(chr, codes)).translate(DROPPED)
    whole = units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return squeeze(CONTROL.sub(" ", whole))
