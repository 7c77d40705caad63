"""A stage that calls itself otherwise than its entry point."""

from __future__ import annotations

from medical_kg_hostile.making import Whole, metadata


class Stage(Whole):
    """Has another name."""

    metadata = metadata("another-name")
