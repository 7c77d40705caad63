"""How results look: tables, numbers, times."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> list[str]:
    """Return the lines of a table for a pipe: each row on one line, whatever its length, and no rich imported."""
    lines = [[" ".join(cell.splitlines()) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    ]


GAP = 2
"""Blanks between the columns of a table."""
LONGEST = 36
"""Words up to this long, ids among them, stay whole on a terminal; longer ones, such as paths, may be broken."""


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, right: Collection[str] = ()
) -> list[str]:
    """Return the lines of a table for a terminal of a width: long cells are folded between words, never cut off.

    Where the columns do not fit side by side with their words whole, each row becomes a block with a line per cell.
    """
    widths = _widths(columns, rows, width)
    if widths is None:
        return _stacked(columns, rows, width)
    lines = []
    for row in (columns, *rows):
        cells = [_folded(cell, size) for cell, size in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            placed = (
                part.rjust(size) if name in right else part.ljust(size)
                for part, size, name in zip(parts, widths, columns, strict=True)
            )
            lines.append((" " * GAP).join(placed).rstrip())
    return lines


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return how wide each column is; None where they do not fit. Those with most to spare give way first."""
    cells = [*zip(columns, *rows, strict=True)]
    wanted = [max(len(line) for cell in column for line in cell.splitlines() or [""]) for column in cells]
    least = [max(min(len(word), LONGEST) for cell in column for word in cell.split() or [""]) for column in cells]
    room = width - GAP * (len(columns) - 1)
    if sum(least) > room:
        return None
    while sum(wanted) > room:
        widest = max(range(len(wanted)), key=lambda index: (wanted[index] > least[index], wanted[index]))
        wanted[widest] -= 1
    return wanted


def _folded(cell: str, width: int) -> list[str]:
    from textwrap import wrap

    return [part for line in cell.splitlines() for part in wrap(line, max(width, 1), break_on_hyphens=False)] or [""]


def _stacked(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    lines = []
    for row in rows:
        for name, cell in zip(columns, row, strict=True):
            if cell.strip():
                lines += _labelled(name, cell, max(map(len, columns)) + GAP, width)
        lines.append("")
    return lines[:-1]


def _labelled(name: str, cell: str, label: int, width: int) -> list[str]:
    """Return a cell beside its label; below it where a word of it would have to be broken there."""
    longest = max(min(len(word), LONGEST) for word in cell.split() or [""])
    if longest <= width - label:
        begin, *more = _folded(cell, width - label)
        return [f"{name:<{label}}{begin}".rstrip(), *(" " * label + part for part in more)]
    return [name, *((" " * GAP + part).rstrip() for part in _folded(cell, width - GAP))]


def counts(figures: Mapping[str, float]) -> str:
    """Return named counts on one line: ``12 documents, 1,204 chunks``."""
    return ", ".join(f"{number(figure)} {name}" for name, figure in figures.items())


def number(figure: float) -> str:
    """Return a number with separators, whole where it is whole."""
    return f"{int(figure):,}" if float(figure).is_integer() else f"{figure:,.2f}"


def seconds(duration: float) -> str:
    """Return a duration in seconds."""
    return f"{duration:.2f}"


def moment(at: float | None) -> str:
    """Return a time (seconds since the epoch) in UTC, or an empty text."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def plural(count: int, noun: str) -> str:
    """Return ``1 batch`` or ``3 batches``."""
    ending = "es" if noun.endswith(("ch", "s", "x")) else "s"
    return f"{count:,} {noun}{'' if count == 1 else ending}"
