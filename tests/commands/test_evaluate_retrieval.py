"""``medical-kg evaluate retrieval``: search measured through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from medical_kg.cli.app import app

CORPUS = {
    "1": "Aspirin prevented a second stroke in most patients.",
    "2": "Insulin lowers glucose in diabetes.",
    "3": "Vaccination against influenza in older adults.",
}
QUERIES = {"a": "does aspirin prevent stroke", "b": "glucose and insulin", "c": "influenza", "d": "never judged"}
QRELS = "query-id\tcorpus-id\tscore\na\t1\t1\nb\tpmid:2\t1\nc\t9\t1\nc\t3\t1\nc\t2\t0\n"
PIPELINE = """\
name: search
version: "1"
applicable_sources: [files]
metadata: {owner: o, description: d, tags: []}
stages:
  - {name: ingest, type: ingest, config: {adapter: files}}
  - {name: parse, type: parse, depends_on: [ingest]}
  - {name: chunk, type: chunk, depends_on: [parse], config: {embedder: EMBEDDER}}
  - {name: embed, type: embed, depends_on: [chunk], config: {embedder: EMBEDDER}}
"""


def written(folder: Path, corpus: dict[str, str], queries: dict[str, str], qrels: str, embedder: str) -> Path:
    """Write the four files of a measurement."""
    records = (f"{pmid}|t|\n{pmid}|a|{' '.join(text.split())}\n\n" for pmid, text in corpus.items())
    (folder / "corpus.txt").write_text("".join(records), encoding="utf-8")
    lines = (json.dumps({"_id": ident, "text": text}) + "\n" for ident, text in queries.items())
    (folder / "queries.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "qrels.tsv").write_text(qrels, encoding="utf-8")
    (folder / "p.yaml").write_text(PIPELINE.replace("EMBEDDER", embedder), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path, CORPUS, QUERIES, QRELS, "hashing")


def evaluate(folder: Path, *words: str) -> Result:
    where = ["--workspace", str(folder / "w"), "evaluate", "retrieval"]
    files = [str(folder / "queries.jsonl"), str(folder / "qrels.tsv")]
    more = ["--pipeline", str(folder / "p.yaml"), "--input", str(folder / "corpus.txt")]
    return CliRunner().invoke(app, [*where, *files, *more, *words])


def measured(folder: Path) -> dict[str, Any]:
    result = evaluate(folder, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_each_way_of_searching_is_measured(folder: Path) -> None:
    """By words, by vectors and fused; names with and without prefix are the same; what is not there is told."""
    result = evaluate(folder)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["3", "documents,", "3", "queries"]
    # a and b find theirs first; of c's two one is found first, the other is not there.
    ideal = 1 / (1 + 0.63093)
    expected = [f"{(1 + 1 + 0.5) / 3:.3f}"] * 3 + ["1.000", f"{(2 + ideal) / 3:.3f}"]
    assert [line for line in lines if line[:1] == ["text"]] == [["text", *expected]]
    assert {line[0] for line in lines if len(line) == 6} == {"search", "text", "vector", "hybrid"}
    assert "not in the index, so never found: 1 relevant documents (9)" in result.stdout
    assert not (folder / "w").exists()


def test_ranks_for_a_program(folder: Path) -> None:
    """With --json every query has the rank of its first relevant document."""
    data = measured(folder)
    assert (data["documents"], data["not_in_the_index"]) == (3, ["9"])
    assert data["search"]["text"]["first_rank"] == {"a": 1, "b": 1, "c": 1}
    assert data["search"]["hybrid"]["recall@10"] == pytest.approx(2.5 / 3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"qrels.tsv": "a 1"}, "has 2 fields; expected: query document grade"),
        ({"qrels.tsv": "a 1 0"}, "no query of"),
        ({"queries.jsonl": "a"}, "neither a JSON object nor an id, a tab and a text"),
        ({"p.yaml": PIPELINE.partition("  - {name: embed")[0].replace("EMBEDDER", "hashing")}, "gives no embeddings"),
    ],
)
def test_what_cannot_be_measured_is_told(folder: Path, changes: dict[str, str], says: str) -> None:
    """Wrong files and pipelines are one message and an exit code, never a traceback."""
    for name, text in changes.items():
        (folder / name).write_text(text, encoding="utf-8")
    result = evaluate(folder)
    assert result.exit_code > 1
    assert says in " ".join(result.output.split())


@pytest.mark.slow
def test_both_together_find_known_items_at_least_as_well(tmp_path: Path, shared_data: Path) -> None:
    """Each fifth question of PubMedQA: fused search is no worse than words or vectors alone, at rank 1 and on average."""
    every = json.loads((shared_data / "retrieval" / "pubmedqa-dev-500.json").read_text(encoding="utf-8"))
    known = dict(list(every.items())[::5])
    corpus = {pmid: " ".join(one["CONTEXTS"]) for pmid, one in known.items()}
    queries = {pmid: one["QUESTION"] for pmid, one in known.items()}
    qrels = "".join(f"{pmid} {pmid} 1\n" for pmid in known)
    found = measured(written(tmp_path, corpus, queries, qrels, "minilm"))["search"]
    for figure in ("recall@1", "mrr"):
        assert found["hybrid"][figure] >= max(found["text"][figure], found["vector"][figure]), found
    assert found["hybrid"]["recall@10"] >= 0.99
