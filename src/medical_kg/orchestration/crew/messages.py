"""Events on their way from a worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from medical_kg.orchestration.telemetry import events


def plain(event: events.Event) -> dict[str, Any]:
    """Return an event as JSON takes it."""
    return {"name": type(event).__name__, **{known.name: getattr(event, known.name) for known in fields(event)}}


def event_of(told: Mapping[str, Any]) -> events.Event:
    """Return the event that ``plain`` told."""
    facts = dict(told)
    event: events.Event = getattr(events, facts.pop("name"))(**facts)
    return event
