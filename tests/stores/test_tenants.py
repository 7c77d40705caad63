"""Two tenants over the same documents, from the run to the backup, on either database."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer
from typer.testing import CliRunner

from medical_kg.cli.app import app
from medical_kg.orchestration import backup, forget, submit
from medical_kg.orchestration.workspace import Workspace
from medical_kg.stores.database import DatabaseStore

HASHING = {"chunk.embedder": "hashing", "embed.embedder": "hashing"}
NOTE = "Trial NCT01234567 of note {}\n\nAspirin was given in note {}.\n"
Kg = Callable[..., Any]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with its data in either database, and three documents beside it."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"note{number}.txt").write_text(NOTE.format(number, number), encoding="utf-8")
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.serve(tmp_path / "kg")
    workspace = Workspace(tmp_path / "kg")
    yield workspace
    workspace.close()


def run(workspace: Workspace, tenant: str) -> str:
    """Run the folder for a tenant, and return the submission."""
    source = workspace.root.parent / "in"
    report = submit(workspace, "auto", input=source, engine="plain", overrides=HASHING, tenant=tenant)
    assert report.submission.status == "completed", report.errors
    return report.submission.id


def notes(workspace: Workspace, tenant: str) -> dict[str, str]:
    """The root of each note in a tenant's index, by the note's number."""
    index = DatabaseStore(workspace.of_tenant(tenant).database_url).index()
    hits = index.search("note", None, limit=100, kind="text")
    index.close()
    return {re.findall(r"note (\d)", hit.text)[0]: hit.root for hit in hits}


def test_each_tenant_has_rows_of_its_own(place: Workspace) -> None:
    """The same folder gives two submissions and two sets of rows; what goes from one stays in the other."""
    assert run(place, "one") != run(place, "two-b")
    assert notes(place, "default") == {}
    assert sorted(notes(place, "one")) == sorted(notes(place, "two-b")) == ["0", "1", "2"]
    (place.root.parent / "in" / "note0.txt").unlink()
    run(place, "two-b")
    assert [sorted(notes(place, name)) for name in ("one", "two-b")] == [["0", "1", "2"], ["1", "2"]]
    forget(place, notes(place, "one")["1"], tenant="one")
    assert [sorted(notes(place, name)) for name in ("one", "two-b")] == [["0", "2"], ["1", "2"]]


def test_commands_show_what_is_the_tenant_s(place: Workspace) -> None:
    """Search, documents and graph look into one tenant's database; an unknown tenant is told with those there are."""
    run(place, "one")
    run(place, "two-b")

    def kg(*words: str) -> Any:
        return CliRunner().invoke(app, ["--workspace", str(place.root), *words])

    root = notes(place, "one")["0"]
    for words in (("search", "aspirin"), ("documents", "show", root, "--json")):
        assert "note 0" in kg(*words, "--tenant", "one").output
        assert "note 0" not in kg(*words).output
    assert "holds 0 nodes" in kg("graph", "show", "nobody knows").output
    assert "holds 3 nodes" in kg("graph", "show", "nobody knows", "--tenant", "one").output
    unknown = kg("search", "aspirin", "--tenant", "ones")
    assert unknown.exit_code == 2
    assert "there is no tenant 'ones'; did you mean 'one'?" in unknown.output


def test_a_backup_holds_every_tenant(place: Workspace) -> None:
    """What was backed up is a workspace with the tenants in it; a server's database is backed up by the server."""
    if place.database_url.startswith("postgresql"):
        pytest.skip("a server's schemas are in its own dump")
    run(place, "one")
    backup(place, place.root.parent / "copy")
    shutil.rmtree(place.root)
    copy = Workspace(place.root.parent / "copy")
    assert [len(notes(copy, name)) for name in ("default", "one")] == [0, 3]
