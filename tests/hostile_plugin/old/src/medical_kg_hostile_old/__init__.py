"""Must never be imported: what it requires is not there."""

from __future__ import annotations

raise AssertionError("imported in spite of its requirement")
