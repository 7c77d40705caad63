"""A pipeline's schedule as Dagster's: each tick opens one submission in the ledger and asks for the run of its first batch.

The submission is named by the scheduled time, so a tick that is killed and repeated finds it. Once it is in the ledger
nothing can lose it: a run that does not come is made good by the sensor, as for every batch that is ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import DefaultScheduleStatus, RunRequest, ScheduleEvaluationContext, SkipReason, schedule

from medical_kg.orchestration.contract.errors import LedgerError
from medical_kg.orchestration.dagster.sensors import SENSOR, NotLaunched, launch
from medical_kg.orchestration.schedules import NoSchedule, open_scheduled

if TYPE_CHECKING:
    from dagster import DagsterInstance, ScheduleDefinition

    from medical_kg.orchestration.dagster.sensors import Loaded
    from medical_kg.orchestration.ledger.contract import Submission
    from medical_kg.orchestration.workspace import Workspace


def schedule_of(workspace: Workspace, one: Loaded) -> ScheduleDefinition | None:
    """Return the schedule of a pipeline that has one; it is on from the beginning."""
    asked = one.plan.schedule
    if asked is None:
        return None

    @schedule(
        name=f"{one.job.name}_schedule",
        job=one.job,
        cron_schedule=asked.cron,
        execution_timezone=asked.timezone,
        default_status=DefaultScheduleStatus.RUNNING,
        description=f"Opens a submission of {one.plan.name} and launches its run.",
    )
    def scheduled(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        try:
            submission = open_scheduled(workspace, one.plan.path, context.scheduled_execution_time)
            return _run_of(workspace, one, context.instance, submission)
        except NoSchedule as error:
            return SkipReason(str(error))
        finally:
            workspace.environments.close()

    return scheduled


def _run_of(
    workspace: Workspace, one: Loaded, instance: DagsterInstance, submission: Submission
) -> RunRequest | SkipReason:
    ready = workspace.ledger.ready(limit=1, submission_id=submission.id)
    if not ready:
        return SkipReason(f"submission {submission.id} over the same input has begun and is {submission.status}")
    try:
        return launch(workspace, {submission.pipeline_path: one}, instance, ready[0])
    except (NotLaunched, LedgerError) as error:
        return SkipReason(f"submission {submission.id} is open; the sensor {SENSOR} sees to its run: {error}")
