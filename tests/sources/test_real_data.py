"""The real documents: counted by an independent script, all valid, and nothing hostile gets through."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medical_kg import InputError
from medical_kg.documents.ir import Document
from medical_kg.stages.ingest import IngestStage
from medical_kg.stages.ir_validation import IrValidationStage
from medical_kg.stages.parse import ParseStage
from medical_kg.testing import StageRun, run_stage

ROOT = Path(__file__).resolve().parents[2]
EXPECTED: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "expected_counts.json").read_text())
WITHOUT_WORDS = {"openalex:W1902610065"}
"""A work with neither title nor abstract, so nothing to read."""


def ingest(folder: Path, limit: int = 10**6) -> StageRun:
    return run_stage(IngestStage, {"adapter": "auto"}, input={"input": str(folder)}, limit=limit)


def documents(folder: Path) -> tuple[list[Document], list[str]]:
    """The valid documents of a folder, and the ids of what did not become one."""
    parsed = run_stage(ParseStage, payloads=ingest(folder).output["payloads"])
    checked = run_stage(IrValidationStage, documents=parsed.output["documents"])
    return checked.output["documents"], [one.item_id for one in (*parsed.dead_letters, *checked.dead_letters)]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_counts_equal_the_table(shared_data: Path, name: str) -> None:
    """Records, unique ids, rejected files and facts are as many as the independent script counts."""
    expected = EXPECTED[name]
    run = ingest(shared_data / name)
    assert len(run.output["payloads"]) == expected["unique"]
    assert [one.item_id.removeprefix("file:") for one in run.dead_letters] == expected["rejected"]
    found, lost = documents(shared_data / name)
    assert lost == []
    facts = Counter(fact.predicate for document in found for fact in document.facts)
    assert {predicate: facts[predicate] for predicate in expected["facts"]} == expected["facts"]


def test_the_table_is_what_the_script_counts(shared_data: Path) -> None:
    """The table beside the tests is the script's output on today's files."""
    count_folder = runpy.run_path(str(ROOT / "scripts" / "count_inputs.py"))["count_folder"]
    counted = {name: count_folder(shared_data / name) for name in EXPECTED}
    assert json.loads(json.dumps(counted)) == EXPECTED


@pytest.mark.parametrize("name", ["ctgov/bulk", "ctgov/single", "ctgov/api-pages", "jats", "pubmed", "openalex"])
def test_every_real_document_is_valid(shared_data: Path, name: str) -> None:
    """Every real record becomes a document that passes ir-validation."""
    found, lost = documents(shared_data / name)
    assert set(lost) <= WITHOUT_WORDS
    assert len(found) > 10
    assert all(document.facts and document.text for document in found if document.kind == "trial")


def test_the_samples_are_twenty_valid_documents() -> None:
    """What the newcomer tries first is complete; the notice names every file and is no document itself."""
    found, lost = documents(ROOT / "samples")
    assert (len(found), lost) == (20, [])
    notice = (ROOT / "samples" / "NOTICE.md").read_text()
    assert all(f"`{document.provenance.uri}`" in notice for document in found)


@pytest.mark.parametrize(
    ("name", "good", "rejected"),
    [("robustness/json", 1, 50), ("robustness/xml", 18, 13), ("robustness/archive", 26, 5)],
)
def test_hostile_files_are_rejected_with_a_reason(shared_data: Path, name: str, good: int, rejected: int) -> None:
    """Every hostile file gives records or a reason on one line that names it."""
    run = ingest(shared_data / name)
    assert len(run.output["payloads"]) == good
    assert len(run.dead_letters) == rejected
    for letter in run.dead_letters:
        file = letter.item_id.removeprefix("file:").split("#")[0]
        assert letter.message.startswith(file)
        assert "\n" not in letter.message
    found, lost = documents(shared_data / name)
    assert (len(found), lost) == (good, [])


def outcome(path: Path) -> str | None:
    """What a file named outright is refused with; None when it gives records."""
    try:
        ingest(path)
    except InputError as error:
        return str(error)
    return None


def test_each_hostile_file_alone(shared_data: Path) -> None:
    """A hostile file named outright gives records or one clear input error, never a traceback of a parser."""
    outcomes = {path.name: outcome(path) for path in sorted((shared_data / "robustness").rglob("*.*"))}
    assert [name for name, words in outcomes.items() if words is not None and name not in words] == []
    assert sum(words is None for words in outcomes.values()) == 6


def test_pages_of_real_data_join_to_the_whole(shared_data: Path) -> None:
    """Page by page, each from a source that starts anew, the real data give the records of one sweep."""
    folder = shared_data / "pubmed"
    found: list[str] = []
    cursor: str | None = None
    while True:
        run = run_stage(IngestStage, {"adapter": "pubmed"}, input={"input": str(folder)}, limit=7, cursor=cursor)
        found += [payload.id for payload in run.output["payloads"]]
        cursor = run.cursor
        if cursor is None:
            break
    assert set(found) == {payload.id for payload in ingest(folder).output["payloads"]}
    assert EXPECTED["pubmed"]["unique"] <= len(found) <= EXPECTED["pubmed"]["records"]


PEAK = """
import sys
from pathlib import Path
from medical_kg.stages.ingest import IngestStage
from medical_kg.stages.parse import ParseStage
from medical_kg.testing import run_stage

found = run_stage(IngestStage, {"adapter": "auto"}, input={"input": sys.argv[1]}, limit=10**6)
run_stage(ParseStage, payloads=found.output["payloads"])
# Not ru_maxrss, which a process inherits from the one that started it.
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell a process's peak memory")
@pytest.mark.parametrize("name", ["json", "xml", "archive"])
def test_hostile_files_do_not_fill_the_memory(shared_data: Path, name: str) -> None:
    """A process that reads the bombs and giants stays below 500 MB."""
    command = [sys.executable, "-c", PEAK, str(shared_data / "robustness" / name)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout.split()[-1]) < 500_000
