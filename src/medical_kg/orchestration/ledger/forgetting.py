"""Forgetting an input record in the ledger: one transaction, and a list of what is forgotten.

The transaction names the new stored values, drops what the ledger's own tables have of the record, and notes what is still to
be removed elsewhere (``remains``), so that whoever is killed afterwards can go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from medical_kg.orchestration.contract.database import insert, take_turn
from medical_kg.orchestration.contract.errors import BatchHeld, LedgerError
from medical_kg.orchestration.ledger import batches, history, kept, traces
from medical_kg.orchestration.ledger.contract import UNFINISHED, FingerprintParts, OutputRef, Row, StageRecord
from medical_kg.orchestration.ledger.records import held_of, key_of, record_of
from medical_kg.orchestration.ledger.tables import (
    BATCHES,
    DEAD_LETTERS,
    FORGOTTEN,
    HISTORY,
    SEEN,
    SIGNALS,
    STAGE_RESULTS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

REMOVED = "(removed with a document that was forgotten)"
"""Stands where an error text was: it may have quoted the document."""
TELLING = ("retrying", "stage failed", "failed", "waiting", "stage waiting", "stage postponed")
"""Lines of the history whose reason a stage may have worded."""


class Forgotten(Row):
    """A record that is forgotten: whoever reads the input leaves it out.

    ``remains`` is what is still to be removed (``checkpoints``, ``files``, ``batches``); None once all of it is.
    """

    tenant: str
    root: str
    actor: str
    at: float
    finished_at: float | None = None
    remains: Mapping[str, Any] | None = None


class Rewrite(Row):
    """New values for the result of a stage, without the record, and the fingerprint that goes with them."""

    batch_id: str
    stage: str
    outputs: Mapping[str, OutputRef]
    fingerprint: str
    parts: FingerprintParts | None


class Removal(Row):
    """What is to be forgotten, as it was found.

    Args:
        tenant, root, actor: which record, and who asks.
        rewrites: results that held it.
        scanned: the state of every batch that was looked at (``state_of``); another one means that it must be looked
            at again.
        met: batches that have met the record.
        aside: running batches that cannot have it: what they read has been stored without it.
        dead: owners of leases whose process is known to be gone.
        remains: see ``Forgotten``.
    """

    tenant: str
    root: str
    actor: str
    rewrites: tuple[Rewrite, ...] = ()
    scanned: Mapping[str, str] = {}
    met: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    remains: Mapping[str, Any] = {}


class Moved(LedgerError):
    """Results were added while the record was looked for; look again."""


def state_of(results: Mapping[str, StageRecord]) -> str:
    """Return a digest of what a batch has stored."""
    return key_of(
        {stage: sorted(f"{n} {r.digest}{r.suffix}" for n, r in one.outputs.items()) for stage, one in results.items()}
    )


def begin(connection: Connection, removal: Removal, now: float) -> dict[str, int]:
    """Forget a record in the ledger; returns what was removed, by name.

    Raises:
        BatchHeld: a batch is running that has the record, or may be reading it at this moment; nothing was changed.
        Moved: something was stored since the record was looked for; nothing was changed.
    """
    _hold_still(connection, removal)
    _fence(connection, removal, now)
    _check_unmoved(connection, removal)
    row = {"tenant": removal.tenant, "root": removal.root, "actor": removal.actor, "at": now}
    row |= {"finished_at": None, "remains": dict(removal.remains)}
    statement = insert(FORGOTTEN)
    values = {name: statement.excluded[name] for name in ("finished_at", "remains")}
    connection.execute(statement.on_conflict_do_update(index_elements=["tenant", "root"], set_=values), row)
    for one in removal.rewrites:
        _rewrite(connection, removal.tenant, one)
    counts = {
        "dead letters": connection.execute(
            delete(DEAD_LETTERS).where(*traces.letters_of(removal.tenant, removal.root))
        ).rowcount,
        "seen": connection.execute(
            delete(SEEN).where(SEEN.c.tenant == removal.tenant, SEEN.c.item == removal.root)
        ).rowcount,
        "attachments": _detach(connection, removal),
        "kept results": kept.forget(connection, removal.tenant, removal.root),
        "texts": _blot(connection, removal),
    }
    _tell(connection, removal, counts, now)
    return counts


def _hold_still(connection: Connection, removal: Removal) -> None:
    """Let nobody open, claim or change a batch of the tenant before the list of the forgotten is there to be read."""
    take_turn(connection, "submissions")
    unfinished = (BATCHES.c.tenant == removal.tenant, BATCHES.c.status.in_(UNFINISHED))
    connection.execute(select(BATCHES.c.id).where(*unfinished).order_by(BATCHES.c.id).with_for_update()).all()
    for batch_id in sorted(removal.met):
        batches.load(connection, batch_id)


def _fence(connection: Connection, removal: Removal, now: float) -> None:
    """Refuse while somebody is at work on the record; let nobody go on who was thought dead."""
    of_tenant = (BATCHES.c.tenant == removal.tenant, BATCHES.c.status.in_(["running", "failed"]))
    for row in connection.execute(select(BATCHES).where(*of_tenant).order_by(BATCHES.c.id)).mappings().all():
        held = held_of(row)
        batch = held.batch
        if batch.id in removal.aside or (batch.status == "failed" and batch.id not in removal.met):
            continue
        over = batch.lease_until is None or batch.lease_until <= now or batch.lease_owner in removal.dead
        if batch.status == "running" and not over:
            raise BatchHeld(
                f"batch {batch.id} is running and has the document, or may be reading it at this moment; wait until it is "
                f"done, or give it up (medical-kg submissions cancel {batch.submission_id}), and forget again"
            )
        batches.change(connection, held, now=now, generation=batch.generation + 1)


def _check_unmoved(connection: Connection, removal: Removal) -> None:
    found: defaultdict[str, dict[str, StageRecord]] = defaultdict(dict)
    query = select(STAGE_RESULTS).where(STAGE_RESULTS.c.tenant == removal.tenant)
    for row in connection.execute(query).mappings():
        found[row["batch_id"]][row["stage"]] = record_of(row)
    nothing = state_of({})
    for batch_id, results in found.items():
        if batch_id not in removal.aside and removal.scanned.get(batch_id, nothing) != state_of(results):
            raise Moved(f"batch {batch_id} has stored something while the document was looked for; forget again")


def _rewrite(connection: Connection, tenant: str, one: Rewrite) -> None:
    of_stage = (
        STAGE_RESULTS.c.tenant == tenant,
        STAGE_RESULTS.c.batch_id == one.batch_id,
        STAGE_RESULTS.c.stage == one.stage,
    )
    row = one.model_dump(include={"outputs", "fingerprint", "parts"})
    connection.execute(update(STAGE_RESULTS).where(*of_stage).values(**row))


def _detach(connection: Connection, removal: Removal) -> int:
    """Take the record's attachments from signals; returns how many there were."""
    gone = 0
    for row in connection.execute(select(SIGNALS).where(SIGNALS.c.tenant == removal.tenant)).mappings().all():
        kept = [one for one in row["attachments"] if one.get("item_id") != removal.root]
        if len(kept) < len(row["attachments"]):
            gone += len(row["attachments"]) - len(kept)
            connection.execute(update(SIGNALS).where(SIGNALS.c.id == row["id"]).values(attachments=kept))
    return gone


def _blot(connection: Connection, removal: Removal) -> int:
    """Take out the words of stages about batches that met the record: nobody can tell which of them quote it."""
    blotted = 0
    for batch_id in removal.met:
        failed = (STAGE_RESULTS.c.batch_id == batch_id, STAGE_RESULTS.c.error.is_not(None))
        for row in connection.execute(select(STAGE_RESULTS).where(*failed)).mappings().all():
            error = f"{row['error'].partition(':')[0]}: {REMOVED}"
            of_stage = (*failed, STAGE_RESULTS.c.stage == row["stage"])
            blotted += connection.execute(update(STAGE_RESULTS).where(*of_stage).values(error=error)).rowcount
        lines = (HISTORY.c.batch_id == batch_id, HISTORY.c.event.in_(TELLING), HISTORY.c.reason != REMOVED)
        blotted += connection.execute(update(HISTORY).where(*lines).values(reason=REMOVED)).rowcount
    return blotted


def _tell(connection: Connection, removal: Removal, counts: Mapping[str, int], now: float) -> None:
    for batch_id in removal.met:
        held = batches.find(connection, batch_id)
        line = history.Line("forgotten", f"document {removal.root}", batch_id, detail=dict(counts))
        batches.write(connection, held, [line], actor=removal.actor, now=now)


def finish(connection: Connection, tenant: str, root: str, now: float) -> None:
    """Note that nothing of the record remains."""
    values = {"finished_at": now, "remains": None}
    connection.execute(update(FORGOTTEN).where(FORGOTTEN.c.tenant == tenant, FORGOTTEN.c.root == root).values(**values))


def remember(connection: Connection, tenant: str, root: str) -> bool:
    """Take a record from the list; returns whether it was there."""
    listed = delete(FORGOTTEN).where(FORGOTTEN.c.tenant == tenant, FORGOTTEN.c.root == root)
    return bool(connection.execute(listed).rowcount)


def listed(connection: Connection, tenant: str, root: str | None = None) -> list[Forgotten]:
    """Return a tenant's forgotten records, or this one, in the order they were asked for."""
    query = select(FORGOTTEN).where(FORGOTTEN.c.tenant == tenant).order_by(FORGOTTEN.c.at, FORGOTTEN.c.root)
    if root is not None:
        query = query.where(FORGOTTEN.c.root == root)
    return [Forgotten.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def roots(connection: Connection, tenant: str) -> frozenset[str]:
    """Return the ids of a tenant's forgotten records."""
    return frozenset(connection.execute(select(FORGOTTEN.c.root).where(FORGOTTEN.c.tenant == tenant)).scalars())


def mentioned(connection: Connection) -> tuple[set[tuple[str, str]], set[str]]:
    """Return every checkpoint (digest, suffix) and every attachment's uri that the ledger mentions, of all tenants."""
    refs = {
        (ref["digest"], ref["suffix"])
        for outputs in connection.execute(select(STAGE_RESULTS.c.outputs)).scalars()
        for ref in outputs.values()
    }
    uris: Iterable[list[dict[str, Any]]] = connection.execute(select(SIGNALS.c.attachments)).scalars()
    return refs, {one["uri"] for attachments in uris for one in attachments}.union(kept.files(connection))


def tenants_at_work(connection: Connection) -> frozenset[str]:
    """Return the tenants that have a running batch."""
    return frozenset(connection.execute(select(BATCHES.c.tenant).where(BATCHES.c.status == "running")).scalars())
