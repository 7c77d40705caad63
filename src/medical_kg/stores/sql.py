"""What both halves of the SQL store share: their tables in the workspace's database, and each root's version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Column, Integer, Table, TypeDecorator, delete, select

from medical_kg.orchestration.contract.database import WORDS, in_groups, insert, open_engine, take_turn
from medical_kg.stores.sql_schema import METADATA, Schema
from medical_kg.stores.versions import claimed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Dialect, Engine

    from medical_kg.stores.versions import Claim


class Kept(TypeDecorator[str]):
    """Text of documents. Postgres keeps no NUL; there it becomes U+FFFD, one character as well: offsets stay right."""

    impl = WORDS
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what the database is given."""
        return value if value is None or dialect.name == "sqlite" else value.replace("\0", "\ufffd")


KEPT = Kept()

ROOTS = Table(
    "store_roots",
    METADATA,
    Column("half", KEPT, primary_key=True),
    Column("root", KEPT, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("digest", KEPT, nullable=False, server_default=""),
)
"""Bookkeeping of both halves: which submission wrote or removed a root last, and a digest of what it wrote."""


def open_tables(url: str, schema: Schema) -> Engine:
    """Return an engine for a database URL, with ``store_roots`` and the tables of a half as this release knows them.

    Raises:
        SettingsError: the URL cannot be read, or names a database that cannot be used.
        SchemaTooNew: a newer release wrote the half.
        StorageError: the database cannot be opened.
    """
    engine = open_engine(url)
    try:
        schema.bring_up_to_date(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def claim_roots(connection: Connection, half: str, roots: Iterable[str], version: int) -> Claim:
    """Set the version of these roots for one half (``index`` or ``graph``), refusing those that are newer already.

    Call it first inside the transaction that writes the rows: other writers of this half wait for its end. A write of
    the version a root already has is accepted.
    """
    take_turn(connection, f"store {half}")
    wanted = tuple(dict.fromkeys(roots))
    claim = claimed(wanted, version, _versions(connection, half, wanted))
    rows = [{"half": half, "root": root, "version": version} for root in claim.accepted]
    upsert = insert(ROOTS)
    upsert = upsert.on_conflict_do_update(index_elements=["half", "root"], set_={"version": upsert.excluded.version})
    if rows:
        connection.execute(upsert, rows)
    return claim


def drop_version(connection: Connection, half: str, root: str) -> None:
    """Drop what is noted of a root: nothing then tells that it was ever there.

    Call it first inside the transaction that deletes the rows: other writers of this half wait for its end.
    """
    take_turn(connection, f"store {half}")
    connection.execute(delete(ROOTS).where(ROOTS.c.half == half, ROOTS.c.root == root))


def _versions(connection: Connection, half: str, roots: Sequence[str]) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for group in in_groups(roots):
        query = select(ROOTS.c.root, ROOTS.c.version, ROOTS.c.digest).where(
            ROOTS.c.half == half, ROOTS.c.root.in_(group)
        )
        found |= {root: (version, digest) for root, version, digest in connection.execute(query)}
    return found


def keep_digests(connection: Connection, half: str, digests: Mapping[str, str]) -> None:
    """Note what was written for these claimed roots, so that an equal write can be seen and skipped.

    An empty digest says that nothing is there.
    """
    upsert = insert(ROOTS)
    upsert = upsert.on_conflict_do_update(index_elements=["half", "root"], set_={"digest": upsert.excluded.digest})
    rows = [{"half": half, "root": root, "version": 0, "digest": digest} for root, digest in digests.items()]
    if rows:
        connection.execute(upsert, rows)
