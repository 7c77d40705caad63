"""Who runs the batches that a dispatcher gives out, and the simplest of them: this process itself."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from medical_kg.orchestration.crew.driver import Driver, EngineName
from medical_kg.orchestration.telemetry.events import Events

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch
    from medical_kg.orchestration.workspace import Workspace


class Ended(NamedTuple):
    """A batch that was given out is not worked on any more; ``error`` is what it was left with, None if it was settled."""

    batch: Batch
    error: Exception | None = None


class Hands(Protocol):
    """Runs batches."""

    def free(self) -> bool:
        """Whether another batch can be taken now."""

    def give(self, batch: Batch) -> None:
        """Take a batch to run."""

    def wait(self, seconds: float | None) -> list[Ended]:
        """Wait until something has happened that is worth a look at the ledger, at most so long; return what has ended."""


class OwnHands:
    """Runs one batch at a time in this process, while it is waited for.

    Args:
        workspace: where everything is kept.
        engine: ``dagster`` or ``plain``.
        events: told what happens.
        stop: ends a wait early when it is set.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        engine: EngineName,
        events: Events | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Nothing is opened before the first batch."""
        self._driver = Driver(workspace, engine, events or Events())
        self._stop = stop or threading.Event()
        self._batch: Batch | None = None

    def __enter__(self) -> Self:
        """Be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close stages and engine."""
        self._driver.close()

    def free(self) -> bool:
        """See ``Hands.free``."""
        return self._batch is None

    def give(self, batch: Batch) -> None:
        """See ``Hands.give``."""
        self._batch = batch

    def wait(self, seconds: float | None) -> list[Ended]:
        """Run the batch that was given; without one, let the time pass."""
        batch, self._batch = self._batch, None
        if batch is None:
            self._stop.wait(seconds)
            return []
        try:
            self._driver.run(batch.id)
        except Exception as error:  # noqa: BLE001  # whatever it is, the dispatcher tells it and goes on with others
            return [Ended(batch, error)]
        return [Ended(batch)]
