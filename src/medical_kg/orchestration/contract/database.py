"""The workspace's database: how everybody who keeps tables in it opens it. The one place that knows which it is.

SQLite runs with a write-ahead log, so that readers go on while one process writes, with foreign keys, and waits up to
30 s for another writer. Writers begin with ``BEGIN IMMEDIATE``: two of them queue up instead of failing half-way. What
other databases need besides (row locks) stands in the statements; SQLite ignores it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import ArgumentError, DBAPIError

from medical_kg.orchestration.contract.errors import SettingsError, StorageError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

__all__ = ["insert", "open_engine", "reading", "writing"]

BUSY_TIMEOUT_SECONDS = 30

READS = {"medical_kg_reads": True}
"""Marks an engine whose transactions only read."""


def open_engine(url: str) -> Engine:
    """Return an engine for the database at ``url``; nothing is opened yet.

    Raises:
        SettingsError: the URL cannot be read, or names a database that cannot be used.
    """
    engine = create_engine(_checked(url), connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        msg = "database_url is not a database URL; write e.g. sqlite:////home/me/kg/medical_kg.db"
        raise SettingsError(msg) from error
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() != "sqlite":
        msg = (
            f"{shown} is {parsed.get_backend_name()}, where ledger, index and graph cannot be kept yet; give a "
            "sqlite:/// URL"
        )
        raise SettingsError(msg)
    if parsed.database in (None, "", ":memory:"):
        msg = f"what is kept must outlive the process, which {shown} does not; name a file: sqlite:////path/to/file.db"
        raise SettingsError(msg)
    return parsed


def _set_pragmas(connection: Any, _record: Any) -> None:
    # The driver must not open transactions of its own: _begin does.
    connection.isolation_level = None
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous=NORMAL").close()
    connection.execute("PRAGMA foreign_keys=ON").close()


def _use_write_ahead_log(connection: Any) -> None:
    # SQLite does not wait its busy timeout here: while another process is switching too, it refuses at once.
    until = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except connection.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get("medical_kg_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed at the end, rolled back on any error.

    Raises:
        TransientError: another process held the database for longer than the busy timeout.
        StorageError: the database could not be written, e.g. because the disk is full.
    """
    with _translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view for reading; writers are not held up. Raises as ``writing`` does."""
    with _translated(engine), engine.execution_options(**READS).begin() as connection:
        yield connection


HELD = f"another process has held it for {BUSY_TIMEOUT_SECONDS} s; end that process, or try again"
ADVICE = {
    "full": "make room on the disk; nothing was lost, go on with: medical-kg submissions resume",
    "readonly": "give this user the right to write the file and its folder",
    "unable to open": "see that its folder exists and that this user may write there",
    "not a database": "the file is damaged or something else; restore it from a backup, or name another file",
    "malformed": "the file is damaged; restore it from a backup",
    "no column": "another release made these tables; give the workspace a new folder, and run the input again",
    "I/O error": "see that the disk is there and has room, and that a file may grow (ulimit -f)",
}
"""What to do, by a word of the database's own message."""


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        said = str(error.orig)
        shown = engine.url.render_as_string(hide_password=True)
        if "locked" in said or "busy" in said:
            raise TransientError(f"the database {shown}: {said}; {HELD}") from error
        advice = next((f"; {text}" for word, text in ADVICE.items() if word in said), "")
        raise StorageError(f"the database {shown}: {said}{advice}") from error
