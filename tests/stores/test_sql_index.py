from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Any

import numpy as np
import pytest

from medical_kg import ContractError, StorageError
from medical_kg.documents.ir import Document, Provenance, Section
from medical_kg.documents.records import Chunk, EmbedderIdentity, Embedding
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.orchestration.contract.database import open_engine, reading, writing
from medical_kg.stores import sql_index, sql_index_write
from medical_kg.stores.contract import EmbedderMismatch, Removed, Written
from medical_kg.stores.database import DatabaseStore
from medical_kg.stores.index_rows import chunk_key
from medical_kg.stores.sql_index import SqlIndex

TABLES = ("index_documents", "index_identifiers", "index_chunks", "index_vectors", "index_text")
EMBEDDER = HashingEmbedder({"dimension": 16})
Records = tuple[list[Document], list[Chunk], list[Embedding]]


@pytest.fixture
def index(url: str) -> Iterator[SqlIndex]:
    with closing(SqlIndex(url)) as opened:
        yield opened


def records(name: str, *texts: str, embedder: HashingEmbedder = EMBEDDER, **fields: Any) -> Records:
    """A document whose chunks have these texts, with their vectors."""
    root = fields.pop("root", f"root:{name}")
    document = Document(
        **{
            "id": name,
            "root": root,
            "kind": "article",
            "title": f"About {name}",
            "text": "\n".join(texts),
            "sections": (Section(id="s", title="Results"),),
            "provenance": Provenance(source="test", uri="mem:"),
            **fields,
        }
    )
    chunks = [
        Chunk(
            id=f"{name}#{number}",
            root=root,
            document=name,
            ordinal=number,
            start=0,
            end=len(text),
            section="Results",
            text=text,
            tokens=3,
        )
        for number, text in enumerate(texts)
    ]
    return [document], chunks, vectors(chunks, embedder)


def vectors(chunks: Sequence[Chunk], embedder: HashingEmbedder = EMBEDDER) -> list[Embedding]:
    return [
        Embedding(id=one.id, root=one.root, embedder=embedder.identity, vector=embedder.embed_query(one.text))
        for one in chunks
    ]


def joined(*parts: Records) -> Records:
    documents, chunks, embeddings = (list(chain.from_iterable(lists)) for lists in zip(*parts, strict=True))
    return documents, chunks, embeddings


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


def documents_of(index: SqlIndex, words: str, **options: Any) -> list[str]:
    return [hit.document for hit in index.search(words, None, limit=10, kind="text", **options)]


BATCH = joined(
    records("pmid:1", "aspirin for stroke", "no effect was seen", identifiers=("pmid:1", "doi:10/x")),
    records("pmid:2", "insulin lowers glucose in diabetes"),
    records("pmid:3"),
)


def test_what_was_written_is_found_and_counted(index: SqlIndex) -> None:
    """A write gives its rows, all of them can be counted, and a hit tells where its words stand."""
    assert index.replace(*BATCH, version=1) == Written({"documents": 3, "chunks": 3, "vectors": 3}, 0, ())
    assert index.counts() == {"documents": 3, "chunks": 3, "vectors": 3}
    hit = index.search("glucose", EMBEDDER.embed_query("insulin lowers glucose"), limit=1)[0]
    assert (hit.chunk, hit.document, hit.root) == ("pmid:2#0", "pmid:2", "root:pmid:2")
    assert (hit.title, hit.section, hit.text) == ("About pmid:2", "Results", "insulin lowers glucose in diabetes")
    assert (hit.start, hit.end) == (0, 34)
    assert hit.ranks == {"text": 1, "vector": 1}
    assert hit.score == pytest.approx(1)


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


def test_an_older_version_is_refused_for_its_root_alone(index: SqlIndex) -> None:
    """A late write of an older submission leaves the newer rows and writes the rest."""
    index.replace(*records("a", "new"), version=5)
    written = index.replace(*joined(records("a", "old"), records("b", "old")), version=4)
    assert written == Written({"documents": 1, "chunks": 1, "vectors": 1}, 0, ("root:a",))
    assert documents_of(index, "old") == ["b"]
    assert documents_of(index, "new") == ["a"]


def test_removed_roots_leave_no_rows(index: SqlIndex, url: str) -> None:
    """Removing tells how many had rows, and leaves no row and no word behind."""
    index.replace(*BATCH, version=5)
    assert index.remove(["root:pmid:1", "root:pmid:2", "root:pmid:3", "root:nobody"], version=5) == Removed(3, ())
    assert index.remove([], version=5) == index.remove(["root:pmid:1"], version=5) == Removed(0, ())
    assert not any(rows(url).values())
    assert documents_of(index, "aspirin") == []
    assert sound(url)


def test_an_older_removal_is_refused_for_its_root_alone(index: SqlIndex) -> None:
    """A root that a newer submission wrote is not removed by an older one; the others named with it are."""
    index.replace(*records("a", "new"), version=5)
    index.replace(*records("b", "old"), version=3)
    assert index.remove(["root:a", "root:b"], version=4) == Removed(1, ("root:a",))
    assert documents_of(index, "new old") == ["a"]


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


def test_documents_are_found_by_any_identifier(index: SqlIndex) -> None:
    """By its id or an identifier; a document whose own id it is comes before one that only mentions it."""
    index.replace(*joined(BATCH, records("a", identifiers=("a", "pmid:2"))), version=1)
    assert index.document("doi:10/x") == BATCH[0][0]
    assert index.document("pmid:2") == BATCH[0][1]
    assert index.document("pmid:404") is None
    assert index.chunks("pmid:1") == BATCH[1][:2]
    assert index.chunks("pmid:404") == []


def test_two_roots_may_bring_the_same_document(index: SqlIndex) -> None:
    """Rows of a root are its own: another root with the same document neither fails nor takes them away."""
    index.replace(*records("a", "aspirin", root="one"), version=1)
    index.replace(*records("a", "aspirin", root="two"), version=1)
    assert {hit.root for hit in index.search("aspirin", None, limit=10, kind="text")} == {"one", "two"}
    index.remove(["one"], version=1)
    assert index.document("a") is not None


def test_of_records_with_one_id_the_last_counts(index: SqlIndex) -> None:
    """A batch that brings a document twice is written once."""
    written = index.replace(*joined(records("a", "first"), records("a", "second")), version=1)
    assert written.rows == {"documents": 1, "chunks": 1, "vectors": 1}
    assert index.search("second", None, limit=9, kind="text")[0].text == "second"


def test_stray_records_are_refused(index: SqlIndex) -> None:
    """A chunk without its document, or an embedding without its chunk, is a broken contract, and nothing is written."""
    documents, chunks, embeddings = records("a", "text")
    with pytest.raises(ContractError, match=r"chunk 'a#0' of root 'root:a' without document 'a'"):
        index.replace([], chunks, [], version=1)
    with pytest.raises(ContractError, match=r"embedding 'a#0' of root 'root:a' without the chunk"):
        index.replace(documents, [], embeddings, version=1)
    assert index.counts()["documents"] == 0


def test_vectors_of_two_embedders_are_never_mixed(index: SqlIndex) -> None:
    """Neither in one write nor over two; the refused write leaves nothing, and the message names both."""
    other = HashingEmbedder({"dimension": 16, "max_tokens": 9})
    with pytest.raises(EmbedderMismatch, match=r"8192 tokens\) and .* 9 tokens"):
        index.replace(*joined(records("a", "x"), records("b", "x", embedder=other)), version=1)
    assert index.embedder() is None
    index.replace(*records("a", "x"), version=1)
    with pytest.raises(EmbedderMismatch, match="cannot stand in one index"):
        index.replace(*records("b", "x", embedder=other), version=1)
    assert index.embedder() == EMBEDDER.identity
    assert index.counts()["documents"] == 1


def test_an_index_whose_last_vectors_are_gone_takes_a_new_embedder(index: SqlIndex) -> None:
    """Removed, or replaced altogether by the new ones: then nothing is mixed."""
    other = HashingEmbedder({"dimension": 24})
    index.replace(*records("a", "x"), version=1)
    index.replace(*records("a", "x", embedder=other), version=2)
    assert index.embedder() == other.identity
    index.remove(["root:a"], version=9)
    assert index.embedder() is None
    index.replace(*records("b", "x"), version=1)
    assert index.embedder() == EMBEDDER.identity


def test_a_vector_must_have_the_dimension_its_maker_says(index: SqlIndex) -> None:
    """A vector of another length is refused, in a write and in a query."""
    documents, chunks, embeddings = records("a", "x")
    short = embeddings[0].model_copy(update={"vector": np.zeros(3, np.float32)})
    with pytest.raises(EmbedderMismatch, match=r"'a#0' has shape \(3,\), its embedder says 16"):
        index.replace(documents, chunks, [short], version=1)
    index.replace(documents, chunks, embeddings, version=1)
    with pytest.raises(EmbedderMismatch, match=r"query's vector has shape \(3,\)"):
        index.search("x", np.zeros(3, np.float32), limit=1)


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


def test_an_index_opens_again_and_beside_another(url: str) -> None:
    """What one process wrote the next one reads, also while both are open."""
    with closing(DatabaseStore(url).index()) as first, closing(DatabaseStore(url).index()) as second:
        first.replace(*BATCH, version=1)
        assert second.search("aspirin", EMBEDDER.embed_query("aspirin"), limit=1)[0].chunk == "pmid:1#0"
        first.replace(*records("pmid:9", "aspirin"), version=1)
        assert {hit.document for hit in second.search("", EMBEDDER.embed_query("aspirin"), limit=1, kind="vector")} == {
            "pmid:9"
        }


def test_a_nul_is_kept_as_well_as_the_database_can(index: SqlIndex) -> None:
    """Postgres keeps no NUL: in a chunk another sign stands in its place, the document itself comes back as it was."""
    given = records("a", "one\0two", title="A\0B")
    index.replace(*given, version=1)
    (chunk,) = index.chunks("a")
    assert chunk.text in ("one\0two", "one\ufffdtwo")
    assert documents_of(index, "two") == ["a"]
    assert index.document("a") == given[0][0]


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
