"""``medical-kg documents``: a document's story, beside what packages add to the noun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
