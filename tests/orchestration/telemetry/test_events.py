"""Events: frozen records in the past tense, told in order, by whom nobody is harmed."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError, fields
from types import MappingProxyType
from typing import Any

import pytest

from medical_kg.orchestration.telemetry import events
from medical_kg.orchestration.telemetry.events import (
    CallsEvent,
    Event,
    Events,
    StageCompleted,
    StageEvent,
    StageFailed,
    log_event,
)

FIGURES = dict.fromkeys(("attempts", "waits", "waited", "refused", "put_offs"), 0)
VALUES: dict[str, Any] = {"at": 1.5, "generation": 1, "attempt": 1, "delay": 0.5, "calls": 2, "stage": "chunk"}
BASES = (Event, StageEvent, CallsEvent)
CLASSES = [
    cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event) and cls not in BASES
]


def make(cls: type[Event], **values: Any) -> Event:
    needed = {
        known.name: (VALUES | FIGURES).get(known.name, known.name) for known in fields(cls) if known.name != "counts"
    }
    return cls(**{**needed, **values})


@pytest.mark.parametrize("cls", CLASSES)
def test_events_are_frozen_facts(cls: type[Event]) -> None:
    """An event is a frozen record of what has happened, and says to which submission and batch and when."""
    event = make(cls)
    with pytest.raises(FrozenInstanceError):
        event.at = 2.0  # type: ignore[misc]  # refused on purpose
    assert (event.submission_id, event.batch_id, event.at) == ("submission_id", "batch_id", 1.5)
    assert not hasattr(event, "__dict__")
    assert cls.__name__.endswith(("ed", "Overran", "PutOff"))


def test_told_in_order() -> None:
    """Every subscriber hears every event, in the order of subscription and of the events."""
    heard: list[tuple[str, Event]] = []
    bus = Events([lambda event: heard.append(("first", event))])
    bus.subscribe(lambda event: heard.append(("second", event)))
    one, two = make(CLASSES[0]), make(CLASSES[1])
    bus.emit(one)
    bus.emit(two)
    assert heard == [("first", one), ("second", one), ("first", two), ("second", two)]


def test_unsubscribing() -> None:
    """Who has unsubscribed hears no more; doing it twice takes nobody else away."""
    heard: list[Event] = []
    bus = Events()
    take_away = bus.subscribe(heard.append)
    bus.subscribe(heard.append)
    take_away()
    take_away()
    bus.emit(make(CLASSES[0]))
    assert len(heard) == 1


def test_unsubscribing_while_told() -> None:
    """A subscriber may take itself away while it is told; the others still hear that event."""
    heard: list[str] = []
    bus = Events()

    def once(event: Event) -> None:
        heard.append("once")
        take_away()

    take_away = bus.subscribe(once)
    bus.subscribe(lambda event: heard.append("always"))
    bus.emit(make(CLASSES[0]))
    bus.emit(make(CLASSES[0]))
    assert heard == ["once", "always", "always"]


def test_a_subscriber_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Its failure is in the log with its traceback; the emitter and the others go on."""
    heard: list[Event] = []

    def fails(event: Event) -> None:
        raise RuntimeError("no")

    Events([fails, heard.append]).emit(make(StageCompleted))
    assert len(heard) == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "fails" in record.getMessage()
    assert "StageCompleted" in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize("cls", CLASSES)
def test_levels(cls: type[Event], caplog: pytest.LogCaptureFixture) -> None:
    """A failed stage is an error, what went wrong and was dealt with a warning, the rest information."""
    wrong = {"StageFailed": logging.ERROR} | dict.fromkeys(
        ("ItemDeadLettered", "StagePutOff", "CircuitChanged", "CallRetried", "CallOverran"), logging.WARNING
    )
    with caplog.at_level(logging.INFO, "medical_kg.events"):
        log_event(make(cls))
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("medical_kg.events", wrong.get(cls.__name__, logging.INFO))
    ]


def test_what_the_log_says(caplog: pytest.LogCaptureFixture) -> None:
    """A line names the event and what is not empty; all fields go along as data."""
    event = make(StageCompleted, counts=MappingProxyType({"chunks": 3.0}), dead_letters=0, retries=0, duration=0.0)
    with caplog.at_level(logging.INFO, "medical_kg.events"):
        log_event(event)
        log_event(make(StageFailed, error="it broke"))
    completed, failed = caplog.records
    assert completed.getMessage() == (
        "StageCompleted batch_id=batch_id stage=chunk stage_type=stage_type counts={'chunks': 3.0}"
    )
    assert failed.getMessage() == "StageFailed batch_id=batch_id stage=chunk stage_type=stage_type error=it broke"
    assert completed.event == {  # type: ignore[attr-defined]  # given as extra
        "name": "StageCompleted",
        "submission_id": "submission_id",
        "batch_id": "batch_id",
        "at": 1.5,
        "stage": "chunk",
        "stage_type": "stage_type",
        "counts": {"chunks": 3.0},
        "dead_letters": 0,
        "retries": 0,
        "duration": 0.0,
        **FIGURES,
    }
