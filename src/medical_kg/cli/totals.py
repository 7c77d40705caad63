"""How far submissions of several batches are, counted along with their events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from medical_kg.cli.output import plural
from medical_kg.orchestration.telemetry.events import BatchSettled, BatchStarted, InputPulled, StageCompleted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from medical_kg.orchestration.ledger.contract import Batch, Ledger
    from medical_kg.orchestration.telemetry.events import Event


@dataclass(slots=True)
class Total:
    """One submission: batches opened and done, records pulled (None: not known yet), dead letters.

    ``of`` is how many records the source says there are.
    """

    opened: int
    done: int
    letters: int
    records: int | None = None
    of: int | None = None

    def __str__(self) -> str:
        """Return it in words."""
        read = "" if self.records is None else plural(self.records, "record") + " read"
        there = "" if self.of is None else f"{self.of:,} in the source"
        letters = plural(self.letters, "dead letter") if self.letters else ""
        return ", ".join(filter(None, (f"{self.done:,} of {plural(self.opened, 'batch')} done", read, there, letters)))


class Totals:
    """Counts along; what was before is asked of the ledger when a submission is first heard of."""

    def __init__(self, ledger: Callable[[], Ledger]) -> None:
        """Keep the way to the ledger."""
        self._ledger = ledger
        self._totals: dict[str, Total] = {}

    def of(self, event: Event) -> Total | None:
        """Return how far the submission of an event is; None while it has but one batch."""
        total = self._totals.get(event.submission_id)
        return total if total is not None and total.opened > 1 else None

    def __call__(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, BatchStarted) and event.submission_id not in self._totals:
            self._totals[event.submission_id] = self._before(event)
        total = self._totals.get(event.submission_id)
        if total is None:
            return
        if isinstance(event, InputPulled):
            total.of = event.total
            total.records = event.records + (self._pulled_before(event) if total.records is None else total.records)
        if isinstance(event, StageCompleted):
            total.letters += event.dead_letters
        if isinstance(event, (InputPulled, BatchSettled)):
            # Asked again: other processes may be at work on the same submission.
            total.opened, total.done = _counted(self._ledger().batches(event.submission_id))

    def _before(self, event: BatchStarted) -> Total:
        ledger = self._ledger()
        batches = ledger.batches(event.submission_id)
        letters = sum(one.dead_letters for batch in batches for one in ledger.results(batch.id).values())
        return Total(*_counted(batches), letters)

    def _pulled_before(self, event: InputPulled) -> int:
        ledger = self._ledger()
        others = [batch.id for batch in ledger.batches(event.submission_id) if batch.id != event.batch_id]
        found = [ledger.results(batch).get(event.stage) for batch in others]
        return sum(ref.items or 0 for record in found if record for ref in record.outputs.values())


def _counted(batches: Sequence[Batch]) -> tuple[int, int]:
    """Return how many there are, and how many are done."""
    return len(batches), sum(batch.status == "completed" for batch in batches)
