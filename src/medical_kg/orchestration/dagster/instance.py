"""Dagster's own storage, kept with the workspace's other records so that its history is there for the UI.

With the ledger in SQLite it is in the workspace's folder; with the ledger in Postgres it is in the same database, in a
schema of its own, through Dagster's package for Postgres.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from dagster import DagsterInstance
from sqlalchemy import make_url, text

from medical_kg.orchestration.contract.database import open_engine, shown, take_turn, writing
from medical_kg.orchestration.contract.errors import SettingsError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import URL

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
# The database of the ledger, as medical_kg.toml named it when this was written.
storage:
  postgres:
    postgres_url: {place}
"""
SCHEMA = "dagster"
"""The schema of a Postgres database that has Dagster's tables."""


def dagster_home(workspace: Workspace) -> Path:
    """Return Dagster's home folder in the workspace, made with telemetry and the newsletter dialog switched off.

    Raises:
        StorageError: the folder, or its schema in the database, cannot be made.
        SettingsError: Dagster's package for Postgres is not installed.
    """
    home = workspace.root / "dagster"
    settings, url = home / "dagster.yaml", make_url(workspace.database_url)
    storage = IN_THE_FOLDER.format(place=json.dumps(str(home / "history")))
    if url.get_backend_name() == "postgresql":
        storage = IN_POSTGRES.format(place=json.dumps(_as_dagster_takes_it(url)))
        _make_schema(workspace.database_url)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            _write_whole(settings, SETTINGS + storage)
    except OSError as error:
        raise StorageError(f"Dagster's folder {home} cannot be made: {error.strerror or error}") from error
    return home


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


def _as_dagster_takes_it(url: URL) -> str:
    """Return the URL with the driver that Dagster's package wants, and its schema before all others."""
    try:
        import dagster_postgres
    except ImportError as error:
        msg = f"Dagster's history in {shown(url)} needs a package that is not installed: pip install 'medical-kg[postgres]'"
        raise SettingsError(f"{msg} ({error})") from error
    del dagster_postgres
    options = " ".join((f"-c search_path={SCHEMA}", *url.normalized_query.get("options", ())))
    theirs = url.set(drivername="postgresql+psycopg2").update_query_dict({"options": options})
    return theirs.render_as_string(hide_password=False)


def _make_schema(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        with writing(engine) as connection:
            take_turn(connection, "dagster schema")
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    finally:
        engine.dispose()
