"""Starting Dagster's UI and daemon on a workspace's pipelines and history."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from medical_kg.orchestration.dagster.instance import dagster_home
from medical_kg.orchestration.workspace import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from medical_kg.orchestration.workspace import Workspace

LOCATION = "medical_kg.orchestration.dagster.location"


def command(workspace: Workspace, host: str, port: int) -> list[str]:
    """Return the command that serves the UI; run it with ``environment``."""
    del workspace
    return [sys.executable, "-m", "dagster", "dev", "-m", LOCATION, "-h", host, "-p", str(port)]


def environment(workspace: Workspace) -> Mapping[str, str]:
    """Return the environment for ``command``: this one, with Dagster's home and the workspace in it."""
    home = dagster_home(workspace)  # which sets a variable too
    return {**os.environ, "DAGSTER_HOME": str(home), ENVIRONMENT: str(workspace.root)}
