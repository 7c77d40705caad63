"""How results look: tables, numbers, times."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


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


def folded(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()) -> Table:
    """Return a table for a terminal; long cells are folded, never cut off."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold", justify="right" if column in right else "left")
    for row in rows:
        # As Text: what is shown comes from files and plugins, and square brackets in it are no markup.
        made.add_row(*map(Text, row))
    return made


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
