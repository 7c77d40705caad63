"""Dagster's event log of a workspace: one SQLite database, opened once.

Dagster's default keeps a database per run and makes a SQLAlchemy engine per event, which was two thirds of the cost of
a batch on Dagster. This one is for a workspace on one machine; where the ledger is in Postgres, so is Dagster's history.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from sqlalchemy import create_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

BUSY_TIMEOUT_SECONDS = 30


class WorkspaceEventLogStorage(ConsolidatedSqliteEventLogStorage):
    """Every run's events in one database, whose compiled statements are kept between events."""

    @cached_property
    def _engine(self) -> Engine:
        return create_engine(self._conn_string, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Let go of the database."""
        super().dispose()  # type: ignore[no-untyped-call]  # Dagster leaves it without types
        self._engine.dispose()
