"""Connecting an op to the batch its run carries, whoever started the run.

A run that ``DagsterEngine`` starts in its own process is *driven*: the runner has claimed the batch and will settle it,
and the ops use the runner's ``BatchRun``. Any other run (the launchpad, a schedule, a sensor, a re-execution, an
executor with a process per step) attaches through the ledger: its first op claims the batch in the run's name, its
last settles it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import BatchHeld
from medical_kg.orchestration.dagster.naming import BATCH_TAG, GENERATION_TAG
from medical_kg.orchestration.execution import Instances
from medical_kg.orchestration.lock import check_plan
from medical_kg.orchestration.planning import plan_of
from medical_kg.orchestration.runner import beating, make_run
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.telemetry.events import Events, log_event
from medical_kg.orchestration.workspace import LEASE_SECONDS

if TYPE_CHECKING:
    from dagster import DagsterInstance, OpExecutionContext

    from medical_kg.orchestration.execution import BatchRun
    from medical_kg.orchestration.ledger.contract import Batch
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace

_driven: dict[str, BatchRun] = {}


@contextmanager
def driving(run: BatchRun) -> Iterator[None]:
    """Lend a claimed batch's run to the ops of the Dagster run that carries it in this process."""
    _driven[run.batch.id] = run
    try:
        yield
    finally:
        del _driven[run.batch.id]


def driven(context: OpExecutionContext) -> BatchRun | None:
    """Return the runner's run of this op's batch, if the runner drives this Dagster run from this process."""
    run = _driven.get(context.run.tags.get(BATCH_TAG, ""))
    return run if run and context.run.tags.get(GENERATION_TAG) == str(run.batch.generation) else None


def open_batch(context: OpExecutionContext, workspace: Workspace, plan: Plan) -> Batch:
    """Claim the batch this Dagster run carries; without a batch tag, open a submission for it first.

    The submission's id comes from the root run's id, so starting twice opens one.

    Raises:
        BatchHeld: somebody else holds the batch, or it is done.
        StaleGeneration: the run was made for an older claim.
        LockMismatch: the plugins differ from their lock, and the settings refuse that.
    """
    batch_id = context.run.tags.get(BATCH_TAG)
    if batch_id is None:
        config = context.op_config or {}
        submission = open_submission(
            workspace,
            str(plan.path),
            input=config.get("input"),
            limit=config.get("limit"),
            tenant=config.get("tenant", "default"),
            actor=f"dagster run {context.run_id}",
            ident=_submission_id(context),
        )
        batch_id = workspace.ledger.batches(submission.id)[0].id
    check_plan(workspace, plan, workspace.ledger.submission(workspace.ledger.batch(batch_id).submission_id))
    generation = context.run.tags.get(GENERATION_TAG)
    batch = workspace.ledger.claim(
        batch_id,
        _owner(context),
        lease_seconds=LEASE_SECONDS,
        generation=None if generation is None else int(generation),
    )
    report_dead(context.instance, batch, context.run_id)
    workspace.ledger.set_run(batch.id, batch.generation, context.run_id)
    return batch


@contextmanager
def attached(context: OpExecutionContext, workspace: Workspace) -> Iterator[BatchRun]:
    """Give the run of this op's batch, with the lease kept alive while the block runs.

    Raises:
        BatchHeld: the batch is not this Dagster run's.
    """
    if (run := driven(context)) is not None:
        yield run
        return
    batch = _batch_of(context, workspace)
    instances = Instances()
    try:
        with beating(workspace.ledger, batch), _shown_in(context):
            plan = plan_of(workspace, batch.submission_id)
            yield make_run(workspace, plan, batch, Events([log_event]), instances)
    finally:
        instances.close()


@contextmanager
def _shown_in(context: OpExecutionContext) -> Iterator[None]:
    """Show what stages log in the run's own log while the block runs."""
    handler = _Forward(context)
    logger = logging.getLogger("medical_kg.stage")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Forward(logging.Handler):
    def __init__(self, context: OpExecutionContext) -> None:
        super().__init__()
        self._log = context.log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, record.getMessage())


def report_dead(instance: DagsterInstance, batch: Batch, run_id: str | None = None) -> None:
    """Report the Dagster run that carried a claimed batch before as failed, if it never ended: its process is gone.

    Without this a killed run would be shown as running for ever. ``run_id`` is the run that has claimed the batch.
    """
    if batch.run_id is None or batch.run_id == run_id:
        return
    former = instance.get_run_by_id(batch.run_id)
    if former is not None and not former.is_finished:
        instance.report_run_failed(former, f"its process has ended; another run went on with batch {batch.id}")


def _batch_of(context: OpExecutionContext, workspace: Workspace) -> Batch:
    ledger = workspace.ledger
    batch_id = context.run.tags.get(BATCH_TAG) or ledger.batches(_submission_id(context))[0].id
    batch = ledger.batch(batch_id)
    if batch.status == "running" and batch.run_id == context.run_id:
        return batch
    if batch.status == "failed":
        # "Re-execute from failure": the new run takes the failed batch up where its parent left it.
        ledger.reopen(batch.id, f"dagster run {context.run_id}")
        batch = ledger.claim(batch.id, _owner(context), lease_seconds=LEASE_SECONDS)
        ledger.set_run(batch.id, batch.generation, context.run_id)
        return ledger.batch(batch.id)
    raise BatchHeld(f"batch {batch.id} is {batch.status} and does not belong to Dagster run {context.run_id}")


def _submission_id(context: OpExecutionContext) -> str:
    root = context.run.root_run_id or context.run_id
    return "s" + hashlib.sha256(root.encode()).hexdigest()[:12]


def _owner(context: OpExecutionContext) -> str:
    return f"dagster:{context.run_id}"
