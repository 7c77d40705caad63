"""What the ledger itself holds of an input record: dead letters, attachments of signals, and that it was seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from medical_kg.orchestration.contract import Attachment
from medical_kg.orchestration.ledger import kept
from medical_kg.orchestration.ledger.contract import DeadLetter, Row
from medical_kg.orchestration.ledger.records import dead_letter_of, signal_of
from medical_kg.orchestration.ledger.seen import LOST, REJECTED
from medical_kg.orchestration.ledger.tables import DEAD_LETTERS, SEEN, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection


class Attached(Row):
    """A file for an input record that came with a signal; ``batch_id`` is None where the whole submission was told."""

    submission_id: str
    batch_id: str | None
    signal: str
    actor: str
    at: float
    attachment: Attachment


class SeenRoot(Row):
    """A pipeline has seen the record to its end: which submission, with which content."""

    pipeline: str
    submission_id: str
    content_hash: str
    at: float


class LedgerTraces(Row):
    """Everything the ledger's own tables hold of an input record."""

    dead_letters: tuple[DeadLetter, ...] = ()
    attached: tuple[Attached, ...] = ()
    seen: tuple[SeenRoot, ...] = ()
    kept_results: Mapping[str, int] = {}


def find(connection: Connection, tenant: str, root: str) -> LedgerTraces:
    """Return what there is of an input record, oldest first."""
    letters = select(DEAD_LETTERS).where(*letters_of(tenant, root)).order_by(DEAD_LETTERS.c.at, DEAD_LETTERS.c.stage)
    ended = (SEEN.c.batch_id.is_(None), SEEN.c.content_hash.not_in((REJECTED, LOST)))
    mine = (SEEN.c.tenant == tenant, SEEN.c.item == root)
    seen = select(SEEN).where(*mine, *ended).order_by(SEEN.c.at, SEEN.c.pipeline)
    return LedgerTraces(
        dead_letters=tuple(dead_letter_of(row) for row in connection.execute(letters).mappings()),
        attached=tuple(_attached(connection, tenant, root)),
        seen=tuple(
            SeenRoot.model_validate({name: row[name] for name in SeenRoot.model_fields})
            for row in connection.execute(seen).mappings()
        ),
        kept_results=kept.number_of(connection, tenant, root),
    )


def letters_of(tenant: str, root: str) -> tuple[ColumnElement[bool], ...]:
    """Return what a dead letter of an input record meets: it descends from it, or it is the record itself."""
    letters = DEAD_LETTERS.c
    return (letters.tenant == tenant, or_(letters.root == root, letters.item_id == root))


def _attached(connection: Connection, tenant: str, root: str) -> Iterator[Attached]:
    query = select(SIGNALS).where(SIGNALS.c.tenant == tenant).order_by(SIGNALS.c.id)
    for row in connection.execute(query).mappings():
        signal = signal_of(row)
        place = {name: row[name] for name in ("submission_id", "batch_id", "actor", "at")}
        for one in signal.attachments:
            if one.item_id == root:
                yield Attached(**place, signal=signal.name, attachment=one)
