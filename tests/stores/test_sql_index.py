"""What the suite of stores does not ask of the SQL index: its rows, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from medical_kg import StorageError
from medical_kg.documents.records import EmbedderIdentity, Embedding
from medical_kg.orchestration.contract.database import open_engine, reading, writing
from medical_kg.stores import sql_index, sql_index_write
from medical_kg.stores.conformance.samples import BATCH, documents_of, joined, records
from medical_kg.stores.contract import Removed, Written
from medical_kg.stores.index_rows import chunk_key
from medical_kg.stores.sql_index import SqlIndex

TABLES = ("index_documents", "index_identifiers", "index_chunks", "index_vectors", "index_text")


@pytest.fixture
def index(url: str) -> Iterator[SqlIndex]:
    with closing(SqlIndex(url)) as opened:
        yield opened


def rows(url: str, tables: Sequence[str] = TABLES) -> dict[str, list[Any]]:
    """All rows of these tables; the full-text index with its row numbers."""
    engine = open_engine(url)
    columns = {"index_text": "rowid, *" if engine.dialect.name == "sqlite" else "key, CAST(words AS text)"}
    with reading(engine) as connection:
        return {
            table: sorted(map(tuple, connection.exec_driver_sql(f"SELECT {columns.get(table, '*')} FROM {table}")))
            for table in tables
        }


def sound(url: str) -> bool:
    """Whether the full-text index agrees with the rows; FTS5's own check raises when it does not."""
    with writing(open_engine(url)) as connection:
        if connection.dialect.name == "postgresql":
            chunks, words = (
                connection.exec_driver_sql(f"SELECT key FROM {table} ORDER BY key").scalars().all()
                for table in ("index_chunks", "index_text")
            )
            return chunks == words
        connection.exec_driver_sql("INSERT INTO index_text(index_text, rank) VALUES ('integrity-check', 1)")
        return connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


@pytest.mark.parametrize("changed", [False, True])
def test_writing_twice_leaves_the_same_rows(index: SqlIndex, url: str, changed: bool) -> None:  # noqa: FBT001  # a case
    """A second equal write, skipped or not, leaves every row as it was, row for row."""
    index.replace(*BATCH, version=1)
    before = rows(url, (*TABLES, "index_meta"))
    if changed:
        index.replace(*records("pmid:2", "something else", "entirely"), version=2)
        assert rows(url) != {table: before[table] for table in TABLES}
    assert index.replace(*BATCH, version=3) == Written({"documents": 3, "chunks": 3, "vectors": 3}, 3, ())
    assert rows(url) == {table: before[table] for table in TABLES}
    if not changed:
        assert rows(url, ("index_meta",))["index_meta"] == before["index_meta"]
    assert sound(url)


def test_rows_do_not_depend_on_the_order_of_writes(new_url: Callable[[], str]) -> None:
    """Two indexes given the same documents, one by one in any order, are equal."""
    parts = [records(f"d{number}", f"text {number}", "shared") for number in range(4)]
    found = []
    for order in (parts, parts[::-1], [joined(*parts)]):
        url = new_url()
        with closing(SqlIndex(url)) as index:
            for part in order:
                index.replace(*part, version=1)
        found.append(rows(url))
    assert found[0] == found[1] == found[2]


def test_an_unchanged_root_is_not_written_again(index: SqlIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only roots whose content changed are rewritten; a new version, a text, a vector or a maker is seen."""
    written: list[list[str]] = []
    insert = sql_index_write.insert_roots

    def noting(connection: Any, roots: Any) -> None:
        written.append(sorted(roots))
        insert(connection, roots)

    monkeypatch.setattr(sql_index, "insert_roots", noting)
    index.replace(*BATCH, version=1)
    index.replace(*BATCH, version=2)
    documents, chunks, embeddings = BATCH
    index.replace(documents, chunks, [], version=3)
    index.replace(*BATCH, version=4)
    index.replace([documents[0].model_copy(update={"title": "New"}), *documents[1:]], chunks, embeddings, version=5)
    other = embeddings[0].model_copy(update={"vector": -embeddings[0].vector})
    index.replace([documents[0].model_copy(update={"title": "New"})], chunks[:2], [other, embeddings[1]], version=6)
    assert written == [
        ["root:pmid:1", "root:pmid:2", "root:pmid:3"],
        ["root:pmid:1", "root:pmid:2"],
        ["root:pmid:1", "root:pmid:2"],
        ["root:pmid:1"],
        ["root:pmid:1"],
    ]


def test_a_root_is_replaced_whole(index: SqlIndex, url: str) -> None:
    """What a root no longer has is gone, also when nothing is left of its chunks; other roots stay."""
    index.replace(*BATCH, version=1)
    documents, _, _ = records("pmid:1")
    assert index.replace(documents, [], [], version=2) == Written({"documents": 1, "chunks": 0, "vectors": 0}, 1, ())
    assert documents_of(index, "aspirin insulin") == ["pmid:2"]
    assert index.counts() == {"documents": 3, "chunks": 1, "vectors": 1}
    assert index.document("doi:10/x") is None
    assert sound(url)


def test_removed_roots_leave_no_rows(index: SqlIndex, url: str) -> None:
    """Removing tells how many had rows, and leaves no row and no word behind."""
    index.replace(*BATCH, version=5)
    assert index.remove(["root:pmid:1", "root:pmid:2", "root:pmid:3", "root:nobody"], version=5) == Removed(3, ())
    assert index.remove([], version=5) == index.remove(["root:pmid:1"], version=5) == Removed(0, ())
    assert not any(rows(url).values())
    assert documents_of(index, "aspirin") == []
    assert sound(url)


def test_an_older_write_does_not_bring_a_removed_root_back(index: SqlIndex, url: str) -> None:
    """Removal leaves the root's version behind, also of a root that had no rows; an equal or newer write is taken."""
    index.replace(*records("a", "here"), version=2)
    index.remove(["root:a", "root:b"], version=4)
    assert index.replace(*joined(records("a", "here"), records("b", "here")), version=3).refused == ("root:a", "root:b")
    assert index.remove(["root:a"], version=3) == Removed(0, ("root:a",))
    assert not any(rows(url).values())
    # The same content as before the removal: it must not pass for an equal write that can be skipped.
    assert index.replace(*records("a", "here"), version=4).refused == ()
    assert index.replace(*records("b", "here"), version=5).refused == ()
    assert sorted(documents_of(index, "here")) == ["a", "b"]


def test_the_key_of_a_chunk_is_pinned() -> None:
    """Keys stand in databases: they may never change, and fit a row number."""
    assert chunk_key("r", "d#0") == 3_090_950_145_127_089_298
    assert chunk_key("r", "d#0") != chunk_key("rd", "#0")


def test_keys_that_collide_are_an_error_not_a_loss(index: SqlIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should two chunks ever share a key the write fails as a whole."""
    monkeypatch.setattr(sql_index_write, "chunk_key", lambda _root, _chunk: 1)
    with pytest.raises(StorageError, match=r"(?i)unique constraint"):
        index.replace(*BATCH, version=1)
    assert index.counts()["documents"] == 0


def test_a_broken_write_leaves_the_rows_before_it(index: SqlIndex, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All roots of a write change together or not at all."""
    index.replace(*BATCH, version=1)
    before = rows(url, (*TABLES, "index_meta", "store_roots"))

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(sql_index, "keep_digests", fail)
    with pytest.raises(OSError):  # noqa: PT011  # raised here
        index.replace(*joined(records("pmid:1", "changed"), records("new", "x")), version=2)
    assert rows(url, (*TABLES, "index_meta", "store_roots")) == before
    assert sound(url)


def test_identity_is_kept_as_it_was(index: SqlIndex) -> None:
    """Every field of the embedder's identity comes back."""
    identity = EmbedderIdentity(model="é", sha256="0" * 64, dimension=2, max_tokens=3, pooling="mean", normalized=False)
    documents, chunks, _ = records("a", "x")
    one = Embedding(id="a#0", root="root:a", embedder=identity, vector=np.ones(2, np.float32))
    index.replace(documents, chunks, [one], version=1)
    assert index.embedder() == identity


def test_what_is_kept_of_a_root_is_counted_and_erased(index: SqlIndex, url: str) -> None:
    """Rows, words and the root's version go, those of others stay; erasing again finds nothing."""
    one, two = records("one", "the zyxomma hums", "twice"), records("two", "the zyxomma rests")
    for given in (one, two):
        index.replace(*given, version=7)
    assert index.kept("root:one") == {"documents": 1, "chunks": 2, "vectors": 2}
    assert index.erase("root:one") == {"documents": 1, "chunks": 2, "vectors": 2}
    assert index.erase("root:one") == index.kept("root:one") == {"documents": 0, "chunks": 0, "vectors": 0}
    assert [hit.root for hit in index.search("zyxomma", None, limit=9, kind="text")] == ["root:two"]
    with reading(open_engine(url)) as connection:
        versions = connection.exec_driver_sql("select root, version from store_roots").all()
    assert [tuple(row) for row in versions] == [("root:two", 7)]
    # Nothing remembers it: even an older version may come again.
    assert index.replace(*one, version=1).refused == ()
