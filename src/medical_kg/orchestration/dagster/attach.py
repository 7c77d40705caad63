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

from dagster import RunsFilter
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from medical_kg.orchestration.contract.errors import BatchHeld, LedgerError, MedicalKGError
from medical_kg.orchestration.contract.secrets import redacted
from medical_kg.orchestration.dagster.naming import (
    BATCH_TAG,
    GENERATION_TAG,
    OPEN,
    SUBMISSION_TAG,
    WIRING_TAG,
    wiring_of,
)
from medical_kg.orchestration.execution import Instances
from medical_kg.orchestration.ledger.contract import UNFINISHED
from medical_kg.orchestration.planning import plan_of
from medical_kg.orchestration.runner import beating, is_dead, make_run, plan_to_run
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.telemetry.events import Events, log_event

if TYPE_CHECKING:
    from pathlib import Path

    from dagster import DagsterInstance, OpExecutionContext

    from medical_kg.orchestration.execution import BatchRun
    from medical_kg.orchestration.ledger.contract import Batch
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace

OWNER = "dagster:"
"""Begins the name under which a Dagster run holds leases; its id follows."""

_driven: dict[str, BatchRun] = {}


class JobOutdated(MedicalKGError):
    """A run was made from a job whose pipeline has other stages by now; the batch was not touched."""

    def __init__(self, path: Path) -> None:
        """Name the file, and what to do."""
        super().__init__(f"the stages of {path} have changed since Dagster loaded them; reload the code location")


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

    The submission's id comes from the root run's id, so starting twice opens one. A run that the sensor launched has been
    promised its batch under the generation of its tags, and takes no other. Any other run tells Dagster which batch it is
    about to claim before it does, so that whoever goes on with the batch finds the run, wherever this one is killed.

    Raises:
        BatchHeld: somebody else holds the batch, or it is done.
        StaleGeneration: the run was made for an older claim.
        LockMismatch: the plugins differ from their lock, and the settings refuse that.
        JobOutdated: the pipeline's file has other stages than the job Dagster has loaded.
    """
    ledger, tags = workspace.ledger, context.run.tags
    batch = ledger.batch(tags[BATCH_TAG]) if BATCH_TAG in tags else _submitted(context, workspace, plan)
    current = plan_to_run(workspace, batch.submission_id)
    if tags.get(WIRING_TAG, wiring_of(current)) != wiring_of(current):
        raise JobOutdated(current.path)
    if GENERATION_TAG in tags and not _is_again(context):
        return _claim(context, workspace, batch, int(tags[GENERATION_TAG]))
    return _take_up(context, workspace, batch)


def _submitted(context: OpExecutionContext, workspace: Workspace, plan: Plan) -> Batch:
    """Return the first batch that is left of the submission that this run asks for."""
    config = context.op_config or {}
    submission = open_submission(
        workspace,
        str(plan.path),
        input=config.get("input"),
        limit=config.get("limit"),
        full_refresh=config.get("full_refresh", False),
        since=config.get("since"),
        tenant=config.get("tenant", "default"),
        actor=_by_hand(context.run_id),
        ident=_submission_id(context),
    )
    batches = workspace.ledger.batches(submission.id)
    return next((batch for batch in batches if batch.status in UNFINISHED), batches[0])


def _take_up(context: OpExecutionContext, workspace: Workspace, batch: Batch) -> Batch:
    """Claim a batch for a run that it was not promised to; a re-execution takes up a failed one too."""
    if batch.status == "failed" and _is_again(context):
        batch = workspace.ledger.reopen(batch.id, _by_hand(context.run_id))
    _tag(context, batch, batch.generation + 1)
    return _claim(context, workspace, batch, None)


def _claim(context: OpExecutionContext, workspace: Workspace, batch: Batch, generation: int | None) -> Batch:
    ledger, expected = workspace.ledger, batch.generation + 1 if generation is None else generation
    claimed = ledger.claim(
        batch.id,
        _owner(context.run_id),
        lease_seconds=workspace.lease_seconds,
        generation=generation,
        dead_owner=_dead_owner(context.instance, batch) if generation is None else None,
    )
    if claimed.generation != expected:
        _tag(context, claimed, claimed.generation)
    report_dead(context.instance, claimed, context.run_id, ledger.submission(batch.submission_id).actor)
    ledger.set_run(claimed.id, claimed.generation, context.run_id)
    return claimed


def _tag(context: OpExecutionContext, batch: Batch, generation: int) -> None:
    tags = {SUBMISSION_TAG: batch.submission_id, BATCH_TAG: batch.id, GENERATION_TAG: str(generation)}
    context.instance.add_run_tags(context.run_id, tags)


def _dead_owner(instance: DagsterInstance, batch: Batch) -> str | None:
    """Return who holds a batch, if it is known to be dead: a process that is gone, or a Dagster run that has ended."""
    owner = batch.lease_owner or ""
    if not owner.startswith(OWNER):
        return owner if is_dead(owner) else None
    run = instance.get_run_by_id(owner.removeprefix(OWNER))
    return owner if run is None or run.is_finished else None


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
        with beating(workspace.ledger, batch, workspace.lease_seconds), _shown_in(context):
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
        self._log.log(record.levelno, redacted(record.getMessage()))


def report_dead(instance: DagsterInstance, batch: Batch, run_id: str | None = None, actor: str = "") -> None:
    """Report the Dagster runs that a claimed batch was promised to or carried by before as failed, if they never ended.

    Without this a killed run would be shown as running for ever, and one that comes too late would start for nothing.

    Args:
        instance: where the runs are.
        batch: as claimed.
        run_id: the run that has claimed it.
        actor: who opened its submission; maybe a run that was killed before it could tell its batch.
    """
    named = {batch.run_id, actor.removeprefix(_by_hand("")) if actor.startswith(_by_hand("")) else None}
    former = [instance.get_run_by_id(found) for found in named if found]
    former += instance.get_runs(RunsFilter(tags={BATCH_TAG: batch.id}, statuses=NOT_FINISHED_STATUSES))
    for run in {run.run_id: run for run in former if run is not None}.values():
        carried = run.tags.get(BATCH_TAG, batch.id) == batch.id
        older = int(run.tags.get(GENERATION_TAG, batch.generation)) <= batch.generation
        if carried and older and not run.is_finished and run.run_id != run_id:
            instance.report_run_failed(run, f"it does not carry batch {batch.id} any more; another run went on with it")


def _batch_of(context: OpExecutionContext, workspace: Workspace) -> Batch:
    ledger, run_id = workspace.ledger, context.run_id
    batch = ledger.batch(_batch_id(context))
    if _is_ours(batch, run_id):
        return batch
    taken_over = any(entry.actor == _owner(run_id) for entry in ledger.history(batch.submission_id))
    if taken_over or not _is_again(context):
        raise BatchHeld(f"batch {batch.id} is {batch.status} and does not belong to Dagster run {run_id}")
    # "Re-execute from failure": its first step takes the batch up where its parent left it.
    try:
        return _take_up(context, workspace, batch)
    except LedgerError:
        # A parallel step in a process of its own may have been quicker.
        if _is_ours(batch := ledger.batch(batch.id), run_id):
            return batch
        raise


def _is_ours(batch: Batch, run_id: str) -> bool:
    """Whether a run works on a batch; when one of its stages has failed the batch, the parallel ones still do."""
    if batch.status == "failed":
        return batch.run_id == run_id
    return batch.status == "running" and batch.lease_owner == _owner(run_id)


def _batch_id(context: OpExecutionContext) -> str:
    """Return the batch of a run: told to Dagster by its first op, or by that of the run that it executes again."""
    if BATCH_TAG in context.run.tags:
        return context.run.tags[BATCH_TAG]
    for run_id in filter(None, (context.run_id, context.run.parent_run_id)):
        run = context.instance.get_run_by_id(run_id)
        if run is not None and BATCH_TAG in run.tags:
            return run.tags[BATCH_TAG]
    raise BatchHeld(f"Dagster run {context.run_id} carries no batch; launch it with its first op, {OPEN}")


def _is_again(context: OpExecutionContext) -> bool:
    """Whether somebody executes an earlier run again."""
    return context.run.parent_run_id is not None


def _submission_id(context: OpExecutionContext) -> str:
    root = context.run.root_run_id or context.run_id
    return "s" + hashlib.sha256(root.encode()).hexdigest()[:12]


def _owner(run_id: str) -> str:
    return f"{OWNER}{run_id}"


def _by_hand(run_id: str) -> str:
    return f"dagster run {run_id}"
