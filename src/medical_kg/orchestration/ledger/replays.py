"""Dead letters again: opening replay batches, resolving what succeeded, and how many items of a batch may fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from medical_kg.orchestration.contract.errors import IllegalTransition, RecordNotFound, TooManyFailed
from medical_kg.orchestration.ledger import batches, history
from medical_kg.orchestration.ledger.records import input_record, record_row
from medical_kg.orchestration.ledger.results import REPLACE_RECORD
from medical_kg.orchestration.ledger.tables import DEAD_LETTERS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from medical_kg.orchestration.ledger.contract import Batch, Budget, DeadLetter, Replay
    from medical_kg.orchestration.ledger.records import Held

REPLAYABLE = frozenset({"completed", "waiting"})
"""Batches whose dead letters can be replayed: a failed one is retried, and no run may be at work on it."""


def open_one(connection: Connection, submission_id: str, replay: Replay, actor: str, now: float) -> Batch:
    """Open a replay batch with the results it takes over, and move its dead letters to it.

    Raises:
        RecordNotFound: a dead letter is not there, or not open, in the parent.
        IllegalTransition: the parent is neither completed nor waiting.
    """
    parent = batches.load(connection, replay.parent)
    if parent.batch.submission_id != submission_id:
        raise RecordNotFound(f"batch of submission {submission_id}", replay.parent)
    if parent.batch.status not in REPLAYABLE:
        raise IllegalTransition(f"dead letters of batch {replay.parent}", parent.batch.status, "replayed", REPLAYABLE)
    reason = f"replay of {replay.parent} from stage {replay.stage}, items: {len(replay.items)}"
    batch = batches.open_replay(connection, parent, reason, actor=actor, now=now)
    for item in replay.items:
        _move_letter(connection, parent, replay.stage, item, batch.id)
    for record in replay.records:
        row = record_row(parent.tenant, record.model_copy(update={"batch_id": batch.id}))
        connection.execute(REPLACE_RECORD, row)
    return batch


def _move_letter(connection: Connection, parent: Held, stage: str, item: str, batch_id: str) -> None:
    letters = DEAD_LETTERS.c
    ident = (letters.stage == stage, letters.item_id == item, letters.status == "open")
    moved = update(DEAD_LETTERS).where(*_of(parent), *ident).values(batch_id=batch_id, status="replaying")
    if connection.execute(moved).rowcount != 1:
        raise RecordNotFound(f"open dead letter of stage {stage} in batch {parent.batch.id}", item)


def _of(held: Held) -> tuple[ColumnElement[bool], ...]:
    return (DEAD_LETTERS.c.tenant == held.tenant, DEAD_LETTERS.c.batch_id == held.batch.id)


def resolve(connection: Connection, held: Held, now: float) -> None:
    """Mark the dead letters of a completed replay as resolved where they did not fail again."""
    if held.batch.parent is None:
        return
    replayed = (*_of(held), DEAD_LETTERS.c.status == "replaying")
    number = connection.execute(update(DEAD_LETTERS).where(*replayed).values(status="resolved")).rowcount
    line = history.Line("dead letters resolved", f"items: {number}", held.batch.id, detail={"resolved": number})
    batches.write(connection, held, [line], now=now)


def check_budget(connection: Connection, held: Held, stage: str, letters: Sequence[DeadLetter], budget: Budget) -> None:
    """Refuse dead letters with which more input records of the batch would have failed than may.

    Raises:
        TooManyFailed: it names the figures.
    """
    record = func.coalesce(DEAD_LETTERS.c.root, DEAD_LETTERS.c.item_id)
    others = select(record).where(*_of(held), DEAD_LETTERS.c.stage != stage, DEAD_LETTERS.c.status == "open")
    failed = set(connection.execute(others).scalars()) | {input_record(letter) for letter in letters}
    if len(failed) > budget.allowed:
        raise TooManyFailed(held.batch.id, len(failed), budget.allowed, budget.limit, budget.total)
