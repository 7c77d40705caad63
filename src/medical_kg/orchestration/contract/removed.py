"""Input records that are gone from their source: the one state key that the engine itself gives."""

from __future__ import annotations

from pydantic import Field

from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.contract.state import StateKey


class RemovedRoot(Model):
    """An input record that is no longer in its source."""

    id: str
    reason: str = Field(default="absent from the last full sweep")


REMOVED: StateKey[list[RemovedRoot]] = StateKey(
    "removed", list[RemovedRoot], id="id", root="id", description="input records that are gone from the source"
)
"""Read it as ``optional(REMOVED)``. The engine gives it after a full sweep; a stage may write it as well."""
