"""Batches: opening, claiming and moving them; a submission's status follows in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select, update

from medical_kg.orchestration.contract.errors import BatchHeld, IllegalTransition, RecordNotFound
from medical_kg.orchestration.ledger import history
from medical_kg.orchestration.ledger.contract import LEGAL_MOVES, UNFINISHED, Batch, Status
from medical_kg.orchestration.ledger.records import Held, held_of
from medical_kg.orchestration.ledger.tables import BATCHES, SUBMISSIONS
from medical_kg.orchestration.ledger.transitions import (
    check_claim,
    check_move,
    check_ready,
    claim_reason,
    submission_status,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

FIND = select(BATCHES).where(BATCHES.c.id == bindparam("ident"))
LOCK = FIND.with_for_update()
LOCK_FREE = FIND.with_for_update(skip_locked=True)
OF_SUBMISSION = (SUBMISSIONS.c.tenant == bindparam("of_tenant"), SUBMISSIONS.c.id == bindparam("of_submission"))
LOCK_SUBMISSION = select(SUBMISSIONS.c.sequence).where(*OF_SUBMISSION).with_for_update()

NO_LEASE = {"lease_owner": None, "lease_until": None}


def find(connection: Connection, batch_id: str) -> Held:
    """Return a batch, to be looked at only.

    Raises:
        RecordNotFound: there is no such batch.
    """
    row = connection.execute(FIND, {"ident": batch_id}).mappings().one_or_none()
    if row is None:
        raise RecordNotFound("batch", batch_id)
    return held_of(row)


def load(connection: Connection, batch_id: str, *, wait: bool = True) -> Held:
    """Return a batch that is to be changed; it and then its submission are locked where the database locks rows.

    Every writer locks in this order, batches before their submission, so that no two wait for each other. What follows
    from all batches of a submission is read under the submission's lock, and its history is in the order of the locks.

    Args:
        connection: a write transaction.
        batch_id: which batch.
        wait: for a writer that is changing the batch; otherwise the batch is refused.

    Raises:
        RecordNotFound: there is no such batch.
        BatchHeld: another process is changing the batch, and ``wait`` is false.
    """
    row = connection.execute(LOCK if wait else LOCK_FREE, {"ident": batch_id}).mappings().one_or_none()
    if row is None:
        find(connection, batch_id)
        raise BatchHeld(f"batch {batch_id} is being changed by another process at this moment; try again")
    held = held_of(row)
    connection.execute(LOCK_SUBMISSION, {"of_tenant": held.tenant, "of_submission": held.batch.submission_id})
    return held


def lock_unfinished(connection: Connection, submission_id: str, also: Iterable[str] = ()) -> None:
    """Lock a submission's batches in their order, but for those that will not change any more; ``also`` names others."""
    wanted = BATCHES.c.status.in_(UNFINISHED) | BATCHES.c.id.in_(list(also))
    query = select(BATCHES.c.id).where(BATCHES.c.submission_id == submission_id, wanted)
    connection.execute(query.order_by(BATCHES.c.id).with_for_update()).all()


def of_submission(connection: Connection, submission_id: str) -> list[Held]:
    """Return a submission's batches in order."""
    query = select(BATCHES).where(BATCHES.c.submission_id == submission_id).order_by(BATCHES.c.ordinal)
    return [held_of(row) for row in connection.execute(query).mappings()]


def ready(connection: Connection, *, now: float, limit: int, submission_id: str | None) -> list[Batch]:
    """Return batches whose time has come, the oldest first."""
    due = (BATCHES.c.ready_at <= now, BATCHES.c.status.in_(["pending", "running", "waiting"]))
    query = select(BATCHES).where(*due).order_by(BATCHES.c.ready_at, BATCHES.c.id).limit(limit)
    if submission_id is not None:
        query = query.where(BATCHES.c.submission_id == submission_id)
    return [held_of(row).batch for row in connection.execute(query).mappings()]


def running(connection: Connection, submission_id: str | None) -> list[Batch]:
    """Return batches that are held, whether or not their lease has run out."""
    # The second says nothing new, but has an index.
    held = (BATCHES.c.status == "running", BATCHES.c.ready_at.is_not(None))
    query = select(BATCHES).where(*held).order_by(BATCHES.c.id)
    if submission_id is not None:
        query = query.where(BATCHES.c.submission_id == submission_id)
    return [held_of(row).batch for row in connection.execute(query).mappings()]


def open_first(connection: Connection, tenant: str, submission_id: str, text: str, *, actor: str, now: float) -> None:
    """Open a submission's first batch, ready at once; the submission's own line is written before."""
    ident = _insert(connection, tenant, submission_id, ordinal=1, now=now)
    began = {history.PIPELINE: text} if text else {}
    lines = [history.Line("submitted", "asked for", detail=began), history.Line("pending", "first batch", ident)]
    history.append(connection, lines, tenant=tenant, submission_id=submission_id, actor=actor, now=now)


def open_next(connection: Connection, held: Held, cursor: str, now: float) -> None:
    """Open the batch that follows, unless there is one."""
    tenant, submission_id = held.tenant, held.batch.submission_id
    followers = select(BATCHES.c.id).where(BATCHES.c.tenant == tenant, BATCHES.c.follows == held.batch.id)
    if connection.execute(followers).first() is not None:
        return
    ident = _append(connection, held, now, cursor=cursor, follows=held.batch.id)
    write(connection, held, [history.Line("pending", f"follows {held.batch.id}", ident)], now=now)
    follow_batches(connection, held.tenant, submission_id, now)


def open_replay(connection: Connection, held: Held, reason: str, *, actor: str, now: float) -> Batch:
    """Open a batch whose parent is ``held``, ready at once, with the same place in the input."""
    ident = _append(connection, held, now, cursor=held.batch.cursor, parent=held.batch.id)
    write(connection, held, [history.Line("pending", reason, ident)], now=now, actor=actor)
    follow_batches(connection, held.tenant, held.batch.submission_id, now)
    return load(connection, ident).batch


def to_cancel(connection: Connection, submission_id: str, status: Status, batch_id: str | None) -> list[Held]:
    """Return the batches of a submission that can be cancelled, or the one that is named.

    Raises:
        RecordNotFound: the submission has no such batch.
        IllegalTransition: nothing of it can be cancelled: it is finished.
    """
    found = of_submission(connection, submission_id)
    if batch_id is not None:
        wanted = next((held for held in found if held.batch.id == batch_id), None)
        if wanted is None:
            raise RecordNotFound(f"batch of submission {submission_id}", batch_id, [held.batch.id for held in found])
        check_move(batch_id, wanted.batch.status, "cancelled")
        return [wanted]
    if left := [held for held in found if LEGAL_MOVES[held.batch.status]]:
        return left
    raise IllegalTransition(f"submission {submission_id}", status, "cancelled", ())


def _append(connection: Connection, held: Held, now: float, **values: Any) -> str:
    """Insert a batch after the last one of the submission."""
    tenant, submission_id = held.tenant, held.batch.submission_id
    siblings = (BATCHES.c.tenant == tenant, BATCHES.c.submission_id == submission_id)
    last: int = connection.execute(select(func.max(BATCHES.c.ordinal)).where(*siblings)).scalar_one()
    return _insert(connection, tenant, submission_id, ordinal=last + 1, now=now, **values)


def _insert(connection: Connection, tenant: str, submission_id: str, *, ordinal: int, now: float, **values: Any) -> str:
    ident = f"{submission_id}-{ordinal:04d}"
    row = {"tenant": tenant, "id": ident, "submission_id": submission_id, "ordinal": ordinal, "status": "pending"}
    times = {"ready_at": now, "created_at": now, "updated_at": now}
    connection.execute(insert(BATCHES), row | times | {"generation": 0, "claimed_by": ""} | values)
    return ident


def claim(
    connection: Connection,
    held: Held,
    owner: str,
    *,
    until: float,
    now: float,
    generation: int | None,
    dead_owner: str | None,
) -> Batch:
    """Give a batch to ``owner`` until the end of the lease."""
    batch = held.batch
    check_claim(batch, owner, now=now, generation=generation, dead_owner=dead_owner)
    lease = {"lease_owner": owner, "lease_until": until, "ready_at": until}
    number = batch.generation + 1 if generation is None else generation
    return move(
        connection,
        held,
        "running",
        claim_reason(batch, owner),
        actor=owner,
        now=now,
        generation=number,
        claimed_by=owner,
        **lease,
    )


def launch(connection: Connection, held: Held, *, until: float, actor: str, now: float) -> Batch:
    """Give a ready batch a new generation, for a run that is being started, and let it rest until the grace ends."""
    batch = held.batch
    check_ready(batch, now=now)
    values = {"generation": batch.generation + 1, "ready_at": until}
    if batch.status == "running":
        reason = f"the lease of {batch.lease_owner} has run out"
        move(connection, held, "pending", reason, actor=actor, now=now, **NO_LEASE)
    change(connection, held, now=now, **values)
    line = history.Line("launched", f"a run is being started, generation {values['generation']}", batch.id)
    write(connection, held, [line], now=now, actor=actor)
    return load(connection, batch.id).batch


def move(
    connection: Connection, held: Held, status: Status, reason: str, *, actor: str, now: float, **values: Any
) -> Batch:
    """Change a batch's status along the legal moves, with its line in the history, and its submission's.

    Raises:
        IllegalTransition: the move is not legal.
    """
    batch = held.batch
    check_move(batch.id, batch.status, status)
    change(connection, held, now=now, status=status, **values)
    write(connection, held, [history.Line(status, reason, batch.id)], actor=actor, now=now)
    follow_batches(connection, held.tenant, batch.submission_id, now)
    return load(connection, batch.id).batch


def change(connection: Connection, held: Held, *, now: float, **values: Any) -> None:
    """Update columns of a batch."""
    ident = (BATCHES.c.tenant == held.tenant, BATCHES.c.id == held.batch.id)
    connection.execute(update(BATCHES).where(*ident).values(updated_at=now, **values))


def write(
    connection: Connection, held: Held, lines: list[history.Line], *, now: float, actor: str | None = None
) -> None:
    """Append lines to the history of a batch's submission; who claimed the batch is the actor unless named."""
    history.append(
        connection,
        lines,
        tenant=held.tenant,
        submission_id=held.batch.submission_id,
        actor=held.claimed_by if actor is None else actor,
        now=now,
    )


def follow_batches(connection: Connection, tenant: str, submission_id: str, now: float) -> None:
    """Set a submission's status to what follows from its batches; once finished it no longer blocks its like."""
    statuses = select(BATCHES.c.status).where(BATCHES.c.tenant == tenant, BATCHES.c.submission_id == submission_id)
    status = submission_status(connection.execute(statuses.distinct()).scalars())
    ident = (SUBMISSIONS.c.tenant == tenant, SUBMISSIONS.c.id == submission_id)
    values: dict[str, Any] = {"status": status, "updated_at": now}
    if status not in UNFINISHED:
        values["unfinished_key"] = None
    connection.execute(update(SUBMISSIONS).where(*ident, SUBMISSIONS.c.status != status).values(**values))
