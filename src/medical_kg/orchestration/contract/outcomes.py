"""What a stage may give back besides plain output."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.conditions import Condition, OnTimeout

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input record a stream stage met but could not take; it becomes a dead letter of that stage."""

    item_id: str
    reason: str
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What one ``pull`` of a stream stage gives: a batch's input.

    Args:
        output: the stage's output, handled like any other (for one written key, its list of records).
        cursor: where the next pull goes on (any text); None ends the input.
        rejected: records that could not be taken.
        complete: with this last page every record that is asked for has been given. What an earlier submission of the
            same input gave and this one did not is then gone, and is removed, unless only a part was asked for (by
            ``limit`` or ``updated_since`` of ``ctx.input``). Leave it False where the source stopped early.
        process_all: its records are to be processed even if they have not changed, because they are a request, not the
            state of a source: somebody waits for what comes of them.
        total: how many records there are to be given in all, where the source knows; it is told with the progress.
    """

    output: Any
    cursor: str | None = None
    rejected: Sequence[Rejected] = ()
    complete: bool = False
    process_all: bool = False
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Returned by a batch stage that cannot go on yet: nothing is emitted, no worker is held.

    The engine keeps the condition in the ledger, and runs the stage again when a signal may have changed it or the
    deadline has passed.

    Args:
        condition: what it waits for.
        deadline: how long it may wait, counted from its first wait; None waits for ever.
        on_timeout: ``fail`` fails the batch; ``continue`` calls the stage once more with ``ctx.timed_out`` set.
    """

    condition: Condition
    deadline: timedelta | None = None
    on_timeout: OnTimeout = "fail"
