"""The engine: registry, pipelines, ledger, runners. It knows no stage type and no document format.

To run pipelines from Python::

    from medical_kg.orchestration import Workspace, submit

    report = submit(Workspace.find(), "auto", input="trials/")

``definitions()`` gives the same pipelines to a Dagster code location of your own. What stands here is imported when it
is first used, so that plugins, which import the contract below, do not pay for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medical_kg.orchestration.api import Report, report, resume, signal, submit
    from medical_kg.orchestration.dagster.definitions import definitions
    from medical_kg.orchestration.registry import Installation, PluginSettings, Registry
    from medical_kg.orchestration.submissions import open_submission
    from medical_kg.orchestration.telemetry.events import Events
    from medical_kg.orchestration.workspace import Workspace

__all__ = [
    "Events",
    "Installation",
    "PluginSettings",
    "Registry",
    "Report",
    "Workspace",
    "definitions",
    "open_submission",
    "report",
    "resume",
    "signal",
    "submit",
]

_HOMES = {
    "medical_kg.orchestration.api": ("Report", "report", "resume", "signal", "submit"),
    "medical_kg.orchestration.dagster.definitions": ("definitions",),
    "medical_kg.orchestration.registry": ("Installation", "PluginSettings", "Registry"),
    "medical_kg.orchestration.submissions": ("open_submission",),
    "medical_kg.orchestration.telemetry.events": ("Events",),
    "medical_kg.orchestration.workspace": ("Workspace",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
