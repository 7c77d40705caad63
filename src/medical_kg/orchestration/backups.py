"""Backing a workspace up while others work in it.

The database is copied first, by SQLite's online backup (https://www.sqlite.org/backup.html): one consistent state. What
a ledger mentions was stored before it was mentioned and never changes, so the copied ledger finds all of it afterwards.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import tarfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from medical_kg.orchestration.checkpoints import CheckpointStore
from medical_kg.orchestration.contract.database import BUSY_TIMEOUT_SECONDS
from medical_kg.orchestration.contract.errors import StorageError, UsageError
from medical_kg.orchestration.services import FileArea
from medical_kg.orchestration.tenants import DATABASE, FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.orchestration.workspace import Workspace

ARCHIVES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}
"""How tarfile writes a backup into one file, by the ending of its name; any other name is a folder's."""

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Backup:
    """What was backed up. ``size`` is in bytes, before any packing.

    ``absent`` counts checkpoints that the ledger mentions and the store no longer has: their stages run again when they
    are needed. ``damaged`` tells which checkpoints and files were left out because their content is not what it was.
    """

    target: Path
    checkpoints: int
    files: int
    size: int
    absent: int
    damaged: tuple[str, ...]


def backup(workspace: Workspace, target: Path) -> Backup:
    """Copy databases, checkpoints, files and pipelines; the copy is a workspace itself. Runs beside it go on.

    Every checkpoint and file is checked against its digest, and the copied database is checked whole. The target appears
    when the backup is complete, or not at all. Settings, pipelines that lie elsewhere and Dagster's history are left out.

    Args:
        workspace: what to back up.
        target: a folder that is not there yet, or such a file ending in ``.tar``, ``.tar.gz`` or ``.tgz``.

    Raises:
        UsageError: something is at the target, it lies in the workspace, or there is nothing to back up.
        StorageError: something could not be read or written, or the copied database is damaged.
    """
    target = target.absolute()
    source = _database_of(workspace)
    _check_target(workspace, target)
    try:
        with _in_the_making(target) as folder:
            return _fill(workspace, source, folder, target)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"the backup {target} was not made: {error}; nothing of it was kept") from error


def _database_of(workspace: Workspace) -> Path:
    from sqlalchemy import make_url

    from medical_kg.orchestration.contract.database import shown

    url = make_url(workspace.database_url)
    if url.get_backend_name() != "sqlite":
        raise UsageError(
            f"the database {shown(url)} is kept by a server; back it up with the server's own tools (pg_dump), and then "
            "the checkpoints and files"
        )
    path = Path(url.database or "")
    if not path.is_file():
        raise UsageError(f"there is nothing to back up: {workspace.root} has no database yet")
    return path


def _check_target(workspace: Workspace, target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} is there already; name a folder or file that is not, e.g. with the date in it")
    if target.resolve().is_relative_to(workspace.root.resolve()):
        raise UsageError(f"{target} lies in the workspace it would back up; name a place outside {workspace.root}")


@contextmanager
def _in_the_making(target: Path) -> Iterator[Path]:
    """Give a folder beside the target; it becomes the target, or is gone if anything goes wrong."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    packed = folder.with_name(f"{folder.name}.packed")
    folder.mkdir(mode=0o700)
    try:
        yield folder
        mode = next((mode for ending, mode in ARCHIVES.items() if target.name.endswith(ending)), None)
        if mode is None:
            folder.rename(target)
        else:
            _pack(folder, packed, mode)
            packed.rename(target)
    finally:
        packed.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _pack(folder: Path, packed: Path, mode: Any) -> None:
    with packed.open("xb") as file, tarfile.open(fileobj=file, mode=mode) as archive:
        archive.add(folder, arcname=".")


def _fill(workspace: Workspace, source: Path, folder: Path, target: Path) -> Backup:
    database = folder / DATABASE
    _copy_database(source, database)
    # After the ledger: what it says was kept, they have.
    for path in sorted((workspace.root / FOLDER).glob(f"*/{DATABASE}")):
        own = folder / FOLDER / path.parent.name
        own.mkdir(parents=True)
        _copy_database(path, own / DATABASE)
    checkpoints, absent, damaged = _copy_checkpoints(workspace.checkpoints, _mentioned(database), folder)
    files, damaged_files = _copy_files(workspace.root / "files", folder / "files")
    if (workspace.root / "pipelines").is_dir():
        shutil.copytree(workspace.root / "pipelines", folder / "pipelines")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Backup(target, checkpoints, files, size, absent, (*damaged, *damaged_files))


def _copy_database(source: Path, target: Path) -> None:
    with closing(_connect(source, "rw")) as before, closing(_connect(target, "rwc")) as after:
        before.backup(after)
        said = [row[0] for row in after.execute("PRAGMA integrity_check")]
    if said != ["ok"]:
        raise StorageError(f"the database {source} is damaged: {'; '.join(said[:3])}; restore it from an older backup")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_SECONDS)


def _mentioned(database: Path) -> list[tuple[str, str]]:
    """Return digest and suffix of each checkpoint that a ledger mentions, whatever release wrote it."""
    with closing(_connect(database, "rw")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'stage_results'").fetchone():
            return []
        rows = connection.execute("SELECT DISTINCT outputs FROM stage_results")
        return sorted({(ref["digest"], ref["suffix"]) for (text,) in rows for ref in json.loads(text).values()})


def _copy_checkpoints(
    store: CheckpointStore, mentioned: list[tuple[str, str]], folder: Path
) -> tuple[int, int, list[str]]:
    copies = CheckpointStore(folder / "checkpoints")
    there = [place for place in mentioned if store.has(*place)]
    damaged = []
    for digest, suffix in there:
        try:
            data = store.get(digest, suffix)
        except StorageError as error:
            damaged.append(str(error))
        else:
            copies.put(data, suffix)
    return len(there) - len(damaged), len(mentioned) - len(there), damaged


def _copy_files(source: Path, target: Path) -> tuple[int, list[str]]:
    """Copy the finished files of a file area; one named by the digest of its content cannot change meanwhile."""
    area, copied, damaged = FileArea(target), 0, []
    for path in sorted(source.glob("??/*")):
        digest, suffix = path.name[:64], path.name[64:]
        with path.open("rb") as file:
            stored = area.put(iter(lambda: file.read(CHUNK), b""), suffix=suffix)  # used up at once
        copied += stored.sha256 == digest
        if stored.sha256 != digest:
            (target / stored.sha256[:2] / f"{stored.sha256}{suffix}").unlink()
            damaged.append(f"file {path} is damaged: its content is not what its name says; download it again")
    return copied, damaged
