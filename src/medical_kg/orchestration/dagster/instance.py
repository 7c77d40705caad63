"""Dagster's own storage, kept with the workspace's other records so that its history is there for the UI.

With the ledger in SQLite it is in the workspace's folder; with the ledger in Postgres it is in the same database, in a
schema of its own, through Dagster's package for Postgres.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import DagsterInstance
from sqlalchemy import inspect, make_url, text

from medical_kg.orchestration.contract.database import opened, passwords, reading, shown, take_turn, writing
from medical_kg.orchestration.contract.errors import SettingsError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection

    from medical_kg.orchestration.workspace import Workspace

SETTINGS = """\
# Written once by medical-kg; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false
# What stages print is not captured, which would cost two processes a step; what they log is in the run's log.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""
IN_THE_FOLDER = """\
event_log_storage:
  module: medical_kg.orchestration.dagster.storage
  class: WorkspaceEventLogStorage
  config:
    base_dir: {place}
"""
IN_POSTGRES = """\
# The database of the ledger, as medical_kg.toml named it when this was written; where its address has a password, the
# variable that medical-kg sets.
storage:
  postgres:
    postgres_url: {place}
"""
ADDRESS = "MEDICAL_KG_DAGSTER_URL"
"""The environment variable that has the address of Dagster's tables in Postgres, for this process and those it starts."""
SCHEMA = "dagster"
"""The schema of a Postgres database that has Dagster's tables."""
UNFINISHED = "dagster_unfinished_"
"""How the names of schemas begin whose tables are being made; one that is left was killed."""


def dagster_home(workspace: Workspace) -> Path:
    """Return Dagster's home folder in the workspace, made with telemetry and the newsletter dialog switched off.

    Dagster makes its tables one by one; if it were killed in between, nothing could open them again. So they are made
    aside, and get their place when they are whole.

    Raises:
        StorageError: the folder, or its schema in the database, cannot be made.
        SettingsError: Dagster's package for Postgres is not installed.
    """
    home, url = workspace.root / "dagster", make_url(workspace.database_url)
    try:
        if url.get_backend_name() == "postgresql":
            address = _as_dagster_takes_it(url, SCHEMA)
            settings = _in_postgres(url, address)
            _make_schema(workspace.database_url, home.parent)
            os.environ[ADDRESS] = address
            home.mkdir(parents=True, exist_ok=True)
        else:
            settings = _in_the_folder(home)
            if not home.is_dir():
                _make_folder(home)
        if not (home / "dagster.yaml").exists():
            _write_whole(home / "dagster.yaml", settings)
    except OSError as error:
        raise StorageError(f"Dagster's folder {home} cannot be made: {error.strerror or error}") from error
    return home


def _in_the_folder(home: Path) -> str:
    return SETTINGS + IN_THE_FOLDER.format(place=json.dumps(str(home / "history")))


def _in_postgres(url: URL, address: str) -> str:
    # Settings with a password would be on the command line of each process that Dagster starts.
    return SETTINGS + IN_POSTGRES.format(place=json.dumps({"env": ADDRESS} if passwords(url) else address))


@contextmanager
def _addressed(address: str) -> Iterator[None]:
    """Let settings that name the variable mean this address, in the block."""
    before = os.environ.get(ADDRESS)
    os.environ[ADDRESS] = address
    try:
        yield
    finally:
        del os.environ[ADDRESS]
        if before is not None:
            os.environ[ADDRESS] = before


def _make_folder(home: Path) -> None:
    """Make the folder with its databases, and move it to its place; another process may be quicker."""
    with _unfinished_folder(home.parent) as folder:
        _make_tables(folder, _in_the_folder(folder))
        _write_whole(folder / "dagster.yaml", _in_the_folder(home))
        try:
            folder.rename(home)
        except OSError:
            if not home.is_dir():
                raise


@contextmanager
def _unfinished_folder(parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".dagster-", ignore_cleanup_errors=True) as outer:
        folder = Path(outer) / "dagster"
        folder.mkdir()
        yield folder


def _make_tables(folder: Path, settings: str) -> None:
    _write_whole(folder / "dagster.yaml", settings)
    with DagsterInstance.from_config(str(folder)) as instance:
        # Each is made when it is first asked for.
        for _ in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
            pass


def _write_whole(path: Path, content: str) -> None:
    """Write a file that is there with all its content or not at all, for its owner alone: a URL may have a password."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(content, encoding="utf-8")
    unfinished.replace(path)


def history_of(workspace: Workspace) -> str:
    """Return where Dagster's history is, for messages."""
    url = make_url(workspace.database_url)
    return shown(url) if url.get_backend_name() == "postgresql" else str(workspace.root / "dagster")


def open_instance(workspace: Workspace) -> DagsterInstance:
    """Open the workspace's Dagster instance; the caller disposes of it."""
    return DagsterInstance.from_config(str(dagster_home(workspace)))


def _as_dagster_takes_it(url: URL, schema: str) -> str:
    """Return the URL with the driver that Dagster's package wants, and a schema before all others."""
    try:
        import dagster_postgres
    except ImportError as error:
        msg = f"Dagster's history in {shown(url)} needs a package that is not installed: pip install 'medical-kg[postgres]'"
        raise SettingsError(f"{msg} ({error})") from error
    del dagster_postgres
    options = " ".join((f"-c search_path={schema}", *url.normalized_query.get("options", ())))
    theirs = url.set(drivername="postgresql+psycopg2").update_query_dict({"options": options})
    return theirs.render_as_string(hide_password=False)


def _make_schema(database_url: str, parent: Path) -> None:
    """Make the schema with its tables, unless it is there."""
    with opened(database_url) as engine:
        with reading(engine) as connection:
            found = _schemas(connection)
        if SCHEMA in found:
            return
        with writing(engine) as turn:
            take_turn(turn, "dagster schema")
            found = _schemas(turn)
            if SCHEMA not in found:
                unfinished = f"{UNFINISHED}{secrets.token_hex(4)}"
                with writing(engine) as connection:
                    for left in (name for name in found if name.startswith(UNFINISHED)):
                        connection.execute(text(f"DROP SCHEMA {left} CASCADE"))
                    connection.execute(text(f"CREATE SCHEMA {unfinished}"))
                url = make_url(database_url)
                address = _as_dagster_takes_it(url, unfinished)
                with _unfinished_folder(parent) as folder, _addressed(address):
                    _make_tables(folder, _in_postgres(url, address))
                turn.execute(text(f"ALTER SCHEMA {unfinished} RENAME TO {SCHEMA}"))


def _schemas(connection: Connection) -> list[str]:
    return inspect(connection).get_schema_names()
