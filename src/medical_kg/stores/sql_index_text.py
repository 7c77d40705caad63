"""What a full-text index of the SQL index offers; each database has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Select

    from medical_kg.stores.fusion import Scored
    from medical_kg.stores.index_rows import RootRows


class FullText(Protocol):
    """Keeps the words of the chunks, with those of their titles and sections. Each call is part of a transaction."""

    def create(self, connection: Connection) -> None:
        """Make what is missing, beside the tables of the index."""

    def add(self, connection: Connection, roots: Mapping[str, RootRows]) -> None:
        """Take up the chunks of these roots, whose rows are there."""

    def drop(self, connection: Connection, roots: Sequence[str]) -> None:
        """Let go of the chunks of these roots, whose rows are still there."""

    def purge(self, connection: Connection) -> None:
        """Remove the words that are only marked as gone."""

    def find(
        self, connection: Connection, words: Sequence[str], limit: int, keys: Select[tuple[int]] | None = None
    ) -> list[Scored]:
        """Return the chunks with any of these words, best first; where a query is given, of its keys only."""


def full_text(connection: Connection) -> FullText:
    """Return the full-text index of a database."""
    if connection.dialect.name == "sqlite":
        from medical_kg.stores.sql_index_fts5 import Fts5

        return Fts5()
    from medical_kg.stores.sql_index_tsvector import TsVector

    return TsVector()
