"""The sensor over what is ready: a Dagster run for each batch whose time has come.

A batch is first promised to its run in the ledger, under a new generation, and then asked of Dagster with a run key that
names batch and generation. Whatever is killed in between, the promise ends with the launch grace, and the batch is ready
again. A batch that is held or done is not ready, so it is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from medical_kg.orchestration.contract.errors import MedicalKGError
from medical_kg.orchestration.dagster.naming import BATCH_TAG, GENERATION_TAG, SUBMISSION_TAG, wiring_of
from medical_kg.orchestration.lock import check_plan
from medical_kg.orchestration.planning import plan_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagster import DagsterInstance, JobDefinition, RunRecord, SensorDefinition

    from medical_kg.orchestration.ledger.contract import Batch, Submission
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace

SENSOR = "ready_batches"
ACTOR = "dagster sensor"
INTERVAL_SECONDS = 10
AT_ONCE = 10
"""How many runs may wait in Dagster's queue for their turn; a tick launches no more than are lacking."""
LOOKED_AT = 1000
"""How many ready batches a tick looks at, at most: those that cannot be launched must not hide the others."""
TRIES = 3
"""After so many failed runs in a row the pause before the next one doubles each time."""
LONGEST_PAUSE_SECONDS = 3600.0

IN_PROCESS: dict[str, Any] = {"execution": {"config": {"in_process": {}}}}


class NotLaunched(MedicalKGError):
    """A ready batch gets no run now; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline of this code location, as it was when it was loaded."""

    plan: Plan
    job: JobDefinition


@dataclass(frozen=True, slots=True)
class Tick:
    """What a look at the ledger gave: runs to be launched, and why other batches were left."""

    requests: tuple[RunRequest, ...]
    left: tuple[str, ...]


def ready_sensor(workspace: Workspace, loaded: Sequence[Loaded]) -> SensorDefinition:
    """Return the sensor that launches ready batches of these pipelines; it is on from the beginning."""

    @sensor(
        name=SENSOR,
        jobs=[one.job for one in loaded],
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Launches a run for each batch that is ready: new, woken by a signal or a deadline, or left behind.",
    )
    def ready_batches(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        try:
            tick = launch_ready(workspace, loaded, context.instance)
        finally:
            workspace.environments.close()
        for reason in tick.left:
            context.log.warning(reason)
        if not tick.requests:
            return SkipReason("; ".join(tick.left) or "no batch is ready")
        return SensorResult(run_requests=list(tick.requests))

    return ready_batches


def launch_ready(workspace: Workspace, loaded: Sequence[Loaded], instance: DagsterInstance) -> Tick:
    """Promise ready batches, the oldest first, to runs that Dagster is then asked for.

    Raises:
        TransientError: the database was held by another process for too long.
    """
    jobs = {str(one.plan.path.absolute()): one for one in loaded}
    requests: list[RunRequest] = []
    left: list[str] = []
    room = AT_ONCE - _in_queue(instance)
    for batch in workspace.ledger.ready(limit=LOOKED_AT):
        if len(requests) >= room:
            left.append(f"Dagster's queue has {AT_ONCE} runs; further batches are launched as these begin")
            break
        try:
            requests.append(launch(workspace, jobs, instance, batch))
        except MedicalKGError as error:
            left.append(f"batch {batch.id} is left: {error}")
    return Tick(tuple(requests), tuple(left))


def launch(workspace: Workspace, jobs: Mapping[str, Loaded], instance: DagsterInstance, batch: Batch) -> RunRequest:
    """Promise a ready batch to the run that is asked for.

    Args:
        workspace: where the batch is kept.
        jobs: the pipelines that were loaded, by the path of their files.
        instance: where its former runs are.
        batch: which.

    Raises:
        NotLaunched: it must wait, or somebody must do something first.
        MedicalKGError: it cannot be promised, e.g. as somebody else was quicker.
    """
    submission = workspace.ledger.submission(batch.submission_id)
    one = _loaded_for(jobs, submission)
    plan = plan_of(workspace, submission.id) if _is_edited(one.plan, submission) else one.plan
    if wiring_of(plan) != wiring_of(one.plan):
        raise NotLaunched(f"the stages of {plan.path} have changed; reload the code location, or restart Dagster")
    check_plan(workspace, plan, submission)
    _check_former_runs(workspace, instance, batch)
    promised = workspace.ledger.launch(batch.id, grace_seconds=workspace.launch_grace_seconds, actor=ACTOR)
    return RunRequest(
        run_key=f"{batch.id}:{promised.generation}",
        job_name=one.job.name,
        run_config=IN_PROCESS,
        tags={
            SUBMISSION_TAG: submission.id,
            BATCH_TAG: batch.id,
            GENERATION_TAG: str(promised.generation),
        },
    )


def _loaded_for(jobs: Mapping[str, Loaded], submission: Submission) -> Loaded:
    if (one := jobs.get(submission.pipeline_path)) is not None:
        return one
    raise NotLaunched(
        f"{submission.pipeline_path} is not among the pipelines this code location has loaded; go on with it by "
        f"`medical-kg submissions resume {submission.id}`, or put the file into the workspace's folder `pipelines` "
        "and reload"
    )


def _is_edited(plan: Plan, submission: Submission) -> bool:
    """Whether the plan that was loaded is not what a run would read now; overrides make another plan of the file."""
    return bool(submission.overrides) or not text_of(plan, {})


def _in_queue(instance: DagsterInstance) -> int:
    waiting = RunsFilter(statuses=[DagsterRunStatus.QUEUED], tags={"dagster/sensor_name": SENSOR})
    return instance.get_runs_count(waiting)


def _check_former_runs(workspace: Workspace, instance: DagsterInstance, batch: Batch) -> None:
    """Leave a batch to the run it is promised to, and pause longer and longer when its runs fail one after the other.

    Raises:
        NotLaunched: it names the run.
    """
    grace = workspace.launch_grace_seconds
    records = instance.get_run_records(RunsFilter(tags={BATCH_TAG: batch.id}), limit=TRIES + 10)
    now = workspace.clock.now()
    for record in records:
        if _is_on_its_way(record, batch, now - grace):
            run = record.dagster_run
            raise NotLaunched(f"Dagster run {run.run_id} is {run.status.value} and about to take it up")
    if records and records[0].dagster_run.status is DagsterRunStatus.CANCELED:
        raise NotLaunched(
            f"Dagster run {records[0].dagster_run.run_id} was terminated; re-execute it, or go on by "
            f"`medical-kg submissions resume {batch.submission_id}`"
        )
    failed = 0
    while failed < len(records) and records[failed].dagster_run.status is DagsterRunStatus.FAILURE:
        failed += 1
    if failed < TRIES:
        return
    pause = min(grace * 2.0 ** (failed - TRIES), LONGEST_PAUSE_SECONDS)
    left = records[0].update_timestamp.timestamp() + pause - now
    if left > 0:
        run_id = records[0].dagster_run.run_id
        raise NotLaunched(f"its last {failed} runs failed, see run {run_id}; the next one is started in {left:.0f} s")


def _is_on_its_way(record: RunRecord, batch: Batch, since: float) -> bool:
    """Whether this is the run the batch was promised to, which has not claimed it and is not overdue."""
    run = record.dagster_run
    if run.is_finished or batch.status == "running" or run.run_id == batch.run_id:
        return False
    if run.tags.get(GENERATION_TAG) != str(batch.generation):
        return False
    return run.status is DagsterRunStatus.QUEUED or record.update_timestamp.timestamp() > since
