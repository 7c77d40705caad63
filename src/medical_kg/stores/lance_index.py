"""The index in LanceDB: full text and exact vector search in one table, both fused.

A write is one commit of Lance (see ``lance_table``). The words of a fresh write are searched without an index until some
twenty writes are put together, and BM25 is then told for each part from its own words; ranks may differ a little by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medical_kg.documents.ir import Document
from medical_kg.documents.records import Chunk, EmbedderIdentity
from medical_kg.stores.contract import EVERYTHING, EmbedderMismatch, Filters, Hit, Removed, Written
from medical_kg.stores.fusion import POOL, Scored, fuse
from medical_kg.stores.index_matches import matches
from medical_kg.stores.index_rows import by_root, check_search, chunk_key, filtered_by, settled, sizes, vector_bytes
from medical_kg.stores.index_words import telling_words
from medical_kg.stores.lance_table import LanceTable, among, dimension_of, quoted
from medical_kg.stores.versions import claimed
from medical_kg.stores.works import work_identifiers, works

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from medical_kg.documents.records import Embedding
    from medical_kg.stores.fusion import Fused
    from medical_kg.stores.index_rows import RootRows
    from medical_kg.stores.lance_table import Row

CHUNKS, DOCUMENTS, EMBEDDER = "what = 'chunk'", "what = 'document'", "what = 'embedder'"


class LanceIndex:
    """An index in a folder; see ``stores.contract.IndexStore`` for what the methods promise."""

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        self._table = LanceTable(folder)

    def replace(
        self,
        documents: Sequence[Document],
        chunks: Sequence[Chunk],
        embeddings: Sequence[Embedding],
        *,
        version: int,
    ) -> Written:
        """Replace all rows of the documents' roots in one commit; a root that is the same stays untouched.

        Raises:
            EmbedderMismatch: the vectors were made by another embedder than those in the index.
            ContractError: a chunk or embedding belongs to none of the documents.
            StorageError: the folder cannot be used.
        """
        given = by_root(documents, chunks, embeddings)
        digests = {root: rows.digest() for root, rows in given.items()}
        with self._table.writing():
            claim = claimed(given, version, self._versions(given))
            replaced = self._with_rows(claim.accepted)
            changed = {root: given[root] for root in claim.accepted if claim.digests.get(root) != digests[root]}
            self._write(changed, {root: (version, digests[root]) for root in claim.accepted})
        return Written(sizes(given[root] for root in claim.accepted), replaced, claim.refused)

    def remove(self, roots: Iterable[str], *, version: int) -> Removed:
        """Remove all rows of these roots; the roots' versions stay."""
        wanted = list(roots)
        if not wanted:
            return Removed(0, ())
        with self._table.writing():
            claim = claimed(wanted, version, self._versions(wanted))
            removed = self._with_rows(claim.accepted)
            self._write(dict.fromkeys(claim.accepted), dict.fromkeys(claim.accepted, (version, "")))
        return Removed(removed, claim.refused)

    def kept(self, root: str) -> Mapping[str, int]:
        """Return how many documents, chunks and vectors there are of a root."""
        return self._counted(f" AND root = {quoted(root)}")

    def erase(self, root: str) -> Mapping[str, int]:
        """Remove everything of a root, its version too: the table is written anew without it."""
        with self._table.writing():
            found = self.kept(root)
            if self._table.open() is not None:
                others = f"root != {quoted(root)}"
                has_vectors = self._with_vectors(others)
                self._table.rewrite(others if has_vectors else f"{others} AND NOT {EMBEDDER}")
        return found

    def document(self, ident: str) -> Document | None:
        """Return a document by its id or any of its identifiers; of several its own id counts first."""
        where = f"{DOCUMENTS} AND array_has(identifiers, {quoted(ident)})"
        found = self._table.read(where, ["id", "root", "json"])
        found.sort(key=lambda row: (row["id"] != ident, row["id"], row["root"]))
        return Document.model_validate_json(found[0]["json"]) if found else None

    def chunks(self, document: str) -> list[Chunk]:
        """Return the chunks of the document with this id, in order."""
        found = self._table.read(f"{CHUNKS} AND document = {quoted(document)}", ["root", "ordinal", "json"])
        found.sort(key=lambda row: (row["root"], row["ordinal"]))
        return [Chunk.model_validate_json(row["json"]) for row in found]

    def same_work(self, documents: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Return for each of these ids those of all records of its work, its own too; the one that names the work first."""
        asked = set(documents)
        carried: dict[str, frozenset[str]] = {}
        news = set(asked)
        while news:
            carried |= {
                one: frozenset[str]().union(*found) for one, found in self._works(among("id", sorted(news)), news)
            }
            listed = ", ".join(quoted(one) for one in sorted(frozenset[str]().union(*(carried[one] for one in news))))
            bearers = self._table.read(f"{DOCUMENTS} AND array_has_any(works, [{listed}])", ["id"]) if listed else []
            news = {row["id"] for row in bearers} - carried.keys()
        return {one: tuple(work) for work in works(carried) for one in work if one in asked}

    def embedder(self) -> EmbedderIdentity | None:
        """Return what made the vectors in this index; None while it has none."""
        found = self._table.read(EMBEDDER, ["json"])
        return EmbedderIdentity.model_validate_json(found[0]["json"]) if found else None

    def search(
        self,
        text: str,
        vector: np.ndarray[Any, Any] | None,
        *,
        limit: int,
        kind: str = "hybrid",
        filters: Filters = EVERYTHING,
    ) -> list[Hit]:
        """Return the best chunks, best first. The text is free: nothing in it is an operator.

        Raises:
            InputError: the kind is unknown, or it needs a vector and none is given.
            EmbedderMismatch: the vector has another dimension than those in the index.
        """
        check_search(kind, vector)
        table = self._table.open()
        if table is None:
            return []
        size, words, where = max(POOL, limit), telling_words(text), " AND ".join([CHUNKS, *_conditions(filters)])
        lists: dict[str, list[Scored]] = {}
        if kind != "vector":
            lists["text"] = self._table.by_words(table, words, where, size)
        if kind != "text" and vector is not None:
            _check_dimension(table, vector)
            lists["vector"] = self._table.by_vector(table, vector, where, size)
        return self._hits(table, fuse(lists, size)[:limit], words)

    def counts(self) -> Mapping[str, int]:
        """Return how many documents, chunks and vectors there are."""
        return self._counted("")

    def close(self) -> None:
        """Do nothing: a table is opened for each call."""

    def _counted(self, more: str) -> dict[str, int]:
        table = self._table.open()
        found = {
            name: self._table.count(what + more, table) for name, what in (("documents", DOCUMENTS), ("chunks", CHUNKS))
        }
        has_vectors = table is not None and dimension_of(table) is not None
        return {**found, "vectors": self._table.count(f"vector IS NOT NULL{more}", table) if has_vectors else 0}

    def _versions(self, roots: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Return version and digest of the roots that have been written or removed."""
        found = self._table.read(f"what = 'root' AND {among('root', roots)}", ["root", "version", "digest"])
        return {row["root"]: (row["version"], row["digest"]) for row in found}

    def _with_rows(self, roots: Iterable[str]) -> int:
        return len({row["root"] for row in self._table.read(f"{DOCUMENTS} AND {among('root', roots)}", ["root"])})

    def _with_vectors(self, where: str) -> bool:
        table = self._table.open()
        return (
            table is not None
            and dimension_of(table) is not None
            and bool(self._table.count(f"{where} AND vector IS NOT NULL", table))
        )

    def _works(self, where: str, asked: Iterable[str]) -> Iterator[tuple[str, list[list[str]]]]:
        found = self._table.read(f"{DOCUMENTS} AND {where}", ["id", "works"])
        yield from ((one, [row["works"] for row in found if row["id"] == one]) for one in asked)

    def _write(self, changed: Mapping[str, RootRows | None], versions: Mapping[str, tuple[int, str]]) -> None:
        """Write roots (None: remove one) and the versions of all that were named, unless nothing is new."""
        if not versions:
            return
        rows = [one for one in changed.values() if one is not None]
        others = f"NOT {among('root', changed)}"
        stored = self.embedder() if self._with_vectors(others) else None
        identity = settled(stored, rows)
        gone = f"({among('root', changed)} AND what != 'root')"
        written = [_root_row(root, *known) for root, known in versions.items()]
        written += [row for one in rows for row in _rows(one)]
        if identity is not None and stored is None:
            written.append({"key": "embedder", "what": "embedder", "root": "", "json": identity.model_dump_json()})
        elif identity is None:
            gone += f" OR {EMBEDDER}"
        has_new = any(one.embeddings for one in rows)
        self._table.merge(written, gone, identity.dimension if identity and has_new else None)

    def _hits(self, table: Any, best: Sequence[Fused], words: Sequence[str]) -> list[Hit]:
        found = self._table.read(among("number", (one.key for one in best)), ["number", "title", "json"], table)
        rows = {row["number"]: (row["title"], Chunk.model_validate_json(row["json"])) for row in found}
        spans = matches(words, [rows[one.key][1].text for one in best])
        return [_hit(*rows[one.key], one, place) for one, place in zip(best, spans, strict=True)]


def _check_dimension(table: Any, vector: np.ndarray[Any, Any]) -> None:
    dimension = dimension_of(table)
    if dimension is not None and vector.shape != (dimension,):
        msg = f"the query's vector has shape {vector.shape}, those in the index {(dimension,)}"
        raise EmbedderMismatch(msg)


def _conditions(filters: Filters) -> Iterator[str]:
    if filters.sources:
        yield f"({among('source', filters.sources)} OR {among('format', filters.sources)})"
    if filters.kinds:
        yield among("kind", filters.kinds)
    if filters.since is not None:
        yield f"year >= {filters.since}"
    if filters.until is not None:
        yield f"year <= {filters.until}"
    if filters.roots is not None:
        yield among("root", sorted(filters.roots))


def _root_row(root: str, version: int, digest: str) -> Row:
    return {"key": f"root\0{root}", "what": "root", "root": root, "version": version, "digest": digest}


def _rows(rows: RootRows) -> Iterator[Row]:
    about: dict[str, Row] = {}
    for document, body in rows.documents.values():
        origin = document.provenance
        about[document.id] = {
            "root": document.root,
            "title": document.title,
            "kind": document.kind,
            **filtered_by(origin.source, origin.format, document.published),
        }
        yield {
            **about[document.id],
            "key": f"document\0{document.root}\0{document.id}",
            "what": "document",
            "id": document.id,
            "json": body,
            "identifiers": sorted({document.id, *document.identifiers}),
            "works": sorted(work_identifiers(document.kind, (document.id, *document.identifiers))),
        }
    for chunk in rows.chunks.values():
        embedding = rows.embeddings.get(chunk.id)
        yield {
            **about[chunk.document],
            "key": f"chunk\0{chunk.root}\0{chunk.id}",
            "what": "chunk",
            "id": chunk.id,
            "document": chunk.document,
            "ordinal": chunk.ordinal,
            "number": chunk_key(chunk.root, chunk.id),
            # The context was for the embedder: the headings stand in the document.
            "json": chunk.model_dump_json(exclude={"context"}),
            "words": f"{about[chunk.document]['title']} {chunk.section} {chunk.text}",
            "vector": np.frombuffer(vector_bytes(embedding), dtype="<f4") if embedding else None,
        }


def _hit(title: str, chunk: Chunk, fused: Fused, spans: tuple[tuple[int, int], ...]) -> Hit:
    return Hit(
        chunk=chunk.id,
        document=chunk.document,
        root=chunk.root,
        title=title,
        section=chunk.section,
        text=chunk.text,
        start=chunk.start,
        end=chunk.end,
        score=fused.score,
        ranks=fused.ranks,
        matches=spans,
    )
