"""Results of single items that stages with ``cache: true`` gave, kept for later batches and submissions.

A row belongs to what decided the result: the stage's fingerprint without inputs, and the item's content. It is written in the
transaction that commits its stage, and stands in the ledger itself, not in a file: a document is forgotten by deleting
its rows, and a backup has them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from medical_kg.orchestration.contract.database import in_groups, insert, reading, writing
from medical_kg.orchestration.ledger.keeping import ItemResult
from medical_kg.orchestration.ledger.records import storable
from medical_kg.orchestration.ledger.tables import ITEM_RESULTS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from medical_kg.orchestration.ledger.keeping import Remembered


class SqlKeeping:
    """``Keeping`` over a SQLAlchemy engine."""

    _engine: Engine

    def recall(self, tenant: str, keys: Collection[str]) -> dict[str, ItemResult]:
        """See ``Keeping.recall``."""
        with reading(self._engine) as connection:
            return {one.key: one for group in in_groups(keys) for one in _find(connection, tenant, group)}

    def drop_unused(self, used_before: float, *, dry_run: bool = False) -> int:
        """See ``Keeping.drop_unused``."""
        old = ITEM_RESULTS.c.used_at < used_before
        if dry_run:
            with reading(self._engine) as connection:
                return int(connection.execute(select(func.count()).where(old)).scalar_one())
        with writing(self._engine) as connection:
            return int(connection.execute(delete(ITEM_RESULTS).where(old)).rowcount)


def _find(connection: Connection, tenant: str, keys: Sequence[str]) -> Iterator[ItemResult]:
    columns = [ITEM_RESULTS.c[name] for name in ItemResult.model_fields]
    query = select(*columns).where(ITEM_RESULTS.c.tenant == tenant, ITEM_RESULTS.c.key.in_(keys))
    return (ItemResult.model_validate(dict(row)) for row in connection.execute(query).mappings())


def remember(connection: Connection, tenant: str, remembered: Remembered, now: float) -> None:
    """Keep results, and note that others were used."""
    # In order, so that two processes lock rows in the same one.
    for group in in_groups(sorted(remembered.used)):
        used = update(ITEM_RESULTS).where(ITEM_RESULTS.c.tenant == tenant, ITEM_RESULTS.c.key.in_(group))
        connection.execute(used.values(used_at=now))
    common = {"tenant": tenant, "stage_type": remembered.stage_type, "made_at": now, "used_at": now}
    rows = [
        common | {**dict(one), "root": storable(one.root), "head": dict(one.head), "files": list(one.files)}
        for one in sorted(remembered.made, key=lambda one: one.key)
    ]
    if rows:
        statement = insert(ITEM_RESULTS)
        # Whoever was quicker has kept the same.
        again = {"used_at": statement.excluded.used_at}
        connection.execute(statement.on_conflict_do_update(index_elements=["tenant", "key"], set_=again), rows)


def number_of(connection: Connection, tenant: str, root: str) -> dict[str, int]:
    """Return how many results of an input record are kept, by stage type."""
    mine = (ITEM_RESULTS.c.tenant == tenant, ITEM_RESULTS.c.root == storable(root))
    query = (
        select(ITEM_RESULTS.c.stage_type, func.count().label("number")).where(*mine).group_by(ITEM_RESULTS.c.stage_type)
    )
    return {row.stage_type: row.number for row in connection.execute(query.order_by(ITEM_RESULTS.c.stage_type))}


def forget(connection: Connection, tenant: str, root: str) -> int:
    """Drop every result of an input record; returns how many there were."""
    mine = (ITEM_RESULTS.c.tenant == tenant, ITEM_RESULTS.c.root == storable(root))
    return int(connection.execute(delete(ITEM_RESULTS).where(*mine)).rowcount)


def files(connection: Connection, used_since: float = 0.0) -> Iterator[str]:
    """Give the uris of the workspace's files that results speak of which were used since a time, of all tenants."""
    for found in connection.execute(select(ITEM_RESULTS.c.files).where(ITEM_RESULTS.c.used_at >= used_since)).scalars():
        yield from found
