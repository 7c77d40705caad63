"""Failed batches again, dead letters again, and giving work up; each in one call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import IllegalTransition, RecordNotFound
from medical_kg.orchestration.execution.fingerprint import fingerprint_of
from medical_kg.orchestration.execution.inputs import digests, outputs_of
from medical_kg.orchestration.execution.narrowing import taken_over
from medical_kg.orchestration.ledger.contract import DeadLetter, Replay
from medical_kg.orchestration.ledger.records import input_record
from medical_kg.orchestration.runner import plan_to_run
from medical_kg.orchestration.submissions import this_actor

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch, StageRecord, Submission
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace


def reopen(workspace: Workspace, submission_id: str, batch: str | None = None, actor: str | None = None) -> list[Batch]:
    """Make the failed batches of a submission, or one of them, ready again, without running them.

    Raises:
        RecordNotFound: there is no such submission, or it has no such batch.
        IllegalTransition: the batch, or every batch, has not failed; nothing was changed.
    """
    submission = workspace.ledger.submission(submission_id)
    found = workspace.ledger.batches(submission.id)
    wanted = [one for one in found if one.id == batch or (batch is None and one.status == "failed")]
    if not wanted and batch is not None:
        raise RecordNotFound(f"batch of submission {submission.id}", batch, [one.id for one in found])
    if not wanted:
        raise IllegalTransition(f"submission {submission.id}", submission.status, "retried", ("failed",))
    return [workspace.ledger.reopen(one.id, actor or this_actor()) for one in wanted]


def wake_edited(workspace: Workspace, submission_id: str, plan: Plan) -> None:
    """Make those waiting batches ready whose gates are no longer what they were when the batch began to wait."""
    for batch in workspace.ledger.batches(submission_id):
        if batch.status == "waiting" and (stage := _edited_wait(plan, workspace.ledger.results(batch.id))):
            workspace.ledger.wake(batch.id, f"the pipeline says something else about stage {stage!r}", this_actor())


def _edited_wait(plan: Plan, results: Mapping[str, StageRecord]) -> str | None:
    for planned in plan.stages:
        former = results.get(planned.name)
        if former is None or former.status != "waiting":
            continue
        if (
            not all(name in results for name in planned.writers)
            or fingerprint_of(planned, digests(plan, planned, outputs_of(results)))[0] != former.fingerprint
        ):
            return planned.name
    return None


def cancel(
    workspace: Workspace, submission_id: str, *, batch: str | None = None, actor: str | None = None
) -> Submission:
    """Give up the unfinished batches of a submission, or one of them.

    Cancelled work is never run again: neither retried, nor resumed, nor replayed. A run that is at work on it ends at its
    next commit; waits end. What was finished stays.

    Raises:
        RecordNotFound: there is no such submission, or it has no such batch.
        IllegalTransition: it is finished.
    """
    submission = workspace.ledger.submission(submission_id)
    return workspace.ledger.cancel(submission.id, actor or this_actor(), batch_id=batch)


def open_replays(
    workspace: Workspace,
    submission_id: str,
    *,
    stage: str | None = None,
    items: Collection[str] = (),
    from_input: bool = False,
    actor: str | None = None,
) -> list[Batch]:
    """Open replay batches for the open dead letters of a submission, without running them.

    There is one for each batch and stage that has such. Arguments and errors are those of ``api.replay``.
    """
    submission = workspace.ledger.submission(submission_id)
    plan = plan_to_run(workspace, submission.id)
    groups: dict[tuple[str, str], list[DeadLetter]] = defaultdict(list)
    for letter in chosen(workspace.ledger.dead_letters(submission.id), submission.id, stage, items):
        groups[letter.batch_id, letter.stage].append(letter)
    wanted = [_replay(workspace, plan, letters, from_input=from_input) for letters in groups.values()]
    return workspace.ledger.replay(submission.id, wanted, actor or this_actor())


def chosen(
    letters: Collection[DeadLetter], submission_id: str, stage: str | None, items: Collection[str]
) -> list[DeadLetter]:
    """Return the open dead letters that are asked for.

    Raises:
        RecordNotFound: none is open, or there is none of an item that is named.
    """
    found = [one for one in letters if one.status == "open" and stage in (None, one.stage)]
    known = {one.item_id for one in found}
    place = f"open dead letter of submission {submission_id}" + (f" and stage {stage}" if stage else "")
    for item in items:
        if item not in known:
            raise RecordNotFound(place, item, known)
    if not found:
        raise RecordNotFound(place, "(any)")
    return [one for one in found if not items or one.item_id in items]


def _replay(workspace: Workspace, plan: Plan, letters: list[DeadLetter], *, from_input: bool) -> Replay:
    first = letters[0]
    names = [stage.name for stage in plan.stages]
    if first.stage not in names:
        raise RecordNotFound(f"stage of pipeline {plan.name}", first.stage, names)
    roots = {input_record(one) for one in letters}
    begin = plan.stream.name if from_input and plan.stream else first.stage
    rootless = any(one.root is None for one in letters)
    results = workspace.ledger.results(first.batch_id)
    records = taken_over(plan, results, begin, None if rootless else roots, workspace.checkpoints)
    items = tuple(one.item_id for one in letters)
    return Replay(parent=first.batch_id, stage=first.stage, items=items, records=records)
