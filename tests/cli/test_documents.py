"""``medical-kg documents``: a document's story, beside what packages add to the noun."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medical_kg.cli import documents
from medical_kg.cli.app import app

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
TRIAL = "nct:NCT05813925"
HASHING = ("--set", "chunk.embedder=hashing", "--set", "embed.embedder=hashing")


@pytest.fixture
def filled(cli: Any) -> Any:
    """The command line over a workspace with one trial and one article in it."""
    for path in (SAMPLES / "trials").glob("*NCT05813925*"):
        assert cli("run", "auto", *HASHING, "--engine", "plain", "--input", path).exit_code == 0
    return cli


def test_a_story_is_told(filled: Any) -> None:
    """Batches, what each stage made of the document, and what keeps it; by any identifier."""
    told = filled("documents", "trace", "NCT05813925")
    assert told.exit_code == 0, told.stderr
    for words in (f"document {TRIAL}, tenant default: met by 1 batch", "1 documents", "index (store=database)"):
        assert words in told.stdout
    assert "knowledge-graph (store=database): " in told.stdout


def test_a_story_as_json(filled: Any) -> None:
    """The same for programs."""
    story = json.loads(filled("documents", "trace", TRIAL, "--json").stdout)
    assert story["batches"][0]["stages"][0]["stage"] == "ingest"
    assert story["kept"][0]["kept"]["documents"] == 1


def test_a_document_that_nobody_knows(filled: Any) -> None:
    """One message, and the exit code of a wrong request."""
    told = filled("documents", "trace", "nope")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "no document of tenant default 'nope'" in told.stderr


def test_packages_add_their_commands_to_the_noun(filled: Any) -> None:
    """Ours come first; neither hides the other, and the plugin is not shown as shadowed."""
    told = filled("documents", "--help").stdout
    assert told.index("trace ") < told.index("show ")
    assert filled("documents", "show", TRIAL).stdout.startswith("A Research Study")
    assert filled("documents", "no-such").exit_code == 2
    rows = json.loads(filled("plugins", "list", "--door", "commands", "--json").stdout)
    assert {one["name"]: one["status"] for one in rows}["documents"] == "installed"


def test_forgetting_says_what_went(filled: Any) -> None:
    """First what would go, then what went, by place; again it finds nothing; the story tells who asked."""
    would = filled("documents", "forget", TRIAL, "--dry-run")
    assert "would be forgotten" in would.stdout
    assert filled("documents", "show", TRIAL).exit_code == 0
    done = filled("documents", "forget", TRIAL, "--yes")
    assert done.exit_code == 0, done.stderr
    assert "is forgotten" in done.stdout
    assert filled("documents", "show", TRIAL).exit_code == 2
    again = json.loads(filled("documents", "forget", TRIAL, "--yes", "--json").stdout)
    assert (again["total"], again["left"]) == (0, [])
    assert "forgotten 20" in filled("documents", "trace", TRIAL).stdout


def test_what_is_forgotten_is_listed_and_may_come_back(filled: Any) -> None:
    """A run of the same input leaves it out, and says so, until it is remembered."""
    filled("documents", "forget", TRIAL, "--yes")
    (listed,) = json.loads(filled("documents", "forgotten", "--json").stdout)
    assert (listed["root"], listed["remains"]) == (TRIAL, None)
    assert TRIAL in filled("documents", "forgotten").stdout
    (path,) = (SAMPLES / "trials").glob("*NCT05813925*")
    assert "1 forgotten" in filled("run", "auto", *HASHING, "--engine", "plain", "--input", path).stdout
    assert "may come back" in filled("documents", "remember", TRIAL).stdout
    assert filled("documents", "remember", TRIAL, "--json").exit_code == 2
    assert json.loads(filled("documents", "forgotten", "--json").stdout) == []


def test_nothing_is_forgotten_unasked(filled: Any) -> None:
    """Where nobody can be asked, --yes must be given."""
    for more in ((), ("--json",)):
        told = filled("documents", "forget", TRIAL, *more)
        assert told.exit_code == 2
        assert "--yes" in told.stderr
    assert filled("documents", "show", TRIAL).exit_code == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130)])
def test_a_person_is_asked(filled: Any, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    """What would go is shown first."""
    runner = CliRunner()
    monkeypatch.setattr(documents, "is_a_person", lambda: True)
    told = runner.invoke(app, ["documents", "forget", TRIAL], input=answer)
    assert told.exit_code == code
    assert "would be forgotten" in told.stdout
    assert ("is forgotten" in told.stdout) is (code == 0)


@contextmanager
def blocked(path: Path) -> Iterator[None]:
    """A folder where a file should be: it cannot be removed as one."""
    path.mkdir()
    yield
    path.rmdir()


def test_what_could_not_be_removed_is_an_error(filled: Any) -> None:
    """It is told, with exit code 1; the rest was done, and the list says so."""
    Path(".medical-kg/files").mkdir(exist_ok=True)
    with blocked(Path(".medical-kg/files/.incoming-x")):
        told = filled("documents", "forget", TRIAL, "--yes")
        assert told.exit_code == 1
        assert "not removed: the workspace's files" in told.stderr
        assert "not finished: forget again" in filled("documents", "forgotten").stdout
    assert filled("documents", "forget", TRIAL, "--yes").exit_code == 0
