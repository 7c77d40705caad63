"""Taking what quotes a document out of Dagster's event log: log lines and errors of the runs that met it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dagster import RunsFilter
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable
from sqlalchemy import or_, select, update

from medical_kg.orchestration.contract.database import in_groups, shred
from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.dagster.naming import BATCH_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dagster import DagsterInstance
    from sqlalchemy import Connection

    from medical_kg.orchestration.workspace import Workspace

REMOVED = "(removed with a document that was forgotten)"
ERROR, REASON = "SerializableErrorInfo", "UserFailureData"
"""What Dagster calls what a stage raised, and its own words about it."""


def erase_events(workspace: Workspace, root: str, batches: Iterable[str], *, change: bool) -> int:
    """Take the words of stages out of the events of these batches' runs, and the record's id out of all others.

    Counts, times and the kinds of the events stay, so the runs look as they did but for their texts.

    Args:
        workspace: whose history.
        root: the record's id.
        batches: those that met it.
        change: whether to do it, or only to count.

    Returns:
        How many events had such words.

    Raises:
        StorageError: the history is kept in something that cannot be searched.
    """
    if not (workspace.root / "dagster" / "dagster.yaml").exists():
        return 0
    instance = open_instance(workspace)
    try:
        return _erase(instance, root, batches, change=change)
    finally:
        instance.dispose()


def _erase(instance: DagsterInstance, root: str, batches: Iterable[str], *, change: bool) -> int:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        kind = type(storage).__name__
        raise StorageError(f"it is kept by a {kind}, which cannot be searched here; remove the runs by its own means")
    runs = [run.run_id for batch in batches for run in instance.get_runs(RunsFilter(tags={BATCH_TAG: batch}))]
    with storage.index_connection() as connection:
        found = _events(connection, runs, root, change=change) + _assets(connection, root, change=change)
    if change:
        for run_id in runs:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        # Of the file in the workspace; the engine's own connections to a server have no pages of their own.
        if (engine := getattr(storage, "_engine", None)) is not None:
            shred(engine)
    return found


def _events(connection: Connection, runs: list[str], root: str, *, change: bool) -> int:
    events = SqlEventLogStorageTable.c
    said = {
        row.id: row for row in connection.execute(_query().where(events.event.contains(_quoted(root), autoescape=True)))
    }
    for group in in_groups(runs):
        query = _query().where(events.run_id.in_(group))
        said |= {row.id: row for row in connection.execute(query)}
    found = 0
    for ident, row in sorted(said.items()):
        text = json.dumps(without_words(json.loads(row.event), root, log_line=row.dagster_event_type is None))
        if json.loads(text) != json.loads(row.event):
            found += 1
            if change:
                connection.execute(update(SqlEventLogStorageTable).where(events.id == ident).values(event=text))
    return found


def _query() -> Any:
    events = SqlEventLogStorageTable.c
    return select(events.id, events.event, events.dagster_event_type)


def _assets(connection: Connection, root: str, *, change: bool) -> int:
    """Take the record's id out of what the log keeps of each asset's newest materialization."""
    columns = (AssetKeyTable.c.last_materialization, AssetKeyTable.c.asset_details, AssetKeyTable.c.cached_status_data)
    quoting = or_(*(column.contains(_quoted(root), autoescape=True) for column in columns))
    rows = connection.execute(select(AssetKeyTable.c.id, *columns).where(quoting)).all()
    for ident, *texts in rows if change else ():
        values = {
            column.name: json.dumps(without_words(json.loads(text), root, log_line=False))
            for column, text in zip(columns, texts, strict=True)
            if text
        }
        connection.execute(update(AssetKeyTable).where(AssetKeyTable.c.id == ident).values(**values))
    return len(rows)


def _quoted(root: str) -> str:
    """Return how an id stands within JSON."""
    return json.dumps(root)[1:-1]


def without_words(event: Any, root: str, *, log_line: bool) -> Any:
    """Return an event without what a stage said in its log or its errors, and without texts that name the record."""
    if isinstance(event, list):
        return [without_words(one, root, log_line=False) for one in event]
    if not isinstance(event, dict):
        return REMOVED if isinstance(event, str) and root in event else event
    fields = {name: without_words(value, root, log_line=False) for name, value in event.items()}
    kind = event.get("__class__")
    if log_line:
        fields |= {name: REMOVED for name in ("message", "user_message") if fields.get(name)}
    if kind == ERROR:
        fields |= {"message": REMOVED, "stack": [], "cause": None, "context": None}
    if kind == REASON and fields.get("description"):
        fields["description"] = REMOVED
    return fields
