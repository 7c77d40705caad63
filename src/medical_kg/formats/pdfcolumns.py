"""Columns that a file draws line by line across the page, taken apart: the left one first, then the right one.

Most files draw one column after the other, and PDFium keeps their order. Where they do not, what stands side by side comes
as one line with a wide gap, at the same place in line after line.
"""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg.formats.pdfpage import Line

FEWEST_LINES = 5
"""So many lines with the gap are columns; fewer may be a table."""
WORDS = 4
"""A line of a column has so many words on average; a cell of a table fewer."""


def in_columns(lines: Sequence[Line]) -> list[Line]:
    """Return a page's lines with every stretch of two columns one after the other."""
    found: list[Line] = []
    stretch: list[Line] = []
    for line in lines:
        if stretch and not _goes_on(stretch, line):
            found += _apart(stretch)
            stretch = []
        stretch.append(line)
    return found + _apart(stretch)


def _goes_on(stretch: Sequence[Line], line: Line) -> bool:
    """Whether a line stands below the last one and leaves free what is the gap of all, or has but one side."""
    if line.base >= stretch[-1].base:
        return False
    left, right = _gap([*stretch, line])
    return left < right


def _gap(lines: Sequence[Line]) -> tuple[float, float]:
    """Return what is free in all lines of two pieces, and not crossed by the others; empty where the first ends behind it."""
    pairs = [line for line in lines if len(line.pieces) == 2]  # noqa: PLR2004  # two columns
    if not pairs or any(len(line.pieces) > 2 for line in lines):  # noqa: PLR2004  # as above
        return (0.0, 0.0) if pairs else (0.0, 1.0)
    left, right = max(line.pieces[0].right for line in pairs), min(line.pieces[1].left for line in pairs)
    for line in lines:
        if len(line.pieces) == 1 and line.pieces[0].left < left and line.pieces[0].right > right:
            return 0.0, 0.0
    return left, right


def _apart(stretch: Sequence[Line]) -> list[Line]:
    pairs = [line for line in stretch if len(line.pieces) == 2]  # noqa: PLR2004  # as above
    if len(pairs) < FEWEST_LINES or fmean(len(piece.text.split()) for line in pairs for piece in line.pieces) < WORDS:
        return list(stretch)
    middle = sum(_gap(stretch)) / 2
    sides: tuple[list[Line], list[Line]] = ([], [])
    for line in stretch:
        for piece in line.pieces:
            sides[piece.left > middle].append(line._replace(pieces=(piece,), last=line.base))
    return [*sides[0], *sides[1]]
