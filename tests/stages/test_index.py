from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from medical_kg import StorageError
from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.documents.records import Chunk, Embedding, IndexReceipt, RemovedRoot
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.stages.index import IndexStage
from medical_kg.stores.database import DatabaseStore
from medical_kg.testing import FakeWorkspace, StageRun, run_stage


def document(name: str, text: str) -> Document:
    block = Block(id="b", start=0, end=len(text))
    return Document(
        id=name,
        root=f"root:{name}",
        kind="text",
        title=name,
        text=text,
        sections=(Section(id="s", blocks=(block,)),),
        provenance=Provenance(source="test", uri="mem:"),
    )


def batch(**texts: str) -> dict[str, Any]:
    documents = [document(name, text) for name, text in texts.items()]
    chunks = [
        Chunk(
            id=f"{one.id}#0",
            root=one.root,
            document=one.id,
            ordinal=0,
            start=0,
            end=len(one.text),
            section="",
            text=one.text,
            tokens=1,
        )
        for one in documents
        if one.text
    ]
    embedder = HashingEmbedder()
    embeddings = [
        Embedding(id=one.id, root=one.root, embedder=embedder.identity, vector=embedder.embed_query(one.text))
        for one in chunks
    ]
    return {"documents": documents, "chunks": chunks, "embeddings": embeddings}


def index(tmp_path: Path, **keywords: Any) -> StageRun:
    return run_stage(IndexStage, {}, workspace=tmp_path, **keywords)


def found(tmp_path: Path, words: str) -> list[str]:
    with closing(DatabaseStore(FakeWorkspace(tmp_path).database_url).index()) as opened:
        return [hit.document for hit in opened.search(words, None, limit=10, kind="text")]


def test_after_the_run_a_query_finds_the_right_chunk(tmp_path: Path) -> None:
    """What was indexed is found; receipt and counts say what now stands."""
    result = index(tmp_path, **batch(a="aspirin for stroke", b="insulin for diabetes"))
    assert found(tmp_path, "diabetes") == ["b"]
    assert result.output["index_receipt"] == IndexReceipt(store="database", documents=2, chunks=2, vectors=2)
    assert result.counts == {"documents": 2, "chunks": 2, "vectors": 2, "replaced": 0, "removed": 0, "refused": 0}


def test_a_second_run_does_not_duplicate(tmp_path: Path) -> None:
    """The same batch again replaces its own rows."""
    index(tmp_path, **batch(a="aspirin"))
    assert index(tmp_path, **batch(a="aspirin")).counts["replaced"] == 1
    assert found(tmp_path, "aspirin") == ["a"]


def test_vectors_are_optional(tmp_path: Path) -> None:
    """A pipeline without an embed stage gives an index for words."""
    given = batch(a="aspirin")
    del given["embeddings"]
    assert index(tmp_path, **given).counts["vectors"] == 0
    assert found(tmp_path, "aspirin") == ["a"]


def test_a_document_without_chunks_replaces_what_it_had(tmp_path: Path) -> None:
    """A document that has no text any more is no longer found by it."""
    index(tmp_path, **batch(a="aspirin"))
    index(tmp_path, **batch(a=""))
    assert found(tmp_path, "aspirin") == []


def test_roots_gone_from_the_source_are_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Removed roots leave the index and are counted as removed, unless the same batch brings them."""
    caplog.set_level(logging.INFO)
    index(tmp_path, **batch(a="aspirin", b="aspirin"))
    run = index(tmp_path, **batch(b="aspirin"), removed=[RemovedRoot(id="root:a"), RemovedRoot(id="root:b")])
    assert found(tmp_path, "aspirin") == ["b"]
    assert (run.counts["replaced"], run.counts["removed"]) == (1, 1)
    assert "removed 1 root(s)" in caplog.text


def test_an_older_submission_does_not_undo_a_newer_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The submission's sequence is the version: what is newer stays, and the receipt claims nothing else."""
    index(tmp_path, **batch(a="insulin"), sequence=7)
    result = index(tmp_path, **batch(a="aspirin"), sequence=6)
    assert result.counts == {"documents": 0, "chunks": 0, "vectors": 0, "replaced": 0, "removed": 0, "refused": 1}
    assert found(tmp_path, "insulin") == ["a"]
    assert "1 root(s) were left alone: a newer submission wrote or removed them (root:a)" in caplog.text


def test_removals_keep_the_order_of_submissions(tmp_path: Path) -> None:
    """An older sweep does not remove what a newer submission wrote, nor an older batch bring back what is removed."""
    index(tmp_path, **batch(a="insulin"), sequence=7)
    result = index(tmp_path, **batch(), removed=[RemovedRoot(id="root:a")], sequence=6)
    assert (result.counts["removed"], result.counts["refused"]) == (0, 1)
    assert found(tmp_path, "insulin") == ["a"]
    result = index(tmp_path, **batch(), removed=[RemovedRoot(id="root:a")], sequence=8)
    assert (result.counts["removed"], result.counts["refused"]) == (1, 0)
    assert index(tmp_path, **batch(a="insulin"), sequence=7).counts["refused"] == 1
    assert found(tmp_path, "insulin") == []


def test_an_empty_batch_is_counted_as_nothing(tmp_path: Path) -> None:
    """No documents, no rows."""
    counts = index(tmp_path, **batch()).counts
    assert counts == {"documents": 0, "chunks": 0, "vectors": 0, "replaced": 0, "removed": 0, "refused": 0}


def test_a_failing_writer_fails_the_stage(tmp_path: Path) -> None:
    """There is no receipt for work not done."""
    (tmp_path / "medical-kg.db").write_bytes(b"this is not a database, it is a text of some length" * 100)
    with pytest.raises(StorageError, match="not a database"):
        index(tmp_path, **batch(a="aspirin"))
