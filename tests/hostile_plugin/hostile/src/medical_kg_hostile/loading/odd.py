"""Raises what is no Exception."""

from __future__ import annotations

from medical_kg_hostile.making import OddError

raise OddError("raised on import")
