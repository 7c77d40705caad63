"""The full-text index in SQLite: FTS5, without text of its own; it reads ``index_text_source``.

Words are stemmed (Porter) and stripped of accents; chunks are ranked by BM25.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Double, bindparam, literal_column, select, table, text

from medical_kg.stores.fusion import Scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Select

    from medical_kg.stores.index_rows import RootRows

VIEW = """
CREATE VIEW IF NOT EXISTS index_text_source AS
SELECT c.key AS key, c.root AS root, d.title AS title, c.section AS section, c.text AS text
FROM index_chunks c JOIN index_documents d ON d.root = c.root AND d.id = c.document
"""
TOKENIZE = "porter unicode61 remove_diacritics 2"
TEXT = f"""
CREATE VIRTUAL TABLE IF NOT EXISTS index_text USING fts5(
    title, section, text, content='index_text_source', content_rowid='key', tokenize='{TOKENIZE}'
)
"""
ROOTS_GIVEN = "root IN (SELECT value FROM json_each(:roots))"
# FTS5 keeps no text of its own here, so it must be told the words that leave. Rows go in order of their key, since
# every step back makes it write a segment of its own.
DROP = text(
    "INSERT INTO index_text(index_text, rowid, title, section, text) "  # noqa: S608  # constants only
    f"SELECT 'delete', key, title, section, text FROM index_text_source WHERE {ROOTS_GIVEN} ORDER BY key"
)
ADD = text(
    "INSERT INTO index_text(rowid, title, section, text) "  # noqa: S608  # constants only
    f"SELECT key, title, section, text FROM index_text_source WHERE {ROOTS_GIVEN} ORDER BY key"
)
PURGE = text("INSERT INTO index_text(index_text) VALUES('optimize')")
ROW = literal_column("rowid", BigInteger)
RANK = literal_column("bm25(index_text)", Double)
"""The better, the lower."""
MATCH = (
    select(ROW, RANK)
    .select_from(table("index_text"))
    .where(text("index_text MATCH :words"))
    .order_by(RANK, ROW)
    .limit(bindparam("limit"))
)


class Fts5:
    """See ``FullText``."""

    def create(self, connection: Connection) -> None:
        """Make the virtual table and the view it reads."""
        for statement in (VIEW, TEXT):
            connection.exec_driver_sql(statement)

    def add(self, connection: Connection, roots: Mapping[str, RootRows]) -> None:
        """Read the words of these roots from their rows."""
        connection.execute(ADD, _given(roots))

    def drop(self, connection: Connection, roots: Sequence[str]) -> None:
        """Take back the words of these roots, read once more."""
        connection.execute(DROP, _given(roots))

    def purge(self, connection: Connection) -> None:
        """Merge all segments into one: what was deleted is a mark in a newer one until then."""
        connection.execute(PURGE)

    def find(
        self, connection: Connection, words: Sequence[str], limit: int, keys: Select[tuple[int]] | None = None
    ) -> list[Scored]:
        """Return the best by BM25."""
        if not words:
            return []
        query = MATCH if keys is None else MATCH.where(ROW.in_(keys))
        found = connection.execute(query, {"words": match_expression(words), "limit": limit})
        return [Scored(key, -rank) for key, rank in found]


def match_expression(words: Iterable[str]) -> str:
    """Return an FTS5 expression for any of the words; every word is quoted, so none is an operator."""
    return " OR ".join(f'"{word}"' for word in words)


def _given(roots: Iterable[str]) -> dict[str, str]:
    return {"roots": json.dumps(list(roots))}
