"""Where the words of a query stand in passages, as the full-text index sees words: stemmed, without accents.

An FTS5 table in memory tells it, for either database: SQLite's Porter stemmer and Postgres' Snowball agree on nearly all
English words.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from medical_kg.stores.sql_index_fts5 import TOKENIZE, match_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

OPEN, CLOSE = "\x02", "\x03"
"""Marks that FTS5 puts around matches; in passages, where they mean nothing, spaces stand for them."""
HIDE = str.maketrans({OPEN: " ", CLOSE: " ", "\0": " "})


def matches(words: Sequence[str], passages: Sequence[str]) -> list[tuple[tuple[int, int], ...]]:
    """Return for each passage where any of the words stand: start and end (exclusive) in characters, in order."""
    found: list[tuple[tuple[int, int], ...]] = [()] * len(passages)
    if not words:
        return found
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.execute(f"CREATE VIRTUAL TABLE passages USING fts5(text, tokenize='{TOKENIZE}')")
        memory.executemany(
            "INSERT INTO passages(rowid, text) VALUES (?, ?)",
            ((number, passage.translate(HIDE)) for number, passage in enumerate(passages)),
        )
        query = "SELECT rowid, highlight(passages, 0, ?, ?) FROM passages WHERE passages MATCH ?"
        for number, marked in memory.execute(query, (OPEN, CLOSE, match_expression(words))):
            found[number] = _spans(marked)
    return found


def _spans(marked: str) -> tuple[tuple[int, int], ...]:
    """Return where the marks stood: every second stretch between them is a match."""
    lengths = map(len, marked.replace(CLOSE, OPEN).split(OPEN))
    ends = accumulate(lengths, initial=0)
    return tuple(pair for number, pair in enumerate(pairwise(ends)) if number % 2)
