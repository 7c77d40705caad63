"""What the ledger still needs of what is stored outside of it, and what nobody will ask for again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import select

from medical_kg.orchestration.ledger import kept
from medical_kg.orchestration.ledger.contract import UNFINISHED, Row
from medical_kg.orchestration.ledger.records import held_of
from medical_kg.orchestration.ledger.tables import BATCHES, SIGNALS, STAGE_RESULTS, SUBMISSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

Checkpoint = tuple[str, str]
"""Digest and suffix."""


class Holdings(Row):
    """What is needed and what is spent, seen at one moment.

    Attributes:
        needed: checkpoints of batches that are unfinished, or finished after the time that was asked for.
        spent: checkpoints that only batches mention which were completed or cancelled before it, by batch.
        submissions: the submission of each of those batches.
        attachments: uris that signals brought to submissions unfinished, or finished after that time, or that kept results
            of items speak of which were used after it.
        live: the unfinished batches.
    """

    needed: frozenset[Checkpoint]
    spent: Mapping[str, frozenset[Checkpoint]]
    submissions: Mapping[str, str]
    attachments: frozenset[str]
    live: frozenset[str]


def look(connection: Connection, finished_before: float) -> Holdings:
    """Return what is needed, and what is spent by batches that were finished before a time."""
    batches = {held.batch.id: held.batch for held in map(held_of, connection.execute(select(BATCHES)).mappings())}
    live = frozenset(ident for ident, batch in batches.items() if batch.status in UNFINISHED)
    over = {ident for ident, batch in batches.items() if ident not in live and batch.updated_at < finished_before}
    mentioned: dict[str, set[Checkpoint]] = {}
    for batch_id, outputs in connection.execute(select(STAGE_RESULTS.c.batch_id, STAGE_RESULTS.c.outputs)):
        mentioned.setdefault(batch_id, set()).update((ref["digest"], ref["suffix"]) for ref in outputs.values())
    needed = frozenset(one for ident, found in mentioned.items() if ident not in over for one in found)
    spent = {ident: frozenset(found - needed) for ident, found in mentioned.items() if ident in over}
    return Holdings(
        needed=needed,
        spent=spent,
        submissions={ident: batches[ident].submission_id for ident in spent},
        attachments=frozenset((*_attachments(connection, finished_before), *kept.files(connection, finished_before))),
        live=live,
    )


def _attachments(connection: Connection, finished_before: float) -> Iterator[str]:
    of_submission = (SUBMISSIONS.c.tenant == SIGNALS.c.tenant) & (SUBMISSIONS.c.id == SIGNALS.c.submission_id)
    needed = SUBMISSIONS.c.status.in_(UNFINISHED) | (SUBMISSIONS.c.updated_at >= finished_before)
    query = select(SIGNALS.c.attachments).join(SUBMISSIONS, of_submission).where(needed)
    for attached in connection.execute(query).scalars():
        yield from (one["uri"] for one in attached)
