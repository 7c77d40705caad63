"""What the SQL index writes, inside a transaction that its caller holds."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Integer, cast, delete, insert, select, text, update

from medical_kg import ContractError
from medical_kg.documents.records import EmbedderIdentity
from medical_kg.stores.contract import EmbedderMismatch
from medical_kg.stores.sql_index_tables import CHUNKS, DOCUMENTS, IDENTIFIERS, META, VECTORS, chunk_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Chunk, Embedding

ROOTS_GIVEN = "root IN (SELECT value FROM json_each(:roots))"
# FTS5 keeps no text of its own here, so it must be told the words that leave. Rows go in order of their key, since
# every step back makes it write a segment of its own.
DROP_TEXT = text(
    "INSERT INTO index_text(index_text, rowid, title, section, text) "  # noqa: S608  # constants only
    f"SELECT 'delete', key, title, section, text FROM index_text_source WHERE {ROOTS_GIVEN} ORDER BY key"
)
ADD_TEXT = text(
    "INSERT INTO index_text(rowid, title, section, text) "  # noqa: S608  # constants only
    f"SELECT key, title, section, text FROM index_text_source WHERE {ROOTS_GIVEN} ORDER BY key"
)
DROP_DOCUMENTS = text(f"DELETE FROM index_documents WHERE {ROOTS_GIVEN}")  # noqa: S608  # constants only
COUNT_ROOTS = text(f"SELECT count(DISTINCT root) FROM index_documents WHERE {ROOTS_GIVEN}")  # noqa: S608  # constants only


@dataclass(slots=True)
class RootRows:
    """All records of one root. Of records that share an id the last one counts."""

    documents: dict[str, tuple[Document, str]] = field(default_factory=dict)
    chunks: dict[str, Chunk] = field(default_factory=dict)
    embeddings: dict[str, Embedding] = field(default_factory=dict)

    def digest(self) -> str:
        """Return a digest of everything that would be written."""
        state = blake2b(digest_size=16)
        parts: list[Any] = [
            [body for _, body in self.documents.values()],
            [list(chunk.model_dump().values()) for chunk in self.chunks.values()],
            [[one.id, one.embedder.model_dump_json()] for one in self.embeddings.values()],
        ]
        state.update(json.dumps(parts).encode())
        for one in self.embeddings.values():
            state.update(vector_bytes(one))
        return state.hexdigest()


def by_root(
    documents: Iterable[Document], chunks: Iterable[Chunk], embeddings: Iterable[Embedding]
) -> dict[str, RootRows]:
    """Group records by root.

    Raises:
        ContractError: a chunk belongs to none of the documents, or an embedding to none of the chunks.
    """
    rows: dict[str, RootRows] = defaultdict(RootRows)
    for document in documents:
        rows[document.root].documents[document.id] = (document, document.model_dump_json())
    for chunk in chunks:
        if chunk.root not in rows or chunk.document not in rows[chunk.root].documents:
            raise _stray(f"chunk {chunk.id!r} of root {chunk.root!r}", f"document {chunk.document!r}")
        rows[chunk.root].chunks[chunk.id] = chunk
    for one in embeddings:
        if one.root not in rows or one.id not in rows[one.root].chunks:
            raise _stray(f"embedding {one.id!r} of root {one.root!r}", "the chunk of that id")
        rows[one.root].embeddings[one.id] = one
    return dict(rows)


def _stray(what: str, missing: str) -> ContractError:
    return ContractError("the writer of the index's input", f"it gave {what} without {missing}")


def vector_bytes(embedding: Embedding) -> bytes:
    """Return a vector as little-endian float32; one of another length than its embedder says is refused."""
    vector = np.asarray(embedding.vector, dtype="<f4")
    if vector.shape != (embedding.embedder.dimension,):
        msg = f"embedding {embedding.id!r} has shape {vector.shape}, its embedder says {embedding.embedder.dimension}"
        raise EmbedderMismatch(msg)
    return vector.tobytes()


def count_roots(connection: Connection, roots: Sequence[str]) -> int:
    """Return how many of these roots have rows."""
    return int(connection.execute(COUNT_ROOTS, _given(roots)).scalar_one())


def delete_roots(connection: Connection, roots: Sequence[str]) -> None:
    """Delete all rows of these roots; chunks, vectors and identifiers go with their documents."""
    connection.execute(DROP_TEXT, _given(roots))
    connection.execute(DROP_DOCUMENTS, _given(roots))
    if connection.execute(select(VECTORS.c.key).limit(1)).first() is None:
        connection.execute(delete(META).where(META.c.name == "embedder"))
    note_change(connection)


def insert_roots(connection: Connection, roots: Mapping[str, RootRows]) -> None:
    """Insert the rows of these roots, which have none."""
    _settle_embedder(connection, {one.embedder for rows in roots.values() for one in rows.embeddings.values()})
    documents = [pair for _, rows in sorted(roots.items()) for _, pair in sorted(rows.documents.items())]
    _insert(connection, DOCUMENTS, [_document_row(document, body) for document, body in documents])
    _insert(connection, IDENTIFIERS, [row for document, _ in documents for row in _identifier_rows(document)])
    chunks = [_chunk_row(chunk) for rows in roots.values() for chunk in rows.chunks.values()]
    _insert(connection, CHUNKS, sorted(chunks, key=_key))
    vectors = [
        {"key": chunk_key(one.root, one.id), "vector": vector_bytes(one)}
        for rows in roots.values()
        for one in rows.embeddings.values()
    ]
    _insert(connection, VECTORS, sorted(vectors, key=_key))
    connection.execute(ADD_TEXT, _given(roots))
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


def _settle_embedder(connection: Connection, given: set[EmbedderIdentity]) -> None:
    stored = stored_embedder(connection)
    known = given | ({stored} if stored else set())
    if len(known) > 1:
        names = " and ".join(sorted(f"{one.model} ({one.sha256[:12]}, {one.max_tokens} tokens)" for one in known))
        msg = (
            f"vectors of {names} cannot stand in one index; embed with the one that is there, or use a new workspace "
            f"for the other"
        )
        raise EmbedderMismatch(msg)
    if given and not stored:
        connection.execute(insert(META).values(name="embedder", value=given.pop().model_dump_json()))


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _given(roots: Iterable[str]) -> dict[str, str]:
    return {"roots": json.dumps(list(roots))}


def _key(row: Mapping[str, Any]) -> int:
    return int(row["key"])


def _document_row(document: Document, body: str) -> dict[str, Any]:
    return {
        "root": document.root,
        "id": document.id,
        "kind": document.kind,
        "title": document.title,
        "json": body,
    }


def _identifier_rows(document: Document) -> list[dict[str, str]]:
    return [
        {"root": document.root, "document": document.id, "identifier": identifier}
        for identifier in sorted({document.id, *document.identifiers})
    ]


def _chunk_row(chunk: Chunk) -> dict[str, Any]:
    return {"key": chunk_key(chunk.root, chunk.id), **chunk.model_dump()}
