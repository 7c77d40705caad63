"""The workspace's database: how everybody who keeps tables in it opens it. The one place that knows which it is.

SQLite runs with a write-ahead log, so that readers go on while one process writes, with foreign keys, and waits up to
30 s for another writer. Writers begin with ``BEGIN IMMEDIATE``: two of them queue up instead of failing half-way.

On Postgres writers run side by side (READ COMMITTED): whoever must be alone locks rows (``with_for_update``, which
SQLite ignores) or takes a turn (``take_turn``). Readers see one snapshot (REPEATABLE READ, read only).
"""

from __future__ import annotations

import os
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import String, Text, create_engine, event, make_url, text

# It renders ON CONFLICT on SQLite too; SQLite's own does not on Postgres.
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ArgumentError, DBAPIError

from medical_kg.orchestration.contract.errors import SettingsError, StorageError, TransientError
from medical_kg.orchestration.contract.secrets import conceal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.types import TypeEngine

__all__ = [
    "LONG_WORDS",
    "WORDS",
    "in_groups",
    "insert",
    "open_engine",
    "opened",
    "passwords",
    "reading",
    "shown",
    "shred",
    "take_turn",
    "writing",
]

T = TypeVar("T")

GROUP = 500
"""How many values one IN (…) takes; SQLite allows 32,766 bound values in one statement."""
BUSY_TIMEOUT_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 10

WORDS: TypeEngine[str] = String().with_variant(String(collation="C"), "postgresql")
LONG_WORDS: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared and ordered byte by byte in either database, whatever language a server is set up for."""

READS: Mapping[str, dict[str, Any]] = {
    "sqlite": {"medical_kg_reads": True},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}
"""What makes an engine's transactions only read."""

PASSWORDS = ("password", "sslpassword")
"""Options of a Postgres URL that are secret."""

TURN = {
    "sqlite": text("SELECT :name"),
    "postgresql": text("SELECT pg_advisory_xact_lock(hashtextextended('medical-kg ' || :name, 0))"),
}


def open_engine(url: str) -> Engine:
    """Return an engine for the database at ``url``; nothing is opened yet.

    Raises:
        SettingsError: the URL cannot be read, or names a database that cannot be used.
    """
    parsed = _checked(url)
    return (_sqlite if parsed.get_backend_name() == "sqlite" else _postgres)(parsed)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Give an engine for the database at ``url`` and dispose of it; raises as ``open_engine`` does."""
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        msg = "database_url is not a database URL; write e.g. sqlite:////home/me/kg/medical_kg.db"
        raise SettingsError(msg) from None  # the error's own words have the URL
    if "@" in (parsed.host or ""):
        # What follows the first @ of a password would be taken, and shown, as the host.
        raise SettingsError("database_url has more than one @; write %40 for one in the password")
    if parsed.drivername not in DRIVERS:
        msg = f"{shown(parsed)} is {parsed.drivername}, which cannot be used; give a sqlite:/// or a postgresql+psycopg:// URL"
        raise SettingsError(msg)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        msg = (
            f"what is kept must outlive the process; {shown(parsed)} does not: name a file, sqlite:////path/to/file.db"
        )
        raise SettingsError(msg)
    return parsed.set(drivername=DRIVERS[parsed.drivername])


DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""How a URL may begin, and the driver that it gets."""


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def passwords(url: URL) -> list[str]:
    """Return what is secret in a URL: its password, and those among its options."""
    options = [one for name in PASSWORDS for one in url.normalized_query.get(name, ())]
    return [one for one in (url.password, *options) if one]


def _conceal_passwords(url: URL) -> None:
    """Have them, and the environment's, replaced wherever they would be shown; a name that is shown as such is none."""
    names = (url.username, url.database, url.host)
    for password in (*passwords(url), os.environ.get("PGPASSWORD", "")):
        if password not in names:
            conceal(password)


def _postgres(url: URL) -> Engine:
    _conceal_passwords(url)
    patience = {
        "options": " ".join((f"-c lock_timeout={BUSY_TIMEOUT_SECONDS}s", *url.normalized_query.get("options", ()))),
        "connect_timeout": url.query.get("connect_timeout", str(CONNECT_TIMEOUT_SECONDS)),
    }
    try:
        # A server may have been started anew since a connection was last used: that is found out before it is used.
        return create_engine(url.update_query_dict(patience), isolation_level="READ COMMITTED", pool_pre_ping=True)
    except ImportError as error:
        msg = f"{shown(url)} needs a driver that is not installed: pip install 'medical-kg[postgres]' ({error})"
        raise SettingsError(msg) from error


def shown(url: URL) -> str:
    """Return a URL for people to see: without its password, and without its options, where one may stand too."""
    return url.set(query={}).render_as_string(hide_password=True)


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
    with _translated(engine), engine.execution_options(**READS[engine.dialect.name]).begin() as connection:
        yield connection


def take_turn(connection: Connection, name: str) -> None:
    """Wait until no other write transaction has the turn of this name; it is kept until this transaction ends.

    On SQLite every write transaction is alone anyway.
    """
    connection.execute(TURN[connection.dialect.name], {"name": name})


PATIENCE = f"another process has held it for {BUSY_TIMEOUT_SECONDS} s; end that process, or try again"


def in_groups(values: Iterable[T], size: int = GROUP) -> Iterator[list[T]]:
    """Yield the values in lists of at most ``size``, in order: so many fit into one IN (…)."""
    group: list[T] = []
    for value in values:
        group.append(value)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def shred(engine: Engine) -> None:
    """Rewrite an SQLite database without its free pages and empty its log, so that what was deleted is in neither file.

    A server keeps its own pages; there deleted rows are in no dump, and their space goes back to it in time.

    Raises:
        TransientError: another process was reading, so the log could not be emptied.
    """
    if engine.dialect.name != "sqlite":
        return
    with _translated(engine), closing(engine.raw_connection()) as connection:
        driver: Any = connection.driver_connection
        driver.isolation_level, former = None, driver.isolation_level
        try:
            driver.execute("VACUUM").close()
            busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except driver.Error as error:
            raise StorageError(f"the database {shown(engine.url)} cannot be rewritten: {error}") from error
        finally:
            driver.isolation_level = former
    if busy:
        raise TransientError(f"the log of the database {shown(engine.url)} is being read by another process; try again")


PASSING = {
    " is locked": PATIENCE,
    "busy": PATIENCE,
    "lock timeout": PATIENCE,
    "deadlock detected": "two processes waited for each other; try again",
    "could not serialize": "another process changed the same; try again",
    "Connection refused": "see that the server runs, and that host and port are right",
    "timeout expired": "see that the server can be reached, and that host and port are right",
    "the database system is": "the server is starting or stopping; try again in a moment",
    "server closed the connection": "the server was stopped, or ended this connection; try again",
    "terminating connection": "the server was stopped, or ended this connection; try again",
    "connection is lost": "the server was stopped, or ended this connection; try again",
    "too many clients": "the server has no connection left; end other programs, or raise its max_connections",
    "remaining connection slots": "the server has no connection left; end other programs, or raise its max_connections",
}
"""What may pass, by words of the database's own message, and what to do."""

ADVICE = {
    "disk is full": "make room on the disk; nothing was lost, go on with: medical-kg submissions resume",
    "No space left": "make room on the server's disk; nothing was lost, go on with: medical-kg submissions resume",
    "readonly": "give this user the right to write the file and its folder",
    "unable to open": "see that its folder exists and that this user may write there",
    "not a database": "the file is damaged or something else; restore it from a backup, or name another file",
    "malformed": "the file is damaged; restore it from a backup",
    "no column": "another release made these tables; give the workspace a new folder, and run the input again",
    "I/O error": "see that the disk is there and has room, and that a file may grow (ulimit -f)",
    "no password supplied": "give the password in ~/.pgpass, PGPASSWORD or the URL",
    "password authentication failed": "see that user and password are right (the URL, PGPASSWORD or ~/.pgpass)",
    "FATAL: database": "make it (createdb), or name another",
    "FATAL: role": "make the user (createuser), or name another in the URL",
    "permission denied": "let the user own the database: ALTER DATABASE … OWNER TO …",
    "resolve host": "see that the host in the URL is right",
    "(0x00)": "Postgres keeps no text with a NUL in it; take it out of what is written",
}
"""What to do, by words of the database's own message."""


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        said = " ".join(str(error.orig).split())
        what = f"the database {shown(engine.url)}: {said}"
        if passing := _fitting(PASSING, said):
            raise TransientError(f"{what}{passing}") from error
        raise StorageError(f"{what}{_fitting(ADVICE, said)}") from error


def _fitting(advice: Mapping[str, str], said: str) -> str:
    return next((f"; {text}" for words, text in advice.items() if words in said), "")
