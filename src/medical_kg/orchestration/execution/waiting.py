"""A stage's wait: since when, until when, and what counts as news to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.ledger.contract import Wait

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Waiting
    from medical_kg.orchestration.execution.batch import BatchRun
    from medical_kg.orchestration.ledger.contract import StageRecord
    from medical_kg.orchestration.pipeline.plan import PlannedStage


@dataclass(frozen=True, slots=True)
class Pause:
    """The wait that a stage is in, or may be about to begin.

    Args:
        wait: what the ledger keeps of it; None before the first wait.
        stands: whether stage and pipeline still say what they said then.
        baseline: the signals' values before the stage looked for the first time.
        now: when the stage is called.
    """

    wait: Wait | None
    stands: bool
    baseline: Mapping[str, Any]
    now: float

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed. That of an edited gate is known once its stage has been asked."""
        return self.stands and self.wait is not None and _passed(self.wait.deadline_at, self.now)

    @property
    def goes_on(self) -> bool:
        """Whether the stage is called to go on without what it waited for."""
        return self.is_over and self.wait is not None and self.wait.on_timeout == "continue"

    def kept(self, run: BatchRun, stage: str, waiting: Waiting) -> Wait:
        """Return what is to be kept: the first wait's words, or those of an edited gate, counted from the first wait."""
        if self.stands and self.wait is not None:
            return self.wait
        began = run.clock.now() if self.wait is None else self.wait.first_waited_at
        return Wait(
            batch_id=run.batch.id,
            stage=stage,
            condition=waiting.condition,
            on_timeout=waiting.on_timeout,
            first_waited_at=began,
            deadline_at=None if waiting.deadline is None else began + waiting.deadline.total_seconds(),
            baseline=self.baseline,
        )


def look(run: BatchRun, planned: PlannedStage, former: StageRecord | None, mark: str) -> Pause:
    """Return how it stands with a stage's wait, before the stage is called.

    The signals are looked at now: what is told while the stage is at work must count as changed.
    """
    now, wait = run.clock.now(), run.ledger.wait(run.batch.id, planned.name)
    if wait is not None:
        stands = former is not None and former.status == "waiting" and former.fingerprint == mark
        return Pause(wait, stands, wait.baseline, now)
    told = run.ledger.signals(run.batch.id) if planned.type.metadata.mode == "batch" else {}
    return Pause(None, False, {name: signal.value for name, signal in told.items()}, now)  # noqa: FBT003  # by place


def _passed(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline
