"""What becomes of every file of the real data, as a table says that was written from reading the files."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from medical_kg import InputError, ItemRejected
from medical_kg.documents.ir import Document
from medical_kg.documents.records import Chunk, Payload
from medical_kg.documents.validate import findings
from medical_kg.embedders.minilm import MiniLmEmbedder
from medical_kg.formats.contract import DOOR, Format
from medical_kg.orchestration.contract.database import open_engine
from medical_kg.orchestration.workspace import Workspace
from medical_kg.stages.chunk import ChunkStage
from medical_kg.stages.ingest import IngestStage
from medical_kg.testing import FakeHttp, run_stage

TABLE = Path(__file__).resolve().parents[1] / "data" / "outcomes.tsv"
FORMATS: dict[str, Format] = {entry.name: entry.load()() for entry in entry_points(group=DOOR)}
WITHOUT_WORDS = {"openalex:W1902610065"}
"""A work with neither title nor abstract, so nothing to read."""

MOST_SECONDS = 300.0
MOST_DATA, MOST_RESIDENT = 2 * 1024**3, 640 * 1024**2
"""Bytes: what the system grants, and what is held at most in fact."""


class Outcome(NamedTuple):
    """What became of a file: the format that read it, its documents, and why what was refused is refused."""

    format: str
    documents: list[Document]
    reasons: list[str]


def read_one(file: Path) -> Outcome:
    config = {"adapter": "auto", "options": {"native": True}}
    try:
        run = run_stage(IngestStage, config, input={"input": str(file)}, limit=10**6)
    except InputError as refusal:
        return Outcome("", [], [str(refusal)])
    payloads: list[Payload] = run.output["payloads"]
    reasons = [letter.message for letter in run.dead_letters]
    documents = []
    for payload in payloads:
        try:
            document = FORMATS[payload.format].parse(payload)
        except ItemRejected as refusal:
            reasons.append(str(refusal))
            continue
        if document.id not in WITHOUT_WORDS:
            assert findings(document) == []
            documents.append(document)
    return Outcome("/".join({payload.format for payload in payloads}), documents, reasons)


def rows() -> Iterator[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)


def wrong(row: dict[str, str], outcome: Outcome, words: int) -> list[str]:
    """Return in what a file's outcome is not as the table has it."""
    found = []
    if row["outcome"] != "bad" and outcome.format != row["format"]:
        found.append(f"format {outcome.format!r} instead of {row['format']!r}")
    if len(outcome.documents) != int(row["documents"]) - words:
        found.append(f"{len(outcome.documents)} documents instead of {row['documents']}")
    if row["outcome"] == "good" and outcome.reasons:
        found.append(f"refused: {outcome.reasons}")
    if row["outcome"] != "good" and not (outcome.reasons and all(row["reason"] in one for one in outcome.reasons)):
        found.append(f"reasons {outcome.reasons} instead of {row['reason']!r}")
    return found


def chunks_are_wrong(documents: list[Document], strategy: str, limit: int) -> list[str]:
    """Return the chunks that do not reproduce the text, are too long, or leave some of it out."""
    count = MiniLmEmbedder().token_offsets
    config = {"strategy": strategy, "max_tokens": limit}
    run = run_stage(ChunkStage, config, services={"http": FakeHttp()}, documents=documents)
    assert run.dead_letters == ()
    by_document: dict[str, list[Chunk]] = {}
    for chunk in run.output["chunks"]:
        by_document.setdefault(chunk.document, []).append(chunk)
    found = []
    for document in documents:
        mine = by_document.get(document.id, [])
        text = document.text
        found += [one.id for one in mine if text[one.start : one.end] != one.text]
        found += [one.id for one in mine if not one.tokens == len(count(one.in_context)) <= limit]
        if "".join("".join(one.text.split()) for one in mine) != "".join(text.split()):
            found.append(f"{document.id} is not covered")
    return found


@pytest.fixture(scope="module")
def outcomes(shared_data: Path) -> dict[str, Outcome]:
    """What becomes of each file of the table that is not passed over, when it is read by itself."""
    pytest.importorskip("pypdfium2")
    return {row["file"]: read_one(shared_data / row["file"]) for row in rows() if row["outcome"] != "passed over"}


@pytest.mark.slow
def test_every_file_ends_as_the_table_says(shared_data: Path, outcomes: dict[str, Outcome]) -> None:
    """Each good file is read by its format into as many documents, each bad one refused with its reason.

    Every document is sound and points at its places, and its chunks reproduce the text within the limit.
    """
    pytest.importorskip("tokenizers")
    table = {row["file"]: row for row in rows()}
    there = {path.relative_to(shared_data).as_posix() for path in shared_data.rglob("*") if path.is_file()}
    assert set(table) == there
    problems: dict[str, list[str]] = {}
    unique: dict[str, Document] = {}
    for name, outcome in outcomes.items():
        row = table[name]
        bare = 1 if name == "openalex/utrecht-works-25.json" else 0
        if found := wrong(row, outcome, bare):
            problems[name] = found
        unique.update((document.id, document) for document in outcome.documents)
        if not all(block.pointer for one in outcome.documents for block in one.blocks):
            problems.setdefault(name, []).append("blocks that do not say where they stand")
    assert problems == {}
    documents = list(unique.values())
    assert chunks_are_wrong(documents, "sentence", 200) == []
    assert chunks_are_wrong(documents[::7], "section", 128) == []
    assert chunks_are_wrong(documents[::7], "fixed", 64) == []


BOUNDED = """
import atexit, resource, sys
from pathlib import Path
from medical_kg.cli import main

def tell(path):
    # Of this process not ru_maxrss, which it has from the one that started it; its workers have it from this one.
    status = Path("/proc/self/status")
    own = int(status.read_text().partition("VmHWM:")[2].split()[0]) if status.exists() else 0
    Path(path).write_text(str(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)))

most = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
atexit.register(tell, sys.argv.pop(1))
sys.exit(main())
"""


def run_bounded(root: Path, pipeline: str, source: Path) -> tuple[dict[str, Any], int]:
    """Run a pipeline in a process whose memory the system limits, and which is ended after a time.

    Return its report, and the most KiB that it or one of its workers held in memory.
    """
    peak = root / "peak"
    hashing = ["--set", "chunk.embedder=hashing", "--set", "embed.embedder=hashing"]
    asked = ["--workspace", str(root), "run", pipeline, "--input", str(source), "--engine", "plain", "--json", *hashing]
    with (root / "report.json").open("w+b") as report:
        command = [sys.executable, "-c", BOUNDED, str(MOST_DATA), str(peak), *asked]
        subprocess.run(command, stdout=report, timeout=MOST_SECONDS, check=True)
        report.seek(0)
        return json.load(report), int(peak.read_text())


def stored(url: str) -> tuple[set[str], set[str], set[str]]:
    """Return the documents of the index, those that chunks belong to, and those that the graph's statements name."""
    engine = open_engine(url)
    asked = (
        "SELECT id FROM index_documents",
        "SELECT document FROM index_chunks",
        "SELECT document FROM graph_edges WHERE document <> ''",
    )
    with engine.connect() as connection:
        found = [set(connection.exec_driver_sql(sql).scalars()) for sql in asked]
    engine.dispose()
    return found[0], found[1], found[2]


@pytest.mark.slow
def test_the_whole_of_it_through_auto(shared_data: Path, outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    """One run of ``auto`` completes in time, within its memory: what the table calls good is stored, and nothing of the rest.

    The rest is dead letters with their reasons.
    """
    # A file without ids of its own is named by its path, which is longer in a run over the folder.
    readable = {
        f"file:{name}" if document.id.startswith("file:") else document.id
        for name, outcome in outcomes.items()
        for document in outcome.documents
    }
    told, kibibytes = run_bounded(tmp_path, "auto", shared_data)
    assert (told["submission"]["status"], told["errors"]) == ("completed", [])
    assert kibibytes < MOST_RESIDENT // 1024
    with closing(Workspace(tmp_path)) as place:
        letters = [letter.message for letter in place.ledger.dead_letters(told["submission"]["id"])]
        indexed, in_part, in_graph = stored(place.database_url)
    problems = []
    for row in rows():
        mine = [message for message in letters if row["file"] in message.replace("\\", "/")]
        if row["outcome"] in ("good", "passed over"):
            problems += [f"{row['file']}: {message}" for message in mine]
        elif not any(row["reason"] in message for message in mine):
            problems.append(f"{row['file']}: {mine} instead of {row['reason']!r}")
    assert problems == []
    # Of what the table calls bad, nothing is anywhere: no document, no chunk, no statement.
    assert indexed == readable
    assert in_part <= readable
    assert in_graph <= readable
