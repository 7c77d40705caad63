"""Schedules: a time that has come opens a submission of the pipeline that asked for it. Dagster's daemon tells the time."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import MedicalKGError, PipelineInvalid
from medical_kg.orchestration.ledger.records import ident_of
from medical_kg.orchestration.pipeline.catalog import Catalog
from medical_kg.orchestration.planning import last_good, load_in
from medical_kg.orchestration.submissions import open_submission, reopen_failed

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Submission
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace

logger = logging.getLogger(__name__)


class NoSchedule(MedicalKGError):
    """A pipeline's file does not ask to be run by itself any more."""


def open_scheduled(workspace: Workspace, path: Path, at: datetime) -> Submission:
    """Open the submission that a pipeline's schedule asks for at a time; asked again for that time, it is the same one.

    Nothing is run. An unfinished submission over the same input is what is asked for too, so that none overtakes the one
    before; what has failed of it is made ready again. While the file is invalid, its last version counts with which a submission went on, with a warning in the log.

    Args:
        workspace: where it is kept.
        path: the pipeline's file.
        at: the scheduled time.

    Raises:
        PipelineInvalid: the file has errors, and no version of it is kept.
        PipelineNotFound: there is none.
        NoSchedule: the file has none any more.
    """
    plan, text = _current(workspace, path)
    if plan.schedule is None:
        msg = f"{path} has no schedule any more; reload the code location, or restart Dagster"
        raise NoSchedule(msg)
    moment = at.astimezone(UTC).isoformat()
    actor, ident = f"schedule of {moment}", ident_of([str(path.absolute()), moment])
    asked = _input(plan.schedule.input, path)
    since = plan.schedule.since
    submission = open_submission(workspace, str(path), input=asked, since=since, actor=actor, ident=ident, text=text)
    if submission.status == "failed" and submission.id != ident:
        reopen_failed(workspace, submission.id, actor)
    return submission


def _current(workspace: Workspace, path: Path) -> tuple[Plan, str | None]:
    try:
        return load_in(workspace, path), None
    except PipelineInvalid as error:
        if (kept := last_good(workspace, path)) is None:
            raise
        logger.warning("the schedule goes on with the last version that passed the check: %s", error)
        return kept


def _input(given: str | None, path: Path) -> str | None:
    return given if given is None or "://" in given else os.path.abspath(path.parent / given)  # noqa: PTH100  # not its links


def scheduled_pipelines(workspace: Workspace) -> list[str]:
    """Return the names of the pipelines whose files have a schedule; nothing else of them is looked at."""
    return [entry.name for entry in Catalog(workspace.pipeline_folders).entries() if _has_schedule(entry.value())]


def _has_schedule(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get("schedule"))
