"""Why each stage of a batch ran, was reused or waits, and what a resume would run again.

The ledger is compared with the pipeline's current file and the installed plugins, by the rules of ``execute_stage``.
Nothing runs, nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import MedicalKGError, RecordNotFound
from medical_kg.orchestration.inspection.verdicts import Look, StageExplanation, judge
from medical_kg.orchestration.ledger.contract import UNFINISHED
from medical_kg.orchestration.planning import find_plan

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch, HistoryEntry, StageRecord, Submission
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.workspace import Workspace


@dataclass(frozen=True, slots=True)
class BatchExplanation:
    """A batch and its stages, in the order of the pipeline, then those the pipeline no longer has."""

    batch: Batch
    stages: tuple[StageExplanation, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to tell about a submission's batches.

    Attributes:
        submission: whose batches they are.
        pipeline_changed: whether the file's text is another than when the submission was made.
        problem: what is wrong with the current file (invalid, gone), else None; then the stages are compared with the
            last version that passed the check, with which a resume goes on.
        compared: whether there is anything to compare with; else the stages are told as the ledger has them.
        batches: the batches that were asked for.
    """

    submission: Submission
    pipeline_changed: bool
    problem: MedicalKGError | None
    compared: bool
    batches: tuple[BatchExplanation, ...]


def explain(workspace: Workspace, batch_or_submission: str, stage: str | None = None) -> Explanation:
    """Explain a batch, or every batch of a submission; one stage of them, or all.

    Args:
        workspace: where they are kept.
        batch_or_submission: a batch's id, or a submission's (its first letters will do).
        stage: a stage's name.

    Raises:
        RecordNotFound: there is no such batch, submission or stage.
        StorageError: the checkpoint store could not be looked at.
    """
    submission, batches = _asked(workspace, batch_or_submission)
    plan, problem = _plan(workspace, submission)
    told: dict[str, list[HistoryEntry]] = {}
    for entry in workspace.ledger.history(submission.id):
        told.setdefault(entry.batch_id or "", []).append(entry)
    found = tuple(_explain(workspace, plan, batch, told.get(batch.id, [])) for batch in batches)
    if stage is not None:
        found = tuple(_only(one, stage) for one in found)
    changed = plan is not None and plan.digest != submission.pipeline_digest
    return Explanation(submission, changed, problem, plan is not None, found)


def _asked(workspace: Workspace, ident: str) -> tuple[Submission, list[Batch]]:
    ledger = workspace.ledger
    try:
        batch = ledger.batch(ident)
    except RecordNotFound:
        submission = ledger.submission(ident)
        return submission, ledger.batches(submission.id)
    return ledger.submission(batch.submission_id), [batch]


def _plan(workspace: Workspace, submission: Submission) -> tuple[Plan | None, MedicalKGError | None]:
    try:
        return find_plan(workspace, submission)
    except MedicalKGError as error:
        return None, error


def _only(one: BatchExplanation, stage: str) -> BatchExplanation:
    kept = tuple(found for found in one.stages if found.stage == stage)
    if not kept:
        raise RecordNotFound("stage", stage, [found.stage for found in one.stages])
    return BatchExplanation(one.batch, kept)


def _explain(workspace: Workspace, plan: Plan | None, batch: Batch, told: list[HistoryEntry]) -> BatchExplanation:
    results = workspace.ledger.results(batch.id)
    checkpoints = workspace.checkpoints
    look = Look(
        batch=batch,
        results=results,
        waits={name: wait for name in results if (wait := workspace.ledger.wait(batch.id, name)) is not None},
        signals={name: signal.value for name, signal in workspace.ledger.signals(batch.id).items()},
        history=_by_stage(told),
        now=workspace.clock.now(),
        goes_on=batch.status in UNFINISHED,
        has=lambda ref: checkpoints.has(ref.digest, ref.suffix),
    )
    planned = () if plan is None else plan.stages
    for stage in planned:
        look.found[stage.name] = judge(look, stage.name, stage)
    for name in _left_over(results, [stage.name for stage in planned]):
        look.found[name] = judge(look, name, None, unread=plan is None)
    return BatchExplanation(batch, tuple(look.found.values()))


def _left_over(results: Mapping[str, StageRecord], planned: Iterable[str]) -> list[str]:
    return [name for name in results if name not in set(planned)]


def _by_stage(told: Iterable[HistoryEntry]) -> dict[str, list[HistoryEntry]]:
    found: dict[str, list[HistoryEntry]] = {}
    for entry in told:
        if entry.stage is not None:
            found.setdefault(entry.stage, []).append(entry)
    return found
