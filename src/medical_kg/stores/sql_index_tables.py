"""The tables of the SQL index.

Every row follows from the records written, whatever the order of the writes, so two databases that were given the same
documents hold equal rows. ``index_chunks.key`` is the row number the full-text index needs: a hash of root and chunk
id, not a counter. The full-text index itself, ``index_text``, is made by ``sql_index_text``. What depends on the history
of writes stands apart, in ``index_meta`` and ``store_roots``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    bindparam,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.schema import CreateColumn

from medical_kg.stores.index_rows import filtered_by
from medical_kg.stores.sql import KEPT
from medical_kg.stores.sql_index_text import full_text
from medical_kg.stores.sql_schema import Schema
from medical_kg.stores.works import work_identifiers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

METADATA = MetaData()

KEY = BigInteger().with_variant(Integer(), "sqlite")  # what SQLite takes for the number of a row

DOCUMENTS = Table(
    "index_documents",
    METADATA,
    Column("root", KEPT, primary_key=True),
    Column("id", KEPT, primary_key=True),
    Column("kind", KEPT, nullable=False),
    Column("title", KEPT, nullable=False),
    Column("json", KEPT, nullable=False),
    Column("source", KEPT, nullable=False, server_default=""),
    Column("format", KEPT, nullable=False, server_default=""),
    Column("year", Integer),
    Index("index_documents_id", "id"),
)
"""``source``, ``format`` and ``year`` are what filters look at; they stand in ``json`` too."""

IDENTIFIERS = Table(
    "index_identifiers",
    METADATA,
    Column("root", KEPT, primary_key=True),
    Column("document", KEPT, primary_key=True),
    Column("identifier", KEPT, primary_key=True),
    ForeignKeyConstraint(["root", "document"], ["index_documents.root", "index_documents.id"], ondelete="CASCADE"),
    Index("index_identifiers_identifier", "identifier"),
    sqlite_with_rowid=False,
)

WORKS = Table(
    "index_works",
    METADATA,
    Column("root", KEPT, primary_key=True),
    Column("document", KEPT, primary_key=True),
    Column("identifier", KEPT, primary_key=True),
    ForeignKeyConstraint(["root", "document"], ["index_documents.root", "index_documents.id"], ondelete="CASCADE"),
    Index("index_works_document", "document"),
    Index("index_works_identifier", "identifier"),
    sqlite_with_rowid=False,
)
"""The identifiers by which documents are records of one work, in the form in which they are compared."""

CHUNKS = Table(
    "index_chunks",
    METADATA,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("root", KEPT, nullable=False),
    Column("document", KEPT, nullable=False),
    Column("id", KEPT, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("section", KEPT, nullable=False),
    Column("text", KEPT, nullable=False),
    Column("tokens", Integer, nullable=False),
    ForeignKeyConstraint(["root", "document"], ["index_documents.root", "index_documents.id"], ondelete="CASCADE"),
    UniqueConstraint("root", "document", "id"),
    Index("index_chunks_document", "document"),
)

VECTORS = Table(
    "index_vectors",
    METADATA,
    Column("key", KEY, primary_key=True, autoincrement=False),
    Column("vector", LargeBinary, nullable=False),
    ForeignKeyConstraint(["key"], ["index_chunks.key"], ondelete="CASCADE"),
)
"""Vectors as little-endian float32."""

META = Table(
    "index_meta",
    METADATA,
    Column("name", KEPT, primary_key=True),
    Column("value", KEPT, nullable=False),
)
"""``embedder`` (its identity as JSON, while there are vectors) and ``changes``, a count of changing writes."""


@event.listens_for(METADATA, "after_create")
def _finish(_metadata: MetaData, connection: Connection, **_more: Any) -> None:
    full_text(connection).create(connection)


def work_rows(root: str, document: str, kind: str, identifiers: Iterable[str]) -> list[dict[str, str]]:
    """Return what says of which work a document is a record."""
    found = sorted(work_identifiers(kind, (document, *identifiers)))
    return [{"root": root, "document": document, "identifier": identifier} for identifier in found]


def _bring_to_2(connection: Connection) -> None:
    """Schema 2: what filters look at gets columns, and what makes records one work a table, filled from the documents."""
    for name in ("source", "format", "year"):
        column = CreateColumn(DOCUMENTS.c[name]).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE index_documents ADD COLUMN {column}")
    change = (
        update(DOCUMENTS)
        .where(DOCUMENTS.c.root == bindparam("of_root"), DOCUMENTS.c.id == bindparam("of_id"))
        .values({name: bindparam(f"new_{name}") for name in ("source", "format", "year")})
    )
    names = connection.execute(select(DOCUMENTS.c.root, DOCUMENTS.c.id)).all()
    for root, ident in names:
        known = connection.execute(
            select(DOCUMENTS.c.json).where(DOCUMENTS.c.root == root, DOCUMENTS.c.id == ident)
        ).scalar_one()
        document = json.loads(known)
        origin = document["provenance"]
        values = filtered_by(origin["source"], origin["format"], document["published"])
        new = {f"new_{name}": value for name, value in values.items()}
        connection.execute(change, {"of_root": root, "of_id": ident, **new})
        if rows := work_rows(root, ident, document["kind"], document["identifiers"]):
            connection.execute(insert(WORKS), rows)


INDEX = Schema("index", 2, METADATA, {2: _bring_to_2})
"""The schema of the index: its version is raised when a table changes."""
