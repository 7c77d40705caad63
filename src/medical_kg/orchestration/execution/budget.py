"""How many input records of a batch may fail before the batch does (``max_failed_items``)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from medical_kg.orchestration.ledger.contract import Budget

if TYPE_CHECKING:
    from medical_kg.orchestration.execution.batch import BatchRun
    from medical_kg.orchestration.ledger.contract import StageRecord
    from medical_kg.orchestration.pipeline.plan import PlannedStage


def budget_of(run: BatchRun, planned: PlannedStage, record: StageRecord) -> Budget | None:
    """Return what the batch may have failing once ``record`` is committed; None where nothing limits it.

    A percentage is taken of what the stream stage pulled for the batch, rejected records among it; where none has, of
    what the stage itself gave and rejected. A replay is not limited: it holds nothing but what failed.
    """
    limit = run.plan.max_failed_items
    if limit is None or run.batch.parent is not None or not record.dead_letters:
        return None
    if isinstance(limit, int):
        return Budget(limit=limit, allowed=limit)
    stream = run.plan.stream
    pulled = stream and stream.name != planned.name and run.ledger.results(run.batch.id).get(stream.name)
    return _share(limit, pulled or record)


def _share(limit: str, whole: StageRecord) -> Budget:
    total = max((ref.items or 0 for ref in whole.outputs.values()), default=0) + whole.dead_letters
    return Budget(limit=limit, allowed=share_of(limit, total), total=total)


def share_of(limit: int | str, total: int) -> int:
    """Return how many a limit allows: a number is that many, a percentage is taken of ``total`` and rounded down."""
    return limit if isinstance(limit, int) else int(Fraction(limit.strip().removesuffix("%").strip()) * total / 100)
