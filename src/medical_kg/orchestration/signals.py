"""The engine's implementation of the service ``signals``: reading and telling facts through the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import Signal
from medical_kg.orchestration.contract.errors import IllegalTransition, RecordNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from medical_kg.orchestration.contract import Attachment, Clock, Condition
    from medical_kg.orchestration.ledger.contract import Batch, Ledger, Submission


class LedgerSignals:
    """The signals of one batch, as one of its stages sees them."""

    def __init__(  # who asks, and who hears of what it tells
        self,
        ledger: Ledger,
        submission: Submission,
        batch: Batch,
        stage: str,
        clock: Clock,
        on_told: Callable[[Submission, Signal, str], object] | None = None,
    ) -> None:
        """Keep where to look and who is asking; ``on_told`` hears of what is told, by whom."""
        self._ledger, self._submission, self._batch = ledger, submission, batch
        self._stage, self._clock, self._on_told = stage, clock, on_told

    def all(self) -> Mapping[str, Signal]:
        """Return every signal by name, the batch's own before its submission's."""
        return self._ledger.signals(self._batch.id)

    def holds(self, condition: Condition) -> bool:
        """Whether the condition holds now; ``changed`` compares with the values at this stage's first wait."""
        values = {name: signal.value for name, signal in self.all().items()}
        wait = self._ledger.wait(self._batch.id, self._stage)
        return condition.holds(values, values if wait is None else wait.baseline)

    def tell(
        self,
        name: str,
        value: Any,
        *,
        attachments: Iterable[Attachment] | None = None,
        pipeline: str | None = None,
        reply: bool = False,
    ) -> int:
        """Tell this submission, every unfinished one of ``pipeline`` in the same tenant, or who started this one."""
        actor = f"{self._submission.pipeline}/{self._stage}"
        told = Signal(name=name, value=value, attachments=tuple(attachments or ()), actor=actor, at=self._clock.now())
        # What is attached belongs to the batch: it must not stand in for another batch's.
        batch = None if attachments is None else self._batch.id
        heard = self._reply(told) if reply else self._tell(told, pipeline, batch)
        if self._on_told is not None:
            self._on_told(self._submission, told, self._batch.id)
        return heard

    def _tell(self, told: Signal, pipeline: str | None, batch: str | None) -> int:
        if pipeline is not None:
            return self._ledger.tell_pipeline(self._submission.tenant, pipeline, told)
        self._ledger.tell(self._submission.id, told, batch_id=batch)
        return 1

    def _reply(self, told: Signal) -> int:
        # Only the engine writes this into an input, so it names a submission of the same tenant.
        origin, batch = self._submission.input.get("submission"), self._submission.input.get("batch")
        if origin is None:
            return 0
        try:
            self._ledger.tell(origin, told, batch_id=batch, late=True)
        except (RecordNotFound, IllegalTransition):
            return 0
        return 1
