"""The records that an index is given, by root, and what each store makes of them alike."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from medical_kg import ContractError, InputError
from medical_kg.stores.contract import EmbedderMismatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Chunk, EmbedderIdentity, Embedding

KINDS = ("hybrid", "text", "vector")
YEAR = re.compile(r"[0-9]{4}(?![0-9])")


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


def filtered_by(source: str, form: str, published: str) -> dict[str, str | int | None]:
    """Return what filters look at of a document; a date that begins with no year has none."""
    found = YEAR.match(published)
    return {"source": source, "format": form, "year": int(found[0]) if found else None}


def chunk_key(root: str, chunk: str) -> int:
    """Return the row number of a chunk: 63 bits of a hash; two of a million chunks share one with odds of 1 in 10^7."""
    digest = blake2b(f"{root}\0{chunk}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def sizes(rows: Iterable[RootRows]) -> dict[str, int]:
    """Return how many documents, chunks and vectors there are in all."""
    total = {"documents": 0, "chunks": 0, "vectors": 0}
    for one in rows:
        total["documents"] += len(one.documents)
        total["chunks"] += len(one.chunks)
        total["vectors"] += len(one.embeddings)
    return total


def settled(stored: EmbedderIdentity | None, rows: Iterable[RootRows]) -> EmbedderIdentity | None:
    """Return what makes the vectors of an index: what made those that are there and those of the rows.

    Raises:
        EmbedderMismatch: it is not one.
    """
    given = {one.embedder for root in rows for one in root.embeddings.values()}
    known = given | ({stored} if stored else set())
    if len(known) > 1:
        names = " and ".join(sorted(f"{one.model} ({one.sha256[:12]}, {one.max_tokens} tokens)" for one in known))
        msg = (
            f"vectors of {names} cannot stand in one index; embed with the one that is there, or use a new workspace "
            f"for the other"
        )
        raise EmbedderMismatch(msg)
    return known.pop() if known else None


def check_search(kind: str, vector: object) -> None:
    """Refuse a search that no index can make.

    Raises:
        InputError: the kind is unknown, or it needs a vector and none is given.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r} is unknown; choose {', '.join(KINDS)}")
    if kind != "text" and vector is None:
        raise InputError(f"a {kind} search needs the query's vector; kind 'text' does without")
