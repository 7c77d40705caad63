"""The tables of the SQL index (SQLite).

Every row follows from the records written, whatever the order of the writes, so two databases that were given the same
documents hold equal rows. ``index_chunks.key`` is the row number the full-text index needs: a hash of root and chunk
id, not a counter. ``index_text`` is an FTS5 index without text of its own; it reads ``index_text_source``. What depends
on the history of writes stands apart, in ``index_meta`` and ``store_roots``.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCHEMA = 1
"""Raised when a table changes; an index of a newer schema is refused."""

METADATA = MetaData()

DOCUMENTS = Table(
    "index_documents",
    METADATA,
    Column("root", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("json", Text, nullable=False),
    Index("index_documents_id", "id"),
)

IDENTIFIERS = Table(
    "index_identifiers",
    METADATA,
    Column("root", String, primary_key=True),
    Column("document", String, primary_key=True),
    Column("identifier", String, primary_key=True),
    ForeignKeyConstraint(["root", "document"], ["index_documents.root", "index_documents.id"], ondelete="CASCADE"),
    Index("index_identifiers_identifier", "identifier"),
    sqlite_with_rowid=False,
)

CHUNKS = Table(
    "index_chunks",
    METADATA,
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("root", String, nullable=False),
    Column("document", String, nullable=False),
    Column("id", String, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("section", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("tokens", Integer, nullable=False),
    ForeignKeyConstraint(["root", "document"], ["index_documents.root", "index_documents.id"], ondelete="CASCADE"),
    UniqueConstraint("root", "document", "id"),
    Index("index_chunks_document", "document"),
)

VECTORS = Table(
    "index_vectors",
    METADATA,
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("vector", LargeBinary, nullable=False),
    ForeignKeyConstraint(["key"], ["index_chunks.key"], ondelete="CASCADE"),
)
"""Vectors as little-endian float32."""

META = Table(
    "index_meta",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
"""``schema``, ``embedder`` (its identity as JSON, while there are vectors) and ``changes``, a count of changing writes."""

VIEW = """
CREATE VIEW IF NOT EXISTS index_text_source AS
SELECT c.key AS key, c.root AS root, d.title AS title, c.section AS section, c.text AS text
FROM index_chunks c JOIN index_documents d ON d.root = c.root AND d.id = c.document
"""
TEXT = """
CREATE VIRTUAL TABLE IF NOT EXISTS index_text USING fts5(
    title, section, text, content='index_text_source', content_rowid='key', tokenize='porter unicode61 remove_diacritics 2'
)
"""
FIRST = f"INSERT OR IGNORE INTO index_meta (name, value) VALUES ('schema', '{SCHEMA}')"  # noqa: S608  # a constant


@event.listens_for(METADATA, "after_create")
def _finish(_metadata: MetaData, connection: Connection, **_more: Any) -> None:
    for statement in (VIEW, TEXT, FIRST):
        connection.exec_driver_sql(statement)


def chunk_key(root: str, chunk: str) -> int:
    """Return the row number of a chunk: 63 bits of a hash; two of a million chunks share one with odds of 1 in 10^7."""
    digest = blake2b(f"{root}\0{chunk}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
