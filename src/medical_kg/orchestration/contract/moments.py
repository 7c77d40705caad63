"""Times as people and files write them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment_of(text: str) -> datetime:
    """Return the time that a day or time in ISO 8601 names; UTC where it names no zone.

    Raises:
        ValueError: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day or time such as 2026-01-31 or 2026-01-31T04:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
