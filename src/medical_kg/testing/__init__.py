"""For authors of stages: run one stage or a whole pipeline with nothing left behind, and hold a stage to its contract.

``run_stage`` runs one stage with no engine, ``run_pipeline`` a pipeline in memory; ``StageCase`` is what
``medical_kg.testing.conformance.StageConformance`` needs to know of a stage type. What stands here is imported when it
is first used: pytest loads ``medical_kg.testing.pytest_plugin`` in every project that has medical-kg installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medical_kg.testing.case import StageCase
    from medical_kg.testing.events import RecordedEvents
    from medical_kg.testing.fakes import FakeClock, FakeFiles, FakeSignals, FakeWorkspace, Told
    from medical_kg.testing.harness import StageRun, run_stage
    from medical_kg.testing.http import Answer, FakeHttp, Request
    from medical_kg.testing.pipelines import PipelineRun, run_pipeline
    from medical_kg.testing.state import StateView

__all__ = [
    "Answer",
    "FakeClock",
    "FakeFiles",
    "FakeHttp",
    "FakeSignals",
    "FakeWorkspace",
    "PipelineRun",
    "RecordedEvents",
    "Request",
    "StageCase",
    "StageRun",
    "StateView",
    "Told",
    "run_pipeline",
    "run_stage",
]

_HOMES = {
    "case": ("StageCase",),
    "events": ("RecordedEvents",),
    "fakes": ("FakeClock", "FakeFiles", "FakeSignals", "FakeWorkspace", "Told"),
    "harness": ("StageRun", "run_stage"),
    "http": ("Answer", "FakeHttp", "Request"),
    "pipelines": ("PipelineRun", "run_pipeline"),
    "state": ("StateView",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
