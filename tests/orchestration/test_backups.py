"""Backups: complete, consistent beside writers, verified, and workspaces themselves."""

from __future__ import annotations

import json
import sqlite3
import sys
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from medical_kg.orchestration import Workspace, backup
from medical_kg.orchestration.contract.errors import StorageError, UsageError
from medical_kg.orchestration.ledger.contract import NewSubmission


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace with a ledger, one mentioned and one unmentioned checkpoint, a file and a pipeline."""
    workspace = Workspace(tmp_path / "a kg #")
    assert workspace.ledger.submissions() == []
    digest = workspace.checkpoints.put(b"kept", ".jsonl")
    workspace.checkpoints.put(b"waste", ".jsonl")
    workspace.files.put([b"%PDF"], suffix=".pdf")
    (workspace.root / "files" / ".incoming-x").write_bytes(b"half")
    (workspace.root / "pipelines").mkdir()
    (workspace.root / "pipelines" / "mine.yaml").write_text("name: mine\n")
    mention(workspace, "one", digest)
    return workspace


def mention(workspace: Workspace, stage: str, digest: str) -> None:
    """Make the ledger mention a checkpoint."""
    outputs = f'{{"documents": {{"digest": "{digest}", "suffix": ".jsonl", "items": 1}}}}'
    with closing(sqlite3.connect(workspace.root / "medical-kg.db")) as connection, connection:
        connection.execute(
            "INSERT INTO stage_results (tenant, batch_id, stage, stage_type, status, fingerprint, outputs, counts,"
            " origin, retries, dead_letters, started_at, finished_at)"
            " VALUES ('t', 'b', ?, 's', 'completed', 'f', ?, '{}', '{}', 0, 0, 0, 0)",
            (stage, outputs),
        )


def names(folder: Path) -> list[str]:
    return sorted(path.name[:4] for path in folder.rglob("*") if path.is_file())


def checkpoint_of(workspace: Workspace) -> Path:
    return next(path for path in workspace.root.glob("checkpoints/??/*") if path.read_bytes() == b"kept")


def test_a_backup_holds_what_the_ledger_mentions(place: Workspace, tmp_path: Path) -> None:
    """Mentioned checkpoints, finished files, pipelines; nothing unmentioned, half-written or left over beside it."""
    made = backup(place, tmp_path / "to" / "backup")
    assert (made.target, made.checkpoints, made.files, made.absent, made.damaged) == (
        tmp_path / "to" / "backup", 1, 1, 0, (),
    )  # fmt: skip
    assert made.size == sum(path.stat().st_size for path in made.target.rglob("*") if path.is_file())
    assert sorted(path.name for path in made.target.iterdir()) == ["checkpoints", "files", "medical-kg.db", "pipelines"]
    assert names(made.target / "checkpoints") == [checkpoint_of(place).name[:4]]
    assert len(names(made.target / "files")) == 1
    assert made.target.stat().st_mode & 0o077 == 0
    assert list(made.target.parent.iterdir()) == [made.target]
    copy = Workspace(made.target)
    assert copy.checkpoints.get(checkpoint_of(place).name[:64], ".jsonl") == b"kept"
    copy.close()


@pytest.mark.parametrize("name", ["kg.tar", "kg.tar.gz", "kg.tgz"])
def test_a_backup_in_one_file(place: Workspace, tmp_path: Path, name: str) -> None:
    """The ending of the name asks for an archive, with the same content."""
    made = backup(place, tmp_path / "to" / name)
    assert [path.name for path in made.target.parent.iterdir()] == [name]
    safely = {"filter": "data"} if sys.version_info >= (3, 12) else {}
    with tarfile.open(made.target) as archive:
        archive.extractall(tmp_path / "out", **safely)  # type: ignore[arg-type]  # our own archive
    with closing(sqlite3.connect(tmp_path / "out" / "medical-kg.db")) as connection:
        assert connection.execute("SELECT stage FROM stage_results").fetchall() == [("one",)]


def test_what_is_damaged_or_gone_is_told(place: Workspace, tmp_path: Path) -> None:
    """A damaged checkpoint and file are named and left out, a missing one is counted; the rest is backed up."""
    checkpoint_of(place).write_bytes(b"xxxx")
    mention(place, "two", "ab" * 32)
    next(place.root.glob("files/??/*")).write_bytes(b"changed")
    made = backup(place, tmp_path / "backup")
    assert (made.checkpoints, made.files, made.absent) == (0, 0, 1)
    assert [text.split()[0] for text in made.damaged] == ["checkpoint", "file"]
    assert names(made.target / "checkpoints") == names(made.target / "files") == []


def test_a_target_that_cannot_be_is_refused(place: Workspace, tmp_path: Path) -> None:
    """Something is there, it lies in the workspace, or there is no database: refused, nothing written."""
    with pytest.raises(UsageError, match="is there already"):
        backup(place, tmp_path)
    with pytest.raises(UsageError, match="lies in the workspace"):
        backup(place, place.root / "files" / "backup")
    with pytest.raises(UsageError, match="has no database yet"):
        backup(Workspace(tmp_path / "none"), tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == [place.root.name]


def test_the_database_of_a_server_is_left_to_the_server(tmp_path: Path) -> None:
    """It cannot be copied from here: the message names the server's own tool, and no password."""
    (tmp_path / "kg").mkdir()
    url = "postgresql+psycopg://ana:secret@host/kg"
    (tmp_path / "kg" / "medical_kg.toml").write_text(f'[workspace]\ndatabase_url = "{url}"\n')
    with pytest.raises(UsageError, match=r"ana:\*\*\*@host/kg is kept by a server; .*pg_dump"):
        backup(Workspace(tmp_path / "kg"), tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_backup_that_fails_leaves_nothing(place: Workspace, tmp_path: Path) -> None:
    """A database that is none, or a parent that is a file: an error that names the target, and no remains."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="nothing of it was kept"):
        backup(place, tmp_path / "file" / "backup")
    place.close()
    (place.root / "medical-kg.db").write_bytes(b"no database " * 1000)
    with pytest.raises(StorageError, match="not a database"):
        backup(place, tmp_path / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["file", place.root.name])


def test_a_damaged_database_is_found(place: Workspace, tmp_path: Path) -> None:
    """The copy is checked whole; a backup of a broken database is no backup."""
    place.close()
    with closing(sqlite3.connect(place.root / "medical-kg.db")) as connection, connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET rootpage = 2 WHERE name = 'history'")
    with pytest.raises(StorageError, match="damaged"):
        backup(place, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_database_without_a_ledger_is_backed_up(tmp_path: Path) -> None:
    """An index alone has no checkpoints to look for."""
    place = Workspace(tmp_path / "kg")
    place.root.mkdir()
    with closing(sqlite3.connect(place.root / "medical-kg.db")) as connection, connection:
        connection.execute("CREATE TABLE other (x)")
    assert backup(place, tmp_path / "backup").checkpoints == 0


def test_a_backup_beside_writers_is_consistent(place: Workspace, tmp_path: Path) -> None:
    """While another thread writes, each backup holds every mentioned checkpoint and a whole number of transactions."""
    stop, errors = threading.Event(), []

    def write() -> None:
        number = 0
        while not stop.is_set():
            try:
                digest = place.checkpoints.put(str(number).encode(), ".jsonl")
                mention(place, f"stage{number}", digest)
                place.ledger.open_submission(_new(number))
            except Exception as error:  # noqa: BLE001  # told to the test below
                errors.append(error)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [backup(place, tmp_path / f"backup{number}") for number in range(5)]
    finally:
        stop.set()
        writer.join()
    assert errors == []
    for one in made:
        assert (one.absent, one.damaged) == (0, ())
        with closing(sqlite3.connect(one.target / "medical-kg.db")) as connection:
            [submissions] = connection.execute("SELECT count(*) FROM submissions").fetchone()
            [opened] = connection.execute("SELECT count(*) FROM batches").fetchone()
            outputs = [json.loads(text) for (text,) in connection.execute("SELECT outputs FROM stage_results")]
        mentioned = {ref["digest"] for found in outputs for ref in found.values()}
        assert {path.name[:64] for path in one.target.glob("checkpoints/??/*")} == mentioned
        assert submissions == opened


def _new(number: int) -> NewSubmission:
    return NewSubmission(
        tenant="t",
        pipeline="p",
        pipeline_version="1",
        pipeline_path="p.yaml",
        pipeline_digest="d",
        batch_size=10,
        input={"input": str(number)},
        actor="me",
    )
