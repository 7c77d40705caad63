"""Signals, and the waits they end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping, func, insert, or_, select

from medical_kg.orchestration.contract.database import insert as upsert
from medical_kg.orchestration.ledger import batches, history
from medical_kg.orchestration.ledger.records import Held, signal_of, values_of, wait_of, wait_row
from medical_kg.orchestration.ledger.tables import BATCHES, SIGNALS, STAGE_RESULTS, WAITS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

    from medical_kg.orchestration.contract import Attachment, Signal
    from medical_kg.orchestration.ledger.contract import Submission, Wait

VALUES = tuple(column for column in SIGNALS.c if column.name != "attachments")


def _keep_first() -> Any:
    statement = upsert(WAITS)
    given = {name: statement.excluded[name] for name in ("condition", "on_timeout", "deadline_at")}
    return statement.on_conflict_do_update(index_elements=["tenant", "batch_id", "stage"], set_=given)


KEEP_FIRST = _keep_first()


def newest(
    connection: Connection, submission_id: str, *, batch_ids: Collection[str] | None = None, whole: bool = True
) -> list[tuple[str | None, Signal]]:
    """Return the newest signals of a submission (no batch) and of its batches, oldest first.

    With ``batch_ids`` those of the submission and these batches; without ``whole`` they have no attachments, of which
    there may be many.
    """
    last = select(func.max(SIGNALS.c.id)).where(SIGNALS.c.submission_id == submission_id)
    if batch_ids is not None:
        last = last.where(or_(SIGNALS.c.batch_id.is_(None), SIGNALS.c.batch_id.in_(batch_ids)))
    last = last.group_by(SIGNALS.c.batch_id, SIGNALS.c.name)
    columns = SIGNALS.c if whole else VALUES
    query = select(*columns).where(SIGNALS.c.id.in_(last)).order_by(SIGNALS.c.id)
    return [(row["batch_id"], signal_of(row)) for row in connection.execute(query).mappings()]


def told_to(connection: Connection, submission_id: str, batch_id: str) -> dict[str, Signal]:
    """Return what a batch sees, with what is attached."""
    return Told(connection, submission_id, batch_id).to(batch_id)


class Told:
    """The newest signals of a submission and all its batches, without attachments; or what one batch sees, whole."""

    def __init__(self, connection: Connection, submission_id: str, batch_id: str | None = None) -> None:
        """Read them."""
        replays = (BATCHES.c.submission_id == submission_id, BATCHES.c.parent.is_not(None))
        rows = connection.execute(select(BATCHES.c.id, BATCHES.c.parent).where(*replays))
        self._parents: dict[str, str] = {row.id: row.parent for row in rows}
        self._by_batch: dict[str | None, dict[str, Signal]] = defaultdict(dict)
        of = None if batch_id is None else self._line(batch_id)
        for hearer, signal in newest(connection, submission_id, batch_ids=of, whole=batch_id is not None):
            self._by_batch[hearer][signal.name] = signal

    def _line(self, batch_id: str) -> list[str]:
        line = [batch_id]
        while (parent := self._parents.get(line[0])) is not None:
            line.insert(0, parent)
        return line

    def to(self, batch_id: str) -> dict[str, Signal]:
        """Return what a batch sees: its submission's signals, overlaid by those of its parent and by its own."""
        seen = dict(self._by_batch[None])
        for one in self._line(batch_id):
            seen |= self._by_batch[one]
        return seen


def keep(
    connection: Connection, tenant: str, submission: Submission, signal: Signal, batch_id: str | None, now: float
) -> None:
    """Append a signal, write it to the history and wake whom it concerns.

    What came along with the same signal before is kept, but for items that something of the same media type comes for.
    """
    told = {"tenant": tenant, "submission_id": submission.id, "batch_id": batch_id}
    signal = signal.model_copy(update={"attachments": _attached(connection, submission.id, signal, batch_id)})
    connection.execute(insert(SIGNALS), told | signal.model_dump(mode="json"))
    line = history.Line("signal", signal.name, batch_id, detail={"value": signal.model_dump(mode="json")["value"]})
    lines = [line, *_wake(connection, submission.id, now)]
    history.append(connection, lines, tenant=tenant, submission_id=submission.id, actor=signal.actor, now=now)


def _attached(
    connection: Connection, submission_id: str, signal: Signal, batch_id: str | None
) -> tuple[Attachment, ...]:
    of_name = (SIGNALS.c.submission_id == submission_id, SIGNALS.c.name == signal.name)
    before = select(SIGNALS).where(*of_name, SIGNALS.c.batch_id.is_not_distinct_from(batch_id))
    row = connection.execute(before.order_by(SIGNALS.c.id.desc()).limit(1)).mappings().one_or_none()
    if row is None:
        return signal.attachments
    replaced = {_what(one) for one in signal.attachments}
    return (*(one for one in signal_of(row).attachments if _what(one) not in replaced), *signal.attachments)


def _what(attachment: Attachment) -> tuple[str, str]:
    return attachment.item_id or attachment.uri, attachment.media_type


def _wake(connection: Connection, submission_id: str, now: float) -> list[history.Line]:
    told = Told(connection, submission_id)
    asleep = _waiting_stages().where(
        BATCHES.c.submission_id == submission_id,
        BATCHES.c.status == "waiting",
        or_(BATCHES.c.ready_at.is_(None), BATCHES.c.ready_at > now),
    )
    rows = connection.execute(asleep.order_by(BATCHES.c.ordinal, WAITS.c.stage)).mappings().all()
    return [_wake_up(connection, row, now) for row in rows if holds(wait_of(row), told)]


def _wake_up(connection: Connection, row: RowMapping, now: float) -> history.Line:
    held = batches.load(connection, row["batch_id"])
    batches.change(connection, held, now=now, ready_at=now)
    return history.Line("woken", f"{wait_of(row).condition}", held.batch.id, row["stage"])


def _waiting_stages() -> Select[tuple[object, ...]]:
    # A wait stays when its stage goes on; only the stage's result tells whether it still waits.
    of_batch = (BATCHES.c.tenant == WAITS.c.tenant) & (BATCHES.c.id == WAITS.c.batch_id)
    of_stage = (
        (STAGE_RESULTS.c.tenant == WAITS.c.tenant)
        & (STAGE_RESULTS.c.batch_id == WAITS.c.batch_id)
        & (STAGE_RESULTS.c.stage == WAITS.c.stage)
    )
    joined = WAITS.join(BATCHES, of_batch).join(STAGE_RESULTS, of_stage)
    return select(WAITS).select_from(joined).where(STAGE_RESULTS.c.status == "waiting")


def holds(wait: Wait, told: Told) -> bool:
    """Whether a wait's condition holds now."""
    return wait.condition.holds(values_of(told.to(wait.batch_id)), wait.baseline)


def wake_time(connection: Connection, held: Held, now: float) -> float | None:
    """Return when a waiting batch should be taken up: now, at its nearest deadline, or (None) when told."""
    told = Told(connection, held.batch.submission_id)
    query = _waiting_stages().where(WAITS.c.batch_id == held.batch.id)
    waits = [wait_of(row) for row in connection.execute(query).mappings()]
    if any(holds(wait, told) for wait in waits):
        return now
    deadlines = [wait.deadline_at for wait in waits if wait.deadline_at is not None]
    return max(now, min(deadlines)) if deadlines else None


def keep_wait(connection: Connection, held: Held, wait: Wait) -> None:
    """Keep what a stage waits for; when it began to and what was told then stay as they first were."""
    connection.execute(KEEP_FIRST, wait_row(held.tenant, wait))


def find_wait(connection: Connection, batch_id: str, stage: str) -> Wait | None:
    """Return what a stage waits or waited for."""
    query = select(WAITS).where(WAITS.c.batch_id == batch_id, WAITS.c.stage == stage)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else wait_of(row)


def end_waits(connection: Connection, held: Held) -> None:
    """Drop what the stages of a completed batch waited for."""
    connection.execute(WAITS.delete().where(WAITS.c.tenant == held.tenant, WAITS.c.batch_id == held.batch.id))


def restart_deadlines(connection: Connection, held: Held, now: float) -> None:
    """Let the failed stages of a batch wait their full time once more; their baseline stays.

    A stage that failed at its deadline would otherwise fail again at once when it is retried.
    """
    failed = select(STAGE_RESULTS.c.stage).where(
        STAGE_RESULTS.c.tenant == held.tenant,
        STAGE_RESULTS.c.batch_id == held.batch.id,
        STAGE_RESULTS.c.status == "failed",
    )
    waits = WAITS.update().where(
        WAITS.c.tenant == held.tenant, WAITS.c.batch_id == held.batch.id, WAITS.c.stage.in_(failed)
    )
    later = WAITS.c.deadline_at - WAITS.c.first_waited_at + now
    connection.execute(waits.values(deadline_at=later, first_waited_at=now))
