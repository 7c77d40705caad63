"""The engine's implementation of the service ``signals``: reading and telling facts through the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import Signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medical_kg.orchestration.contract import Attachment, Clock, Condition
    from medical_kg.orchestration.ledger.contract import Batch, Ledger, Submission


class LedgerSignals:
    """The signals of one batch, as one of its stages sees them."""

    def __init__(self, ledger: Ledger, submission: Submission, batch: Batch, stage: str, clock: Clock) -> None:
        """Keep where to look and who is asking."""
        self._ledger, self._submission, self._batch = ledger, submission, batch
        self._stage, self._clock = stage, clock

    def all(self) -> Mapping[str, Signal]:
        """Return every signal by name, the batch's own before its submission's."""
        return self._ledger.signals(self._batch.id)

    def holds(self, condition: Condition) -> bool:
        """Whether the condition holds now; ``changed`` compares with the values at this stage's first wait."""
        values = {name: signal.value for name, signal in self.all().items()}
        wait = self._ledger.wait(self._batch.id, self._stage)
        return condition.holds(values, values if wait is None else wait.baseline)

    def tell(
        self, name: str, value: Any, *, attachments: Iterable[Attachment] = (), pipeline: str | None = None
    ) -> int:
        """Tell this submission, or every unfinished submission of ``pipeline`` in the same tenant."""
        actor = f"{self._submission.pipeline}/{self._stage}"
        told = Signal(name=name, value=value, attachments=tuple(attachments), actor=actor, at=self._clock.now())
        if pipeline is not None:
            return self._ledger.tell_pipeline(self._submission.tenant, pipeline, told)
        self._ledger.tell(self._submission.id, told)
        return 1
