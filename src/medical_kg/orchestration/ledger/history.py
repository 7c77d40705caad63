"""The append-only history.

Its words (``event``): ``submitted``; a batch's new status (``pending``, ``running``, ``waiting``, ``completed``,
``failed``, ``cancelled``); ``launched``, when a run is started for it; ``dead letters resolved``; ``pipeline changed``;
``results pruned``; ``stage completed``, ``stage failed``, ``stage waiting``, ``stage postponed``; ``signal``, and ``woken`` for each stage whose
condition it made hold; and whatever the notes of a run say. A submission's own status is not written down:
it follows from its batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert, select

from medical_kg.orchestration.ledger.records import history_of, storable
from medical_kg.orchestration.ledger.tables import HISTORY

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from medical_kg.orchestration.ledger.contract import HistoryEntry

PRUNED = "results pruned"
"""The word for a submission whose stored results were taken away; its batches are in the detail."""

PIPELINE = "pipeline"
"""Where the detail of a line has the text of the pipeline file with which a submission began, or goes on."""

APPEND = insert(HISTORY)


class Line(NamedTuple):
    """A line to be written. ``reason`` is for people, ``detail`` for programs."""

    event: str
    reason: str
    batch_id: str | None = None
    stage: str | None = None
    detail: Mapping[str, Any] = {}


def append(
    connection: Connection, lines: Sequence[Line], *, tenant: str, submission_id: str, actor: str, now: float
) -> None:
    """Write the lines, in order."""
    common = {"tenant": tenant, "submission_id": submission_id, "actor": actor, "at": now}
    rows = [line._asdict() | {"reason": storable(line.reason), "detail": dict(line.detail)} for line in lines]
    connection.execute(APPEND, [common | row for row in rows])


def read(connection: Connection, submission_id: str) -> list[HistoryEntry]:
    """Return a submission's history, oldest first."""
    query = select(HISTORY).where(HISTORY.c.submission_id == submission_id).order_by(HISTORY.c.id)
    return [history_of(row) for row in connection.execute(query).mappings()]
