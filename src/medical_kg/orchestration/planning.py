"""The plan a submission goes on with: its pipeline's current file, or else the last version that passed the check.

That version's text stands in the history: in the line that opened the submission, and in one for each change since.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import PipelineInvalid, PipelineNotFound
from medical_kg.orchestration.ledger.contract import Note
from medical_kg.orchestration.ledger.history import PIPELINE
from medical_kg.orchestration.pipeline.catalog import load_plan
from medical_kg.orchestration.pipeline.check import digest_of
from medical_kg.orchestration.pipeline.load import LoadFailed, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from medical_kg.orchestration.contract.errors import MedicalKGError
    from medical_kg.orchestration.ledger.contract import HistoryEntry, Submission
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace

logger = logging.getLogger(__name__)

CHANGED = "pipeline changed"
"""The word of the history for a submission that goes on with a changed file."""


def load_in(
    workspace: Workspace, pipeline: str | Path, *, overrides: Mapping[str, Any] | None = None, text: str | None = None
) -> Plan:
    """Find a pipeline among those of a workspace, check it and return its plan; otherwise as ``load_plan``."""
    return load_plan(
        pipeline,
        installation=workspace.installation,
        folders=workspace.pipeline_folders,
        environments=workspace.environments,
        overrides=overrides,
        text=text,
    )


def find_plan(workspace: Workspace, submission: Submission) -> tuple[Plan, MedicalKGError | None]:
    """Return the plan of a submission's pipeline, with its overrides, and what is wrong with the current file.

    The plan is that of the current file; while that is invalid or gone, of the last version that passed the check.

    Raises:
        PipelineInvalid: the current file does not pass, and no kept version does.
        PipelineNotFound: it is gone, and no kept version passes.
    """
    try:
        return _load(workspace, submission), None
    except (PipelineInvalid, PipelineNotFound) as problem:
        kept = _kept(workspace, submission)
        try:
            if kept is not None:
                return _load(workspace, submission, kept.detail[PIPELINE]), problem
        except PipelineInvalid:
            # What it needs besides is no longer there, e.g. a plugin: the current file's problems say so too.
            logger.debug("the version of %s that was kept does not pass either", submission.pipeline_path)
        raise


def last_good(workspace: Workspace, path: Path) -> tuple[Plan, str] | None:
    """Return the last version of a pipeline's file with which a submission went on, if it passes the check, and its text."""
    for text in workspace.ledger.pipeline_texts(str(path.absolute())):
        try:
            plan = load_in(workspace, path, text=text)
        except PipelineInvalid:
            continue
        return plan, text
    return None


def plan_of(workspace: Workspace, submission_id: str) -> Plan:
    """Return the plan with which a submission goes on; arguments and errors are those of ``find_plan``."""
    return find_plan(workspace, workspace.ledger.submission(submission_id))[0]


def follow_file(
    workspace: Workspace, submission: Submission, plan: Plan, problem: MedicalKGError | None, actor: str
) -> None:
    """Keep the text of a file that was changed and passed; warn of one that did not pass.

    Args:
        workspace: where the submission is kept.
        submission: which.
        plan: with which it goes on, as ``find_plan`` gave it.
        problem: what is wrong with the current file, likewise.
        actor: who goes on with it.
    """
    if problem is not None:
        _warn(submission.id, str(problem))
        return
    kept = _kept(workspace, submission)
    known = digest_of(kept.detail[PIPELINE], submission.overrides) if kept else submission.pipeline_digest
    if plan.digest != known and (text := text_of(plan, submission.overrides)):
        note = Note(event=CHANGED, reason=f"version {plan.version}", detail={PIPELINE: text})
        workspace.ledger.remark(submission.id, note, actor)


@lru_cache(maxsize=1024)
def _warn(submission_id: str, problem: str) -> None:
    """Say once in a process that the file as it is now does not count."""
    kept = "the last version of its pipeline that passed the check"
    logger.warning("submission %s goes on with %s, as the file cannot be used: %s", submission_id, kept, problem)


def text_of(plan: Plan, overrides: Mapping[str, Any]) -> str:
    """Return the text of the file that a plan was made of; empty when it has been changed since."""
    try:
        text = read_text(plan.path)
    except LoadFailed:
        return ""
    return text if digest_of(text, overrides) == plan.digest else ""


def _kept(workspace: Workspace, submission: Submission) -> HistoryEntry | None:
    told = (entry for entry in workspace.ledger.history(submission.id) if entry.detail.get(PIPELINE))
    return max(told, key=lambda entry: entry.id, default=None)


def _load(workspace: Workspace, submission: Submission, text: str | None = None) -> Plan:
    return load_in(workspace, submission.pipeline_path, overrides=submission.overrides, text=text)
