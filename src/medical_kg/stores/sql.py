"""What both halves of the SQL store share: the engine, transactions, and the version each root stands at.

SQLite is opened with a write-ahead log, so that readers go on while one process writes, with foreign keys, and with a
busy timeout of 30 s. Writers begin with ``BEGIN IMMEDIATE``: two of them queue up instead of failing half-way.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    inspect,
    make_url,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import ArgumentError, DBAPIError

from medical_kg import StorageError, TransientError
from medical_kg.orchestration.contract.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 30
GROUP = 500
"""How many values one IN (…) takes; SQLite allows 32,766 bound values in one statement."""

METADATA = MetaData()

ROOTS = Table(
    "store_roots",
    METADATA,
    Column("half", String, primary_key=True),
    Column("root", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("digest", String, nullable=False, server_default=""),
)
"""Bookkeeping of both halves: which submission wrote a root last, and a digest of what it wrote."""


class Claim(NamedTuple):
    """What a write may touch: roots it may replace, roots refused as older, and the digests of earlier writes."""

    accepted: tuple[str, ...]
    refused: tuple[str, ...]
    digests: Mapping[str, str]


def open_engine(url: str, *, tables: MetaData | None = None) -> Engine:
    """Return an engine for a database URL, with ``store_roots`` and ``tables`` made where there are none.

    Raises:
        SettingsError: the URL cannot be read, or names a database other than SQLite.
        StorageError: the database cannot be opened.
    """
    engine = _sqlite_engine(url)
    for metadata in (METADATA, tables):
        if metadata is not None:
            _make_missing(engine, metadata)
    return engine


def _sqlite_engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        msg = "database_url is not a database URL; write e.g. sqlite:////home/me/kg/medical_kg.db"
        raise SettingsError(msg) from error
    if parsed.get_backend_name() != "sqlite":
        shown = parsed.render_as_string(hide_password=True)
        msg = (
            f"the store 'database' keeps its index and graph in SQLite; {shown} is {parsed.get_backend_name()}, which "
            f"it cannot use yet. Give a sqlite:/// URL, or choose another store in the pipeline (config: store)"
        )
        raise SettingsError(msg)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: Any, _record: Any) -> None:
    # The driver must not open transactions of its own: _begin does.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


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
    with _translated(engine), engine.connect() as plain:
        connection = plain.execution_options(medical_kg_reads=True)
        with connection.begin():
            yield connection


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        shown = engine.url.render_as_string(hide_password=True)
        msg = f"{shown}: {error.orig}"
        if "locked" in str(error.orig) or "busy" in str(error.orig):
            raise TransientError(msg) from error
        raise StorageError(msg) from error


def _make_missing(engine: Engine, metadata: MetaData) -> None:
    with reading(engine) as connection:
        found = set(inspect(connection).get_table_names())
    if not set(metadata.tables) <= found:
        with writing(engine) as connection:
            metadata.create_all(connection)


def in_groups(values: Iterable[T], size: int = GROUP) -> Iterator[list[T]]:
    """Yield the values in lists of at most ``size``, in order."""
    group: list[T] = []
    for value in values:
        group.append(value)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def claim_roots(connection: Connection, half: str, roots: Iterable[str], version: int) -> Claim:
    """Set the version of these roots for one half (``index`` or ``graph``), refusing those that are newer already.

    Call it inside the transaction that writes the rows. A write of the version a root already has is accepted.
    """
    wanted = tuple(dict.fromkeys(roots))
    known = _versions(connection, half, wanted)
    refused = tuple(root for root in wanted if root in known and known[root][0] > version)
    accepted = tuple(root for root in wanted if root not in set(refused))
    rows = [{"half": half, "root": root, "version": version} for root in accepted]
    upsert = insert(ROOTS)
    upsert = upsert.on_conflict_do_update(index_elements=["half", "root"], set_={"version": upsert.excluded.version})
    if rows:
        connection.execute(upsert, rows)
    return Claim(accepted, refused, {root: digest for root, (_, digest) in known.items() if digest})


def _versions(connection: Connection, half: str, roots: Sequence[str]) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for group in in_groups(roots):
        query = select(ROOTS.c.root, ROOTS.c.version, ROOTS.c.digest).where(
            ROOTS.c.half == half, ROOTS.c.root.in_(group)
        )
        found |= {root: (version, digest) for root, version, digest in connection.execute(query)}
    return found


def keep_digests(connection: Connection, half: str, digests: Mapping[str, str]) -> None:
    """Note what was written for these claimed roots, so that an equal write can be seen and skipped."""
    upsert = insert(ROOTS)
    upsert = upsert.on_conflict_do_update(index_elements=["half", "root"], set_={"digest": upsert.excluded.digest})
    rows = [{"half": half, "root": root, "version": 0, "digest": digest} for root, digest in digests.items()]
    if rows:
        connection.execute(upsert, rows)


def forget_roots(connection: Connection, half: str, roots: Iterable[str]) -> None:
    """Drop the bookkeeping of these roots for one half."""
    for group in in_groups(roots):
        connection.execute(delete(ROOTS).where(ROOTS.c.half == half, ROOTS.c.root.in_(group)))
