"""A real document forgotten: looked for byte by byte, as text, as base64 and in the full-text index."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer

from medical_kg.orchestration import Workspace, forget, submit

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "trials"
HASHING = {"chunk.embedder": "hashing", "embed.embedder": "hashing"}
WORD = "zyxommaqquort"
"""Its own stem."""
TAIL = WORD[4:]
"""An index keeps words in order and leaves out what one shares with the word before it."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three trials, in one of which a rare word stands, in its title, its text and its facts."""
    folder = tmp_path / "trials"
    folder.mkdir()
    first, *others = sorted(SAMPLES.iterdir())[:3]
    trial = json.loads(first.read_text(encoding="utf-8"))
    protocol = trial["protocolSection"]
    protocol["identificationModule"] |= {"nctId": "NCT00000001", "briefTitle": f"The {WORD} in practice"}
    protocol["descriptionModule"] |= {"briefSummary": f"Patients take {WORD} daily. {WORD.upper()} is new."}
    protocol["conditionsModule"]["conditions"] = [f"{WORD} disease"]
    (folder / "rare.json").write_text(json.dumps(trial), encoding="utf-8")
    for path in others:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def forms() -> list[bytes]:
    """How the word may stand in a file: as it is, but for its beginning, and within base64 at any offset."""
    inside = [base64.b64encode(b" " * shift + WORD.encode())[4:-4].lower() for shift in range(3)]
    return [TAIL.encode(), *inside]


def places(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [
        str(path.relative_to(folder)) for path in files if any(form in path.read_bytes().lower() for form in forms())
    ]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_byte_of_a_forgotten_document_is_left(
    tmp_path: Path, source: Path, database: str, request: pytest.FixtureRequest
) -> None:
    """Not in any file of the workspace, nor in a dump of the server's database; the others are found as before."""
    root, name = tmp_path / "kg", ""
    if database == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        root.mkdir()
        name = server.database()
        (root / "medical_kg.toml").write_text(f'[workspace]\ndatabase_url = "{server.url(name)}"\n')
    workspace = Workspace(root)
    given: dict[str, Any] = {"input": source, "overrides": HASHING, "engine": "plain"}
    # Twice, so that leftovers of words in the index are there too.
    submit(workspace, "auto", **given)
    submit(workspace, "auto", **given)
    assert len(places(root)) > 3
    done = forget(workspace, "NCT00000001")
    assert done.root == "nct:NCT00000001"
    assert done.left == ()
    workspace.close()
    assert places(root) == []
    if database == "postgres":
        dump = server.dump(name).lower()
        assert "nct:nct00000001" in dump  # the list of the forgotten
        assert TAIL not in dump
    report = submit(workspace, "auto", **given)
    workspace.close()
    assert report.stages[0].counts["forgotten"] == 1.0
    assert places(root) == []
