from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from medical_kg.commands.documents import app
from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.documents.records import Chunk
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stores.database import DatabaseStore
from medical_kg.testing import FakeWorkspace

DOCUMENT = Document(
    id="nct:NCT01",
    root="NCT01",
    kind="trial",
    title="Aspirin [early] — a trial",
    text="Some text. More.",
    sections=(
        Section(
            id="s0",
            title="Arms",
            path=("Design",),
            blocks=(Block(id="b0", start=0, end=10), Block(id="b1", start=11, end=16)),
        ),
        Section(id="s1", blocks=(Block(id="b2", start=0, end=4),)),
        Section(id="s2", title="Empty"),
    ),
    identifiers=("nct:NCT01", "doi:10.1/x"),
    provenance=Provenance(source="files", uri="file:///a.json", record="0", format="clinicaltrials-json", sha256="ab"),
)
CHUNK = Chunk(
    id="nct:NCT01#0",
    root="NCT01",
    document="nct:NCT01",
    ordinal=0,
    start=0,
    end=16,
    section="",
    text="Some text. More.",
    tokens=5,
)


class Stores:
    """The plugins service with the default store alone."""

    def get(self, door: str, name: str) -> Any:
        assert (door, name) == ("medical_kg.stores", "database")
        return DatabaseStore


@dataclass
class Context:
    """What the command line hands to a command."""

    workspace: FakeWorkspace
    json: bool = False
    plugins: Stores = field(default_factory=Stores)

    def workspace_of(self, tenant: str) -> FakeWorkspace:
        assert tenant == "default"
        return self.workspace


@pytest.fixture
def workspace(tmp_path: Path) -> FakeWorkspace:
    made = FakeWorkspace(tmp_path)
    with closing(DatabaseStore(made.database_url).index()) as index:
        index.replace([DOCUMENT], [CHUNK], [], version=0)
    return made


def run(context: Context, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=context)


def test_a_document_is_shown_with_its_parts_and_origin(workspace: FakeWorkspace) -> None:
    """Title, identifiers, sections, provenance and number of chunks; what is unknown is left out, nothing is cut."""
    result = run(Context(workspace), "show", "nct:NCT01")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Aspirin [early] — a trial",
        "  id:          nct:NCT01",
        "  kind:        trial",
        "  identifiers: nct:NCT01, doi:10.1/x",
        "  source:      files",
        "  file:        file:///a.json 0",
        "  format:      clinicaltrials-json",
        "  sha256:      ab",
        "  text:        16 characters",
        "  facts:       0",
        "  chunks:      1",
        "  sections:    3",
        "    Design > Arms — 2 blocks, 16 characters",
        "    (untitled) — 1 block, 4 characters",
        "    Empty — 0 blocks, 0 characters",
    ]


@pytest.mark.parametrize("ident", ["nct:NCT01", "NCT01", "doi:10.1/x", "10.1/x"])
def test_any_identifier_will_do(workspace: FakeWorkspace, ident: str) -> None:
    """The id, another identifier, and either without its prefix."""
    found = json.loads(run(Context(workspace), "show", ident, "--json").stdout)
    assert found["id"] == "nct:NCT01"


def test_json_holds_the_whole_document(workspace: FakeWorkspace) -> None:
    """A program gets every field and the number of chunks, on stdout and nothing else."""
    found = json.loads(run(Context(workspace, json=True), "show", "nct:NCT01").stdout)
    assert (found.pop("chunks"), found.pop("same_work")) == (1, [])
    assert Document.model_validate(found) == DOCUMENT


def test_an_unknown_document_is_told_with_a_way_out(workspace: FakeWorkspace) -> None:
    """The message names what was asked for, what there is and how to look."""
    error = run(Context(workspace), "show", "nct:404").exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(
        "no document 'nct:404' in the index, which holds 1; look for it with: medical-kg search"
    )
