"""One run of one batch in one process: what it works on and with, and what came of each stage."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from medical_kg.orchestration.contract import StageContext, SystemClock
from medical_kg.orchestration.contract.logs import stage_logger
from medical_kg.orchestration.execution.instances import Instances
from medical_kg.orchestration.resilience import Guard
from medical_kg.orchestration.telemetry.events import Events

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Clock, Signal
    from medical_kg.orchestration.ledger.contract import Batch, Ledger, StageRecord, Submission
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage

OutcomeStatus = Literal["completed", "reused", "waiting", "postponed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a stage in this run; ``record`` is what the ledger holds of it, ``error`` why it failed."""

    stage: str
    status: OutcomeStatus
    record: StageRecord | None = None
    error: BaseException | None = None
    reason: str = ""

    @property
    def emitted(self) -> bool:
        """Whether what depends on the stage may run."""
        return self.status in ("completed", "reused")


class Checkpoints(Protocol):
    """What execution needs of a checkpoint store; see ``checkpoints.CheckpointStore``."""

    def put(self, data: bytes, suffix: str) -> str:
        """Store the bytes and return their sha256."""

    def get(self, digest: str, suffix: str) -> bytes:
        """Return stored bytes; raises ``StorageError`` when they are gone or damaged."""

    def has(self, digest: str, suffix: str) -> bool:
        """Whether the bytes are stored."""


@dataclass(slots=True)
class BatchRun:
    """One run of one batch in one process: the plan, the claimed batch, and what stages need.

    ``services`` gives a stage the services its metadata asks for; ``draw`` the random fraction for jitter; ``on_told``
    hears of each signal that a stage tells: whose stage, what, and the batch; ``guard`` guards the calls of stages in this
    process. ``only`` are the input records that the run is about; where there are none, all, or of a replay those of its
    dead letters.
    """

    plan: Plan
    submission: Submission
    batch: Batch
    ledger: Ledger
    checkpoints: Checkpoints
    services: Callable[[BatchRun, PlannedStage], Mapping[str, Any]]
    clock: Clock = field(default_factory=SystemClock)
    events: Events = field(default_factory=Events)
    instances: Instances = field(default_factory=Instances)
    draw: Callable[[], float] = random.random
    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    on_told: Callable[[Submission, Signal, str], object] | None = None
    guard: type[Guard] = Guard
    only: frozenset[str] = frozenset()

    def about(self, planned: PlannedStage) -> dict[str, Any]:
        """Return the fields every event of a stage carries."""
        return {
            "submission_id": self.submission.id,
            "batch_id": self.batch.id,
            "stage": planned.name,
            "stage_type": planned.type.name,
            "at": self.clock.now(),
        }

    def context(self, planned: PlannedStage) -> StageContext:
        """Return what the stage is told: copies, so that what it does to them stays with it."""
        ids = {"submission_id": self.submission.id, "batch_id": self.batch.id, "stage": planned.name}
        return StageContext(
            pipeline=self.plan.name,
            stage=planned.name,
            submission_id=self.submission.id,
            batch_id=self.batch.id,
            tenant=self.submission.tenant,
            sequence=self.submission.sequence,
            config=planned.config.model_copy(deep=True),
            logger=stage_logger(planned.type.name, ids),
            input=deepcopy(dict(self.submission.input)),
            conditions=dict(self.plan.conditions),
            services=self.services(self, planned),
            clock=self.clock,
        )
