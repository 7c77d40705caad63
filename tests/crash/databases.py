"""Looking into a workspace's database by plain SQL: nothing of the engine tells the crash suite how things stand."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psycopg
from postgres_server import PostgresServer

LEDGER = ("submissions", "batches", "stage_results", "waits", "dead_letters", "signals", "history")
CONTENT = ("index_", "graph_", "store_roots", "seen")
INTERNAL = ("index_text_",)
"""Of SQLite's full-text index: how it is laid out depends on the order of writes."""
# Postgres does not use a submission's number again that a killed program has drawn. The input of a pipeline that a signal
# started names the submission that told it.
NOT_COMPARED = {"seen": ("submission_id", "sequence", "input_key", "at"), "store_roots": ("version",)}
CHANGES = "changes"
"""The row of index_meta that counts writes, of which a killed run makes more."""

KINDS = ("sqlite", "postgres")

Row = Mapping[str, Any]
Rows = Mapping[str, list[str]]


@dataclass(frozen=True)
class Ledger:
    """The ledger's tables at one moment, each row by column; empty where there is no ledger yet."""

    submissions: list[Row] = field(default_factory=list)
    batches: list[Row] = field(default_factory=list)
    stage_results: list[Row] = field(default_factory=list)
    waits: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    signals: list[Row] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)

    def completed(self) -> set[tuple[str, str]]:
        """Batch and stage of every completed result."""
        return {(row["batch_id"], row["stage"]) for row in self.stage_results if row["status"] == "completed"}


class Database(Protocol):
    """A database that can be looked into."""

    kind: str

    def settings(self) -> str:
        """What the workspace's settings must say."""

    def tables(self) -> list[str]:
        """Its tables; none where it is not there yet."""

    def rows(self, table: str) -> list[Row]:
        """Every row of a table, in the order in which they were written as far as they have a number."""

    def sound(self) -> list[str]:
        """What is wrong with the database itself."""

    def close(self) -> None:
        """Remove what stands outside the workspace's folder."""


class Sqlite:
    """The workspace's own file."""

    kind = "sqlite"

    def __init__(self, root: Path) -> None:
        self._path = root / "medical-kg.db"

    def settings(self) -> str:
        return ""

    def _ask(self, query: str) -> list[Row]:
        if not self._path.exists():
            return []
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def tables(self) -> list[str]:
        return [row["name"] for row in self._ask("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def rows(self, table: str) -> list[Row]:
        return self._ask(f"SELECT * FROM {table}{_order(table)}")

    def sound(self) -> list[str]:
        said = [row["integrity_check"] for row in self._ask("PRAGMA integrity_check")]
        strangers = self._ask("PRAGMA foreign_key_check")
        return [f"SQLite: {line}" for line in said if line != "ok"] + [f"no such parent: {row}" for row in strangers]

    def close(self) -> None:
        """Nothing stands outside."""


class Postgres:
    """A database of a server."""

    kind = "postgres"

    def __init__(self, server: PostgresServer) -> None:
        self._server, self._name = server, server.database()

    def settings(self) -> str:
        return f'[workspace]\ndatabase_url = "{self._server.url(self._name)}"\n'

    def _ask(self, query: str) -> list[Row]:
        address = self._server.url(self._name).replace("+psycopg", "")
        with closing(psycopg.connect(address, autocommit=True, row_factory=psycopg.rows.dict_row)) as connection:
            return list(connection.execute(query.encode()).fetchall())

    def tables(self) -> list[str]:
        return [row["tablename"] for row in self._ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]

    def rows(self, table: str) -> list[Row]:
        return self._ask(f"SELECT * FROM {table}{_order(table)}")

    def sound(self) -> list[str]:
        asked = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return [f"a connection is still open: {row['query']}" for row in self._ask(asked)]

    def close(self) -> None:
        self._server.query(f"DROP DATABASE {self._name} WITH (FORCE)")


def _order(table: str) -> str:
    return " ORDER BY id" if table in ("history", "signals") else ""


def ledger_of(database: Database) -> Ledger:
    """How the ledger stands. Nobody may be writing: each table is read by itself."""
    there = set(database.tables())
    return Ledger(**{name: [_plain(row) for row in database.rows(name)] for name in LEDGER if name in there})


def content_of(database: Database) -> Rows:
    """Every row of index and graph, by table, in an order that does not depend on the order of writes."""
    kept = [name for name in sorted(database.tables()) if name.startswith(CONTENT) and not name.startswith(INTERNAL)]
    return {name: sorted(_compared(name, database.rows(name))) for name in kept}


def _compared(table: str, rows: list[Row]) -> Iterator[str]:
    left_out = NOT_COMPARED.get(table, ())
    for row in rows:
        if not (table == "index_meta" and row["name"] == CHANGES):
            yield repr({name: value for name, value in row.items() if name not in left_out})


def _plain(row: Row) -> Row:
    """JSON is text in SQLite and an object in Postgres."""
    return {name: _parsed(value) if name in ("outputs", "detail", "input") else value for name, value in row.items()}


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
