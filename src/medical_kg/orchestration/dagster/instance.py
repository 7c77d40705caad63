"""Dagster's own storage, kept in the workspace so that its history is there for the UI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dagster import DagsterInstance

from medical_kg.orchestration.contract.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

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
event_log_storage:
  module: medical_kg.orchestration.dagster.storage
  class: WorkspaceEventLogStorage
  config:
    base_dir: {home}
"""


def dagster_home(workspace: Workspace) -> Path:
    """Return Dagster's home folder in the workspace, made with telemetry and the newsletter dialog switched off."""
    home = workspace.root / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
        settings = home / "dagster.yaml"
        if not settings.exists():
            settings.write_text(SETTINGS.format(home=json.dumps(str(home / "history"))), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"Dagster's folder {home} cannot be made: {error.strerror or error}") from error
    return home


def open_instance(workspace: Workspace) -> DagsterInstance:
    """Open the workspace's Dagster instance; the caller disposes of it."""
    return DagsterInstance.from_config(str(dagster_home(workspace)))
