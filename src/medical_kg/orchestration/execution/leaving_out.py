"""Leaving forgotten records out of what a stage takes from outside."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from medical_kg.orchestration.ledger.records import input_record

if TYPE_CHECKING:
    from medical_kg.orchestration.execution.calling import Called


def leave_out(called: Called, roots: Collection[str]) -> int:
    """Take these input records out of what was pulled, rejected ones too; returns how many there were."""
    if not roots:
        return 0
    met: set[str] = set()
    for key, value in called.output.items():
        if key.is_list and key.root_of is not None:
            of = key.root_of
            met.update(of(item) for item in value)
            called.output[key] = [item for item in value if of(item) not in roots]
    met.update(input_record(one) for one in called.failures)
    called.failures[:] = [one for one in called.failures if input_record(one) not in roots]
    return len(met.intersection(roots))


def counted(counts: dict[str, float], left_out: int) -> dict[str, float]:
    """Return a stage's counts with those left out, where there are any."""
    return counts | {"forgotten": float(left_out)} if left_out else counts
