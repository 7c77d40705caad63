"""Submissions: opening and finding them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import RowMapping, func, insert, select

from medical_kg.orchestration.contract.errors import IllegalTransition, LedgerError, RecordNotFound
from medical_kg.orchestration.ledger import batches
from medical_kg.orchestration.ledger.contract import UNFINISHED, NewSubmission, Submission
from medical_kg.orchestration.ledger.history import PIPELINE
from medical_kg.orchestration.ledger.records import submission_of, submission_row, unfinished_key
from medical_kg.orchestration.ledger.tables import HISTORY, SUBMISSIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection

SHORTEST_PREFIX = 4


def open_or_find(connection: Connection, new: NewSubmission, now: float) -> tuple[Submission, bool]:
    """Return the submission that ``new`` asks for, and whether it was made now, with its first batch."""
    if found := _by_id(connection, new) or _unfinished(connection, new):
        return submission_of(found), False
    row = submission_row(new, new.id or f"s{secrets.token_hex(6)}", now)
    connection.execute(insert(SUBMISSIONS), row)
    batches.open_first(connection, new.tenant, row["id"], new.pipeline_text, actor=new.actor, now=now)
    return submission_of(load(connection, row["id"])), True


def _by_id(connection: Connection, new: NewSubmission) -> RowMapping | None:
    if new.id is None:
        return None
    row = connection.execute(select(SUBMISSIONS).where(SUBMISSIONS.c.id == new.id)).mappings().one_or_none()
    if row is not None and row["tenant"] != new.tenant:
        msg = f"submission {new.id!r} cannot be opened: the id is taken; give another, or none"
        raise LedgerError(msg)
    return row


def _unfinished(connection: Connection, new: NewSubmission) -> RowMapping | None:
    query = select(SUBMISSIONS).where(SUBMISSIONS.c.unfinished_key == unfinished_key(new))
    return connection.execute(query).mappings().one_or_none()


def load(connection: Connection, ident: str, also: Iterable[str] = ()) -> RowMapping:
    """Return the row of exactly this submission; its batches and then it are locked where the database locks rows.

    Args:
        connection: a write transaction.
        ident: which submission.
        also: finished batches of it that are to be locked as well.

    Raises:
        RecordNotFound: there is no such submission.
    """
    batches.lock_unfinished(connection, ident, also)
    query = select(SUBMISSIONS).where(SUBMISSIONS.c.id == ident).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise RecordNotFound("submission", ident)
    return row


def load_to_be_told(connection: Connection, ident: str, *, late: bool = False) -> RowMapping:
    """Return the row of a submission that can still be told something; with ``late``, also of one that has completed.

    Raises:
        RecordNotFound: there is no such submission.
        IllegalTransition: it is finished.
    """
    row = load(connection, ident)
    if row["status"] not in UNFINISHED and not (late and row["status"] == "completed"):
        raise IllegalTransition(f"submission {ident}", row["status"], "told a signal", ())
    return row


def find(connection: Connection, ident: str) -> Submission:
    """Return a submission by its id or by a prefix (4 characters or more) that only its id has.

    Raises:
        RecordNotFound: none fits, or several do (then they are named).
    """
    begins = func.substr(SUBMISSIONS.c.id, 1, len(ident)) == ident
    fits = begins if len(ident) >= SHORTEST_PREFIX else SUBMISSIONS.c.id == ident
    query = select(SUBMISSIONS).where(fits).order_by(SUBMISSIONS.c.sequence.desc())
    found = [submission_of(row) for row in connection.execute(query).mappings()]
    exact = [submission for submission in found if submission.id == ident]
    if len(exact or found) != 1:
        raise RecordNotFound("single submission" if found else "submission", ident, [one.id for one in found])
    return (exact or found)[0]


def newest(connection: Connection, tenant: str | None, limit: int) -> list[Submission]:
    """Return submissions, newest first."""
    query = select(SUBMISSIONS).order_by(SUBMISSIONS.c.sequence.desc()).limit(limit)
    if tenant is not None:
        query = query.where(SUBMISSIONS.c.tenant == tenant)
    return [submission_of(row) for row in connection.execute(query).mappings()]


def started_by(connection: Connection, ident: str) -> list[Submission]:
    """Return the submissions whose input names this one as where their signal came from, oldest first."""
    named = SUBMISSIONS.c.input["submission"].as_string() == ident
    query = select(SUBMISSIONS).where(named).order_by(SUBMISSIONS.c.sequence)
    return [submission_of(row) for row in connection.execute(query).mappings()]


def unfinished_of(connection: Connection, tenant: str, pipeline: str) -> list[str]:
    """Return the ids of a pipeline's unfinished submissions, oldest first."""
    of_pipeline = (SUBMISSIONS.c.tenant == tenant, SUBMISSIONS.c.pipeline == pipeline)
    query = select(SUBMISSIONS.c.id).where(*of_pipeline, SUBMISSIONS.c.status.in_(UNFINISHED))
    return list(connection.execute(query.order_by(SUBMISSIONS.c.sequence)).scalars())


def pipeline_texts(connection: Connection, path: str, limit: int) -> list[str]:
    """Return the texts that a pipeline's file had when submissions went on with it, newest first."""
    text = HISTORY.c.detail[PIPELINE].as_string()
    joined = HISTORY.join(SUBMISSIONS, HISTORY.c.submission_id == SUBMISSIONS.c.id)
    query = select(text).select_from(joined).where(SUBMISSIONS.c.pipeline_path == path, text.is_not(None))
    return list(connection.execute(query.order_by(HISTORY.c.id.desc()).limit(limit)).scalars())
