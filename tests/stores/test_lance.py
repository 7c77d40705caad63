"""What the suite of stores does not ask of LanceDB: kills, optimizing, bytes of what is erased, and where it is kept."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from medical_kg import StorageError
from medical_kg.cli.app import app
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stores import lance_table
from medical_kg.stores.conformance.samples import documents_of, records, vector_of
from medical_kg.stores.contract import Unsupported
from medical_kg.stores.lance import LanceStore

if TYPE_CHECKING:
    from medical_kg.stores.lance_index import LanceIndex

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "trials"
needs_lancedb = pytest.mark.skipif(
    importlib.util.find_spec("lancedb") is None, reason="LanceDB (the extra lancedb) is not installed"
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a database that need not be there: the index stands beside it."""
    return f"sqlite:///{tmp_path / 'kg.db'}"


@pytest.fixture
def index(url: str) -> Iterator[LanceIndex]:
    with closing(LanceStore(url).index()) as opened:
        yield opened  # type: ignore[misc]  # of all stores this one


@needs_lancedb
def test_many_writes_are_put_together_and_go_on(index: LanceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are written again after an optimization are replaced, not doubled (lancedb issue 3177)."""
    monkeypatch.setattr(lance_table, "MOST_FRAGMENTS", 3)
    for version in range(12):
        index.replace(*records(f"d{version % 4}", "aspirin", f"version{version}"), version=version)
    assert index.counts() == {"documents": 4, "chunks": 8, "vectors": 8}
    assert [documents_of(index, f"version{version}") for version in (7, 8, 11)] == [[], ["d0"], ["d3"]]
    assert len(documents_of(index, "aspirin")) == 4


@needs_lancedb
def test_no_byte_of_an_erased_root_is_left(index: LanceIndex, tmp_path: Path) -> None:
    """In no file of the folder, also of rows that were replaced before; what others say is found still."""
    index.replace(*records("a", "the zyxomma hums"), version=1)
    index.replace(*records("a", "the zyxomma sings"), version=2)
    index.replace(*records("b", "the heron rests"), version=2)
    index.erase("root:a")
    files = [path for path in (tmp_path / "kg.lance").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"zyxomma" in path.read_bytes()]
    assert index.search("heron", vector_of("the heron rests"), limit=1)[0].document == "b"


WRITER = """
import sys
from medical_kg.stores.conformance.samples import records, joined
from medical_kg.stores.lance import LanceStore
index = LanceStore(sys.argv[1]).index()
for version in range(1, 1000):
    index.replace(*joined(*(records(f"d{n}", *[f"version{version}"] * 5) for n in range(20))), version=version)
    print(version, flush=True)
"""


@needs_lancedb
@pytest.mark.slow
def test_a_killed_writer_leaves_whole_writes(index: LanceIndex, url: str) -> None:
    """Killed at any moment: all rows are of one write, no older than the last acknowledged one, and the next one goes on."""
    for wait in (0.0, 0.013):
        with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            done = [int(writer.stdout.readline()) for _ in range(4)][-1]
            time.sleep(wait)
            os.kill(writer.pid, signal.SIGKILL)
        assert index.counts() == {"documents": 20, "chunks": 100, "vectors": 100}
        texts = {hit.text for hit in index.search("", vector_of("x"), limit=200, kind="vector")}
        assert len(texts) == 1
        assert int(texts.pop().removeprefix("version")) >= done
        index.erase("root:d0")
        index.remove([f"root:d{number}" for number in range(20)], version=1)


@needs_lancedb
def test_a_pipeline_and_a_search_name_it(tmp_path: Path) -> None:
    """The stage ``index`` and the command ``search`` take the store by its name; it has no graph, and that is said."""
    text = """
name: lance
version: "1"
applicable_sources: [clinicaltrials]
metadata: {owner: o, description: d, tags: []}
stages:
  - {name: ingest, type: ingest, config: {adapter: clinicaltrials}}
  - {name: parse, type: parse, depends_on: [ingest]}
  - {name: chunk, type: chunk, depends_on: [parse], config: {embedder: hashing}}
  - {name: embed, type: embed, depends_on: [chunk], config: {embedder: hashing}}
  - {name: index, type: index, depends_on: [embed], config: {store: lancedb}}
"""
    (tmp_path / "lance.yaml").write_text(text, encoding="utf-8")
    place = ["--workspace", str(tmp_path / "w")]
    run = CliRunner().invoke(
        app, [*place, "run", str(tmp_path / "lance.yaml"), "--input", str(SAMPLES), "--engine", "plain"]
    )
    assert run.exit_code == 0, run.output
    found = CliRunner().invoke(app, [*place, "search", "vaccine", "--store", "lancedb", "--json"])
    assert json.loads(found.stdout)[0]["document"].startswith("nct:")
    assert (tmp_path / "w" / "medical-kg.lance").is_dir()
    graph = CliRunner().invoke(app, [*place, "graph", "show", "vaccine", "--store", "lancedb"])
    assert "store LanceStore has no graph" in graph.output
    with pytest.raises(Unsupported):
        LanceStore("").graph()


@needs_lancedb
def test_a_damaged_table_is_told(index: LanceIndex, tmp_path: Path) -> None:
    """The error names the folder; nothing is passed over."""
    index.replace(*records("a", "text"), version=1)
    for path in (tmp_path / "kg.lance").rglob("*.manifest"):
        path.write_bytes(b"damaged")
    with pytest.raises(StorageError, match=r"the index in .*kg\.lance cannot be used"):
        index.counts()


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package what to install, with a server's database what to use."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'medical-kg\[lancedb\]'"):
        LanceStore("sqlite:///kg.db").index()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    with pytest.raises(UsageError, match="use the store database there"):
        LanceStore("postgresql+psycopg://host/kg").index()
