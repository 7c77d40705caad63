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
    from medical_kg.orchestration.api import Report, replay, report, resume, retry, signal, submit
    from medical_kg.orchestration.backups import Backup, backup
    from medical_kg.orchestration.dagster.definitions import definitions
    from medical_kg.orchestration.debugging import Debugging, debug
    from medical_kg.orchestration.diagnosis import Finding, diagnose, explain_plugin
    from medical_kg.orchestration.inspection.diff import PipelineDiff, diff_pipelines
    from medical_kg.orchestration.inspection.explain import Explanation, explain
    from medical_kg.orchestration.inspection.reference import plugin_page
    from medical_kg.orchestration.lock import lock_plugins, verify_plugins
    from medical_kg.orchestration.pruning import Pruned, prune
    from medical_kg.orchestration.ready import Ran, resume_all, watch
    from medical_kg.orchestration.recovery import cancel
    from medical_kg.orchestration.registry import Installation, PluginSettings, Registry
    from medical_kg.orchestration.submissions import open_submission
    from medical_kg.orchestration.telemetry.events import Events
    from medical_kg.orchestration.traces.forget import Forgetting, forget, forgotten, remember
    from medical_kg.orchestration.traces.story import Story, trace
    from medical_kg.orchestration.upgrading import Upgrade, upgrade
    from medical_kg.orchestration.workspace import Workspace

__all__ = [
    "Backup",
    "Debugging",
    "Events",
    "Explanation",
    "Finding",
    "Forgetting",
    "Installation",
    "PipelineDiff",
    "PluginSettings",
    "Pruned",
    "Ran",
    "Registry",
    "Report",
    "Story",
    "Upgrade",
    "Workspace",
    "backup",
    "cancel",
    "debug",
    "definitions",
    "diagnose",
    "diff_pipelines",
    "explain",
    "explain_plugin",
    "forget",
    "forgotten",
    "lock_plugins",
    "open_submission",
    "plugin_page",
    "prune",
    "remember",
    "replay",
    "report",
    "resume",
    "resume_all",
    "retry",
    "signal",
    "submit",
    "trace",
    "upgrade",
    "verify_plugins",
    "watch",
]

_HOMES = {
    "medical_kg.orchestration.api": ("Report", "replay", "report", "resume", "retry", "signal", "submit"),
    "medical_kg.orchestration.backups": ("Backup", "backup"),
    "medical_kg.orchestration.dagster.definitions": ("definitions",),
    "medical_kg.orchestration.debugging": ("Debugging", "debug"),
    "medical_kg.orchestration.diagnosis": ("Finding", "diagnose", "explain_plugin"),
    "medical_kg.orchestration.inspection.diff": ("PipelineDiff", "diff_pipelines"),
    "medical_kg.orchestration.inspection.explain": ("Explanation", "explain"),
    "medical_kg.orchestration.inspection.reference": ("plugin_page",),
    "medical_kg.orchestration.lock": ("lock_plugins", "verify_plugins"),
    "medical_kg.orchestration.pruning": ("Pruned", "prune"),
    "medical_kg.orchestration.recovery": ("cancel",),
    "medical_kg.orchestration.ready": ("Ran", "resume_all", "watch"),
    "medical_kg.orchestration.registry": ("Installation", "PluginSettings", "Registry"),
    "medical_kg.orchestration.submissions": ("open_submission",),
    "medical_kg.orchestration.telemetry.events": ("Events",),
    "medical_kg.orchestration.traces.forget": ("Forgetting", "forget", "forgotten", "remember"),
    "medical_kg.orchestration.traces.story": ("Story", "trace"),
    "medical_kg.orchestration.upgrading": ("Upgrade", "upgrade"),
    "medical_kg.orchestration.workspace": ("Workspace",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
