"""What was seen of each input: which roots, with which content, under which pipeline.

A row belongs to a root of a tenant's pipeline, and to the input that it was last found in. While a batch is at work on
the root, the row names it; the content counts as seen once that batch has completed, and not before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, case, delete, func, select, tuple_, update

from medical_kg.orchestration.contract.database import in_groups, insert, take_turn
from medical_kg.orchestration.ledger.records import source_key, storable
from medical_kg.orchestration.ledger.sweeps import Missing, Pulled
from medical_kg.orchestration.ledger.tables import BATCHES, DEAD_LETTERS, SEEN, STAGE_RESULTS, SUBMISSIONS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from medical_kg.orchestration.ledger.records import Held

GONE = "gone"
"""Stands for the content of a root that a batch is about to remove."""
REJECTED = "rejected"
"""Stands for the content of a record that could not be taken when the whole input was last swept."""
LOST = ""
"""Stands for content that the stores have no more, because another pipeline removed it."""
GROUP = 2000
"""How many values one IN (…) takes."""

OF_ITEMS = (
    SEEN.c.tenant == bindparam("of_tenant"),
    SEEN.c.pipeline == bindparam("of_pipeline"),
    SEEN.c.item.in_(bindparam("of_items", expanding=True)),
)
FIND = select(SEEN.c.item, SEEN.c.sequence).where(*OF_ITEMS)
OLDER = SEEN.c.sequence < bindparam("by")
NOTE = update(SEEN).where(*OF_ITEMS)
NOTE = NOTE.values(
    input_key=case((OLDER, bindparam("of_input")), else_=SEEN.c.input_key),
    sequence=case((OLDER, bindparam("by")), else_=SEEN.c.sequence),
)
NOTE = NOTE.returning(SEEN.c.item, SEEN.c.content_hash, SEEN.c.pipeline_fingerprint, SEEN.c.sequence, SEEN.c.batch_id)
"""One statement for a page, which finds its rows and notes that the submission ``by`` has met them, unless a newer has."""


class Scope(NamedTuple):
    """Whose rows, of which input, and the number of the submission that asks."""

    tenant: str
    pipeline: str
    input_key: str
    sequence: int

    @classmethod
    def of(cls, connection: Connection, held: Held) -> Scope:
        """Return that of a batch."""
        wanted = (SUBMISSIONS.c.pipeline, SUBMISSIONS.c.input, SUBMISSIONS.c.sequence)
        query = select(*wanted).where(SUBMISSIONS.c.id == held.batch.submission_id)
        pipeline, given, sequence = connection.execute(query).one()
        return cls(held.tenant, pipeline, source_key(given), sequence)

    def turn(self, connection: Connection) -> None:
        """Be alone with these rows until the transaction ends."""
        take_turn(connection, f"seen {self.tenant} {self.pipeline}")

    @property
    def items(self) -> dict[str, Any]:
        """What every query by items is given."""
        return {"of_tenant": self.tenant, "of_pipeline": self.pipeline}

    @property
    def rows(self) -> tuple[ColumnElement[bool], ...]:
        """All rows of the input."""
        return (
            SEEN.c.tenant == self.tenant,
            SEEN.c.pipeline == self.pipeline,
            SEEN.c.input_key == self.input_key,
        )

    @property
    def absent(self) -> tuple[ColumnElement[bool], ...]:
        """The rows of the input that this submission has not found."""
        return (*self.rows, SEEN.c.sequence < self.sequence)


def meet(
    connection: Connection, held: Held, digests: Mapping[str, str], fingerprint: str, rejected: Sequence[str]
) -> frozenset[str]:
    """Note that these roots were found, and return those that need not be processed."""
    scope = Scope.of(connection, held)
    scope.turn(connection)
    names = {storable(root): root for root in digests}
    skipped: set[str] = set()
    for group in in_groups((*names, *map(storable, rejected)), GROUP):
        given = scope.items | {"of_items": group, "by": scope.sequence, "of_input": scope.input_key}
        for item, content, made_by, sequence, batch in connection.execute(NOTE, given):
            root = names.get(item)
            if root is None:
                continue
            same = batch is None and content == digests[root] and made_by == fingerprint
            if same or sequence > scope.sequence:
                skipped.add(root)
    return frozenset(skipped)


def met(connection: Connection, held: Held, roots: Collection[str]) -> frozenset[str]:
    """Return those of some roots that the submission, or a newer one, has found before."""
    scope = Scope.of(connection, held)
    names = {storable(root): root for root in roots}
    found = (
        row for group in in_groups(names, GROUP) for row in connection.execute(FIND, scope.items | {"of_items": group})
    )
    return frozenset(names[row.item] for row in found if row.sequence >= scope.sequence)


def missing(connection: Connection, held: Held, rejected: Sequence[str]) -> Missing:
    """Return what earlier submissions of the input found and this one did not."""
    scope = Scope.of(connection, held)
    real = SEEN.c.content_hash != REJECTED
    known = connection.execute(select(func.count()).where(*scope.rows, real)).scalar_one()
    roots = tuple(connection.execute(select(SEEN.c.item).where(*scope.absent, real).order_by(SEEN.c.item)).scalars())
    return Missing(roots=roots, known=known, unread=_unread(connection, held, scope, rejected))


def _unread(connection: Connection, held: Held, scope: Scope, rejected: Iterable[str]) -> tuple[str, ...]:
    """Return the records that the stream stage rejected in this submission, and of which nothing is known.

    ``rejected`` are those of a page that is not committed yet.
    """
    letters, results = DEAD_LETTERS.c, STAGE_RESULTS.c
    streams = select(results.tenant, results.batch_id, results.stage).where(results.sweep.is_not(None))
    place = tuple_(letters.tenant, letters.batch_id, letters.stage)
    query = select(func.coalesce(letters.root, letters.item_id)).where(
        letters.tenant == held.tenant,
        letters.submission_id == held.batch.submission_id,
        letters.status != "resolved",
        place.in_(streams),
    )
    found = (*connection.execute(query).scalars(), *map(storable, rejected))
    return tuple(_unknown(connection, scope, dict.fromkeys(found)))


def _unknown(connection: Connection, scope: Scope, items: Iterable[str]) -> Iterator[str]:
    for group in in_groups(items, GROUP):
        known = set(connection.execute(FIND, scope.items | {"of_items": group}).scalars())
        yield from (item for item in group if item not in known)


def take_on(connection: Connection, held: Held, pulled: Pulled, now: float) -> None:
    """Name the batch as the one that is to process these roots, and to remove what is gone."""
    scope = Scope.of(connection, held)
    scope.turn(connection)
    common = scope._asdict() | {"submission_id": held.batch.submission_id, "at": now}
    if pulled.digests:
        row = common | {"batch_id": held.batch.id, "pipeline_fingerprint": ""}
        rows = [row | {"item": storable(root), "content_hash": digest} for root, digest in pulled.digests.items()]
        connection.execute(_replace(), rows)
    if pulled.sweep_done:
        unread = _unread(connection, held, scope, ())
        connection.execute(delete(SEEN).where(*scope.absent, SEEN.c.content_hash == REJECTED))
        gone = {"content_hash": GONE, "batch_id": held.batch.id, "sequence": scope.sequence}
        connection.execute(update(SEEN).where(*scope.absent).values(**gone))
        row = common | {"batch_id": None, "pipeline_fingerprint": "", "content_hash": REJECTED}
        if rows := [row | {"item": item} for item in unread]:
            connection.execute(_replace(), rows)


def _replace() -> Any:
    statement = insert(SEEN)
    keys = ("tenant", "pipeline", "item")
    values = {column.name: column for column in statement.excluded if column.name not in keys}
    # What a newer submission found stays.
    older = SEEN.c.sequence <= statement.excluded.sequence
    return statement.on_conflict_do_update(index_elements=keys, set_=values, where=older)


def settle(connection: Connection, held: Held, fingerprint: str) -> None:
    """Count what a completed batch was to process as seen, and forget what it was to remove.

    A replay does so for what its parents left. A root with a dead letter that is not resolved stays as it is, and so is
    tried again; where a failed item names no root, none of the batch counts, and none does without a fingerprint.
    """
    if not fingerprint:
        return
    Scope.of(connection, held).turn(connection)
    done = _completed(connection, held)
    letters = (
        DEAD_LETTERS.c.tenant == held.tenant,
        DEAD_LETTERS.c.submission_id == held.batch.submission_id,
        DEAD_LETTERS.c.status != "resolved",
    )
    rootless = select(DEAD_LETTERS.c.batch_id).where(*letters, DEAD_LETTERS.c.root.is_(None))
    nameless = set(connection.execute(rootless).scalars())
    if nameless.intersection(done):
        return
    theirs = (SEEN.c.tenant == held.tenant, SEEN.c.batch_id.in_(done))
    _drop(connection, held, (*theirs, SEEN.c.content_hash == GONE))
    failed = select(DEAD_LETTERS.c.root).where(*letters, DEAD_LETTERS.c.root.is_not(None))
    seen = update(SEEN).where(*theirs, SEEN.c.item.not_in(failed))
    connection.execute(seen.values(batch_id=None, pipeline_fingerprint=fingerprint))


def _drop(connection: Connection, held: Held, gone: tuple[ColumnElement[bool], ...]) -> None:
    """Forget what was removed; another pipeline that still finds it processes it again, for the stores have it no more."""
    items = list(connection.execute(select(SEEN.c.item).where(*gone)).scalars())
    for group in in_groups(items, GROUP):
        others = (SEEN.c.tenant == held.tenant, SEEN.c.item.in_(group), SEEN.c.content_hash.not_in((GONE, REJECTED)))
        connection.execute(update(SEEN).where(*others).values(content_hash=LOST))
    connection.execute(delete(SEEN).where(*gone))


def _completed(connection: Connection, held: Held) -> list[str]:
    """Return the batch, and of those that it replays the completed ones."""
    found, parent = [held.batch.id], held.batch.parent
    while parent is not None:
        query = select(BATCHES.c.status, BATCHES.c.parent).where(BATCHES.c.id == parent)
        status, above = connection.execute(query).one()
        found += [parent] if status == "completed" else []
        parent = above
    return found
