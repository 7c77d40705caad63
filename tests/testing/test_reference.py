"""The page of the kit has every name of the kit."""

from __future__ import annotations

from pathlib import Path

import medical_kg.testing


def test_every_name_of_the_kit_is_documented() -> None:
    """What is exported is on the page."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "testing.md").read_text(encoding="utf-8")
    assert [name for name in medical_kg.testing.__all__ if f"`{name}`" not in page] == []
