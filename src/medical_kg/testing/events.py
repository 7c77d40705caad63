"""A subscriber that keeps what it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.orchestration.telemetry.events import Event

EventT = TypeVar("EventT", bound="Event")


class RecordedEvents:
    """Keeps events in order: ``Events([recorded])``, then ``recorded.of(StageCompleted)`` or ``recorded.names``."""

    def __init__(self) -> None:
        """Start with none."""
        self.all: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self.all.append(event)

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self.all))

    def __len__(self) -> int:
        return len(self.all)

    @property
    def names(self) -> list[str]:
        """The names of the events, in order."""
        return [type(event).__name__ for event in self.all]

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of a kind, in order."""
        return [event for event in self.all if isinstance(event, kind)]

    def clear(self) -> None:
        """Forget them."""
        self.all.clear()
