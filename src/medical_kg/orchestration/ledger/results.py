"""Stage results and dead letters: what a commit makes valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, select

from medical_kg.orchestration.contract.database import insert
from medical_kg.orchestration.contract.errors import LedgerError
from medical_kg.orchestration.ledger import batches, history
from medical_kg.orchestration.ledger.records import dead_letter_of, dead_letter_row, record_of, record_row
from medical_kg.orchestration.ledger.tables import DEAD_LETTERS, STAGE_RESULTS
from medical_kg.orchestration.ledger.transitions import failure

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from medical_kg.orchestration.ledger.contract import DeadLetter, Note, StageRecord
    from medical_kg.orchestration.ledger.records import Held


def _replace_record() -> Any:
    statement = insert(STAGE_RESULTS)
    keys = ("tenant", "batch_id", "stage")
    values = {column.name: column for column in statement.excluded if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


def _add_dead_letter() -> Any:
    statement = insert(DEAD_LETTERS)
    keys = ("tenant", "submission_id", "stage", "item_id")
    values: dict[str, Any] = {column.name: column for column in statement.excluded if column.name not in keys}
    values["attempts"] = DEAD_LETTERS.c.attempts + statement.excluded.attempts
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


REPLACE_RECORD = _replace_record()
ADD_DEAD_LETTER = _add_dead_letter()

LETTERS_OF_STAGE = select(DEAD_LETTERS.c.item_id).where(
    DEAD_LETTERS.c.tenant == bindparam("of_tenant"),
    DEAD_LETTERS.c.batch_id == bindparam("of_batch"),
    DEAD_LETTERS.c.stage == bindparam("of_stage"),
    # What a replay processes again stays until the replay is complete.
    DEAD_LETTERS.c.status != "replaying",
)
DROP_LETTER = delete(DEAD_LETTERS).where(
    DEAD_LETTERS.c.tenant == bindparam("of_tenant"),
    DEAD_LETTERS.c.submission_id == bindparam("of_submission"),
    DEAD_LETTERS.c.stage == bindparam("of_stage"),
    DEAD_LETTERS.c.item_id == bindparam("of_item"),
)


def keep(
    connection: Connection, held: Held, record: StageRecord, notes: Sequence[Note], reason: str, now: float
) -> None:
    """Replace a stage's result; the notes go to the history before its own line."""
    connection.execute(REPLACE_RECORD, record_row(held.tenant, record))
    lines = [history.Line(note.event, note.reason, record.batch_id, record.stage, note.detail) for note in notes]
    detail = {"counts": dict(record.counts), "retries": record.retries, "dead_letters": record.dead_letters}
    lines.append(history.Line(f"stage {record.status}", reason, record.batch_id, record.stage, detail))
    batches.write(connection, held, lines, now=now)


def fail_batch(connection: Connection, held: Held, record: StageRecord, now: float) -> None:
    """Fail the batch of a failed stage, unless another of its stages did so before; nobody holds it then."""
    if held.batch.status == "failed":
        return
    batches.move(
        connection, held, "failed", failure(record), actor=held.claimed_by, now=now, ready_at=None, **batches.NO_LEASE
    )


def replace_dead_letters(connection: Connection, held: Held, stage: str, letters: Sequence[DeadLetter]) -> None:
    """Replace the dead letters of a batch and stage; an item that was dead before has its attempts added up."""
    rows = [dead_letter_row(held, stage, letter) for letter in letters]
    key = {"of_tenant": held.tenant, "of_batch": held.batch.id, "of_stage": stage}
    gone = set(connection.execute(LETTERS_OF_STAGE, key).scalars()) - {row["item_id"] for row in rows}
    if gone:
        drop = {"of_tenant": held.tenant, "of_submission": held.batch.submission_id, "of_stage": stage}
        connection.execute(DROP_LETTER, [drop | {"of_item": item} for item in sorted(gone)])
    if rows:
        connection.execute(ADD_DEAD_LETTER, rows)


def check_wait_given(record: StageRecord, *, given: bool) -> None:
    """Refuse a waiting record that does not say what it waits for, and a wait of a stage that does not.

    Raises:
        LedgerError: a bug of the caller.
    """
    if (record.status == "waiting") is not given:
        what = "does not say what for" if record.status == "waiting" else "comes with a wait"
        msg = f"stage {record.stage!r} of batch {record.batch_id} is {record.status} and {what}"
        raise LedgerError(msg)


def of_batch(connection: Connection, batch_id: str) -> dict[str, StageRecord]:
    """Return the stage records of a batch by stage, in the order they began."""
    query = select(STAGE_RESULTS).where(STAGE_RESULTS.c.batch_id == batch_id)
    query = query.order_by(STAGE_RESULTS.c.started_at, STAGE_RESULTS.c.stage)
    return {row["stage"]: record_of(row) for row in connection.execute(query).mappings()}


def drop_failed(connection: Connection, held: Held) -> None:
    """Forget the failed results of a batch, so that the next run is judged by its own; the history keeps them."""
    of_batch = (STAGE_RESULTS.c.tenant == held.tenant, STAGE_RESULTS.c.batch_id == held.batch.id)
    connection.execute(delete(STAGE_RESULTS).where(*of_batch, STAGE_RESULTS.c.status == "failed"))


def dead_letters(connection: Connection, submission_id: str) -> list[DeadLetter]:
    """Return a submission's dead letters by batch, stage and item."""
    letters = DEAD_LETTERS.c
    # A batch's number has four digits or more: the shorter id is the earlier batch.
    order = (func.length(letters.batch_id), letters.batch_id, letters.stage, letters.item_id)
    query = select(DEAD_LETTERS).where(letters.submission_id == submission_id).order_by(*order)
    return [dead_letter_of(row) for row in connection.execute(query).mappings()]
