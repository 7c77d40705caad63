"""A ledger and checkpoints that live in memory and are gone with it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import QueuePool, create_engine, event

from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.ledger.schema import bring_up_to_date
from medical_kg.orchestration.ledger.sql import SqlLedger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from medical_kg.orchestration.contract import Clock


def memory_ledger(clock: Clock) -> SqlLedger:
    """Return the engine's own ledger over a database in memory; threads take turns at its one connection."""
    engine = create_engine(
        "sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, connect_args={"check_same_thread": False}
    )
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin)
    bring_up_to_date(engine)
    return SqlLedger(engine, clock)


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON").close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


class MemoryCheckpoints:
    """Stored bytes by their sha256, as the engine's checkpoint store keeps them in files."""

    def __init__(self) -> None:
        """Start empty."""
        self._stored: dict[str, bytes] = {}

    def put(self, data: bytes, suffix: str) -> str:
        """Keep the bytes and return their sha256."""
        digest = hashlib.sha256(data).hexdigest()
        self._stored[digest + suffix] = data
        return digest

    def get(self, digest: str, suffix: str) -> bytes:
        """Return what was kept; raises ``StorageError`` when it was not."""
        if digest + suffix not in self._stored:
            raise StorageError(f"no checkpoint {digest}{suffix} is kept")
        return self._stored[digest + suffix]

    def has(self, digest: str, suffix: str) -> bool:
        """Whether it is kept."""
        return digest + suffix in self._stored
