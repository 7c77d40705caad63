"""The newest submissions of a ledger in an SQLite file, without what opening a ledger takes: for the shell's completion."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Glimpse(NamedTuple):
    """What is offered of a submission."""

    id: str
    pipeline: str
    status: str
    pipeline_path: str


def glance(file: Path, limit: int) -> list[Glimpse]:
    """Return the newest submissions; the file is only read.

    Raises:
        sqlite3.Error: it is not there, or has no ledger that this release knows.
    """
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
        query = f"SELECT {', '.join(Glimpse._fields)} FROM submissions ORDER BY sequence DESC LIMIT ?"  # noqa: S608  # our own names
        return [Glimpse(*row) for row in connection.execute(query, (limit,))]
