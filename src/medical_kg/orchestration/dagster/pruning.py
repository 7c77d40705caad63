"""Taking old runs out of Dagster's history, with their events; and the ticks of sensors and schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import DagsterRunStatus, RunsFilter
from sqlalchemy.exc import DBAPIError

from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.dagster.instance import history_of, open_instance
from medical_kg.orchestration.dagster.naming import BATCH_TAG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from dagster import DagsterInstance, DagsterRun

    from medical_kg.orchestration.workspace import Workspace

ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
PAGE = 200
"""Runs looked at in one question to Dagster's storage."""


def prune_history(workspace: Workspace, *, before: float, live: Collection[str], dry_run: bool) -> int:
    """Remove runs that ended before a time, but those of the batches named ``live``; returns how many.

    Raises:
        StorageError: Dagster's storage cannot be read or written.
    """
    try:
        with open_instance(workspace) as instance:
            old = [run.run_id for run in _ended(instance, before) if run.tags.get(BATCH_TAG) not in live]
            if not dry_run:
                for run_id in old:
                    # First the events: killed in between, the run is still there for the next time.
                    instance.event_log_storage.delete_events(run_id)
                    instance.delete_run(run_id)
                _purge_ticks(instance, before)
    except DBAPIError as error:
        msg = f"Dagster's history in {history_of(workspace)} could not be pruned: {error.orig}; try again"
        raise StorageError(msg) from error
    return len(old)


def _ended(instance: DagsterInstance, before: float) -> Iterator[DagsterRun]:
    filters = RunsFilter(statuses=ENDED, updated_before=datetime.fromtimestamp(before, UTC))
    cursor = None
    while page := instance.get_run_records(filters, limit=PAGE, cursor=cursor):
        yield from (record.dagster_run for record in page)
        cursor = page[-1].dagster_run.run_id


def _purge_ticks(instance: DagsterInstance, before: float) -> None:
    for state in instance.all_instigator_state():
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before)
