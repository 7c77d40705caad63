"""Events: frozen records of what has happened, and the bus that tells them to subscribers.

Every record names its submission, batch and (where there is one) stage, and when it happened (seconds since the
epoch). A subscriber that raises is reported in the log and harms nobody.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    submission_id: str
    batch_id: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStarted(Event):
    """A run took up a batch, to bring it through so many stages."""

    pipeline: str
    generation: int
    stages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettled(Event):
    """A run of a batch has ended with this status."""

    pipeline: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEvent(Event):
    """Base of the events of one stage."""

    stage: str
    stage_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(StageEvent):
    """A stage began to work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsEvent(StageEvent):
    """Base of the events that tell what the calls of a stage came to.

    ``attempts`` were made; ``waits`` of them waited for their turn at a host, ``waited`` seconds together; ``refused`` were not
    made, as a circuit breaker was open or a host had asked for a longer rest; ``put_offs`` times the stage was put off.
    """

    attempts: int = 0
    waits: int = 0
    waited: float = 0.0
    refused: int = 0
    put_offs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCompleted(CallsEvent):
    """A stage's result is in the ledger. ``duration`` is in seconds."""

    counts: Mapping[str, float] = field(default_factory=dict)
    dead_letters: int = 0
    retries: int = 0
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPulled(StageEvent):
    """A batch has its share of the input: so many records; ``more`` when the next batch is open.

    ``total`` is how many records the source says there are in all; None where it does not know.
    """

    records: int
    more: bool
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReused(StageEvent):
    """A stage's stored result still fits, so it was not run."""

    counts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePaused(StageEvent):
    """A stage began to wait, or waits on; what depends on it is skipped for now."""

    condition: str
    deadline_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePutOff(CallsEvent):
    """A stage cannot go on now: its batch is taken up again at ``until`` (seconds since the epoch), for this reason."""

    until: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFailed(CallsEvent):
    """A stage failed, and its batch with it."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged(StageEvent):
    """The circuit breaker of a host under a policy opened, lets one attempt try (``half-open``) or closed.

    ``host`` is empty where calls ask none; ``failures`` happened in a row; ``open_until`` is when the next attempt may be made
    (seconds since the epoch).
    """

    policy: str
    host: str
    change: str
    failures: int = 0
    open_until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRetried(StageEvent):
    """A call failed in a way that may pass and will be made again after ``delay`` seconds."""

    attempt: int
    delay: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOverran(StageEvent):
    """Calls took longer than their policy's ``timeout_seconds`` and finished all the same."""

    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDeadLettered(StageEvent):
    """An item could not be processed; the rest went on."""

    item_id: str
    error: str


Subscriber = Callable[[Event], None]


class Events:
    """Tells events to its subscribers, in the order in which they subscribed."""

    def __init__(self, subscribers: Iterable[Subscriber] = ()) -> None:
        """Start with some subscribers."""
        self._subscribers = list(subscribers)
        self._lock = threading.Lock()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Add a subscriber; the returned function takes it away again (once: calling it again does nothing)."""
        with self._lock:
            self._subscribers.append(subscriber)
        subscribed = True

        def unsubscribe() -> None:
            nonlocal subscribed
            with self._lock:
                if subscribed:
                    self._subscribers.remove(subscriber)
                    subscribed = False

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Tell an event to every subscriber."""
        with self._lock:
            subscribers = tuple(self._subscribers)
        for subscriber in subscribers:
            try:
                subscriber(event)
            except Exception:
                logger.exception("subscriber %r failed at %s", subscriber, type(event).__name__)


LEVELS: Mapping[type[Event], int] = {
    StageFailed: logging.ERROR,
    ItemDeadLettered: logging.WARNING,
    StagePutOff: logging.WARNING,
    CircuitChanged: logging.WARNING,
    CallRetried: logging.WARNING,
    CallOverran: logging.WARNING,
}


def log_event(event: Event) -> None:
    """Write an event to the log ``medical_kg.events``; its fields go along as ``extra={"event": …}``."""
    name = type(event).__name__
    facts: dict[str, Any] = {known.name: getattr(event, known.name) for known in fields(event)}
    said = " ".join(f"{key}={value}" for key, value in facts.items() if key not in ("at", "submission_id") and value)
    level = LEVELS.get(type(event), logging.INFO)
    logging.getLogger("medical_kg.events").log(level, "%s %s", name, said, extra={"event": {"name": name, **facts}})
