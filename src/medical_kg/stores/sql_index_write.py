"""What the SQL index writes, inside a transaction that its caller holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, cast, delete, func, insert, select, update

from medical_kg.documents.records import EmbedderIdentity
from medical_kg.orchestration.contract.database import in_groups
from medical_kg.stores.index_rows import chunk_key, filtered_by, settled, vector_bytes
from medical_kg.stores.sql_index_tables import (
    CHUNKS,
    DOCUMENTS,
    IDENTIFIERS,
    META,
    VECTORS,
    WORKS,
    work_rows,
)
from medical_kg.stores.sql_index_text import full_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Chunk
    from medical_kg.stores.index_rows import RootRows


def count_roots(connection: Connection, roots: Sequence[str]) -> int:
    """Return how many of these roots have rows."""
    counted = select(func.count(DOCUMENTS.c.root.distinct()))
    return sum(
        int(connection.execute(counted.where(DOCUMENTS.c.root.in_(group))).scalar_one()) for group in in_groups(roots)
    )


def rows_of(connection: Connection, root: str) -> dict[str, int]:
    """Return how many documents, chunks and vectors there are of a root."""
    vectors = select(VECTORS.c.key).join(CHUNKS, CHUNKS.c.key == VECTORS.c.key)
    queries = {"documents": select(DOCUMENTS.c.id), "chunks": select(CHUNKS.c.key), "vectors": vectors}
    tables = {"documents": DOCUMENTS, "chunks": CHUNKS, "vectors": CHUNKS}
    return {
        name: int(
            connection.execute(
                select(func.count()).select_from(query.where(tables[name].c.root == root).subquery())
            ).scalar_one()
        )
        for name, query in queries.items()
    }


def delete_roots(connection: Connection, roots: Sequence[str]) -> None:
    """Delete all rows of these roots; chunks, vectors and identifiers go with their documents."""
    full_text(connection).drop(connection, roots)
    for group in in_groups(roots):
        connection.execute(delete(DOCUMENTS).where(DOCUMENTS.c.root.in_(group)))
    if connection.execute(select(VECTORS.c.key).limit(1)).first() is None:
        connection.execute(delete(META).where(META.c.name == "embedder"))
    note_change(connection)


def insert_roots(connection: Connection, roots: Mapping[str, RootRows]) -> None:
    """Insert the rows of these roots, which have none."""
    stored = stored_embedder(connection)
    identity = settled(stored, roots.values())
    if identity and not stored:
        connection.execute(insert(META).values(name="embedder", value=identity.model_dump_json()))
    documents = [pair for _, rows in sorted(roots.items()) for _, pair in sorted(rows.documents.items())]
    _insert(connection, DOCUMENTS, [_document_row(document, body) for document, body in documents])
    _insert(connection, IDENTIFIERS, [row for document, _ in documents for row in _identifier_rows(document)])
    _insert(connection, WORKS, [row for document, _ in documents for row in _work_rows(document)])
    chunks = [_chunk_row(chunk) for rows in roots.values() for chunk in rows.chunks.values()]
    _insert(connection, CHUNKS, sorted(chunks, key=_key))
    vectors = [
        {"key": chunk_key(one.root, one.id), "vector": vector_bytes(one)}
        for rows in roots.values()
        for one in rows.embeddings.values()
    ]
    _insert(connection, VECTORS, sorted(vectors, key=_key))
    full_text(connection).add(connection, roots)
    note_change(connection)


def note_change(connection: Connection) -> None:
    """Count a changing write, so that readers know their copy of the vectors is old."""
    done = connection.execute(
        update(META).where(META.c.name == "changes").values(value=cast(META.c.value, Integer) + 1)
    )
    if not done.rowcount:
        connection.execute(insert(META).values(name="changes", value="1"))


def stored_embedder(connection: Connection) -> EmbedderIdentity | None:
    """Return what made the vectors in the index; None while it has none."""
    found = connection.execute(select(META.c.value).where(META.c.name == "embedder")).scalar()
    return None if found is None else EmbedderIdentity.model_validate_json(found)


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _key(row: Mapping[str, Any]) -> int:
    return int(row["key"])


def _document_row(document: Document, body: str) -> dict[str, Any]:
    return {
        "root": document.root,
        "id": document.id,
        "kind": document.kind,
        "title": document.title,
        "json": body,
        **filtered_by(document.provenance.source, document.provenance.format, document.published),
    }


def _identifier_rows(document: Document) -> list[dict[str, str]]:
    return [
        {"root": document.root, "document": document.id, "identifier": identifier}
        for identifier in sorted({document.id, *document.identifiers})
    ]


def _work_rows(document: Document) -> list[dict[str, str]]:
    return work_rows(document.root, document.id, document.kind, document.identifiers)


def _chunk_row(chunk: Chunk) -> dict[str, Any]:
    return {"key": chunk_key(chunk.root, chunk.id), **chunk.model_dump(exclude={"context"})}
