"""For authors of stages: run one stage with no engine, with a fake clock, signals and files."""

from medical_kg.testing.fakes import FakeClock, FakeFiles, FakeSignals, FakeWorkspace
from medical_kg.testing.harness import StageRun, run_stage

__all__ = ["FakeClock", "FakeFiles", "FakeSignals", "FakeWorkspace", "StageRun", "run_stage"]
