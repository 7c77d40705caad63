"""How ``submissions explain`` and ``pipelines diff`` look."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from medical_kg.cli.output import moment

if TYPE_CHECKING:
    from medical_kg.cli.state import State
    from medical_kg.orchestration.inspection.diff import PipelineDiff, StageDiff
    from medical_kg.orchestration.inspection.explain import BatchExplanation, Explanation
    from medical_kg.orchestration.inspection.verdicts import StageExplanation

EXPLAINED = ("stage", "type", "verdict", "result of", "because")
COMPARED = ("stage", "what", "differs", "runs again", "because")


def show_explanation(state: State, found: Explanation) -> None:
    """Print why the stages of batches ran or did not."""
    if state.json:
        state.print_json(plain_explanation(found))
        return
    for one in found.batches:
        state.print(f"batch {one.batch.id} {one.batch.status}")
        state.print_table(EXPLAINED, map(_row, one.stages))
        state.print()
    if found.pipeline_changed:
        state.note(f"the file {found.submission.pipeline_path} was changed since the submission was made")


def _row(one: StageExplanation) -> tuple[str, ...]:
    return one.stage, one.stage_type, one.verdict, moment(one.at), "; ".join((*one.reasons, *_times(one)))


def _times(one: StageExplanation) -> tuple[str, ...]:
    if one.wait is None:
        return ()
    since = f"it waits since {moment(one.wait.since)}"
    if one.wait.until is None:
        return (f"{since}, without an end",)
    end = "it fails" if one.wait.on_timeout == "fail" else "it goes on without"
    return (f"{since} until {moment(one.wait.until)}, then {end}",)


def plain_explanation(found: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values."""
    return {
        "submission": found.submission.id,
        "pipeline": found.submission.pipeline_path,
        "pipeline_changed": found.pipeline_changed,
        "problem": None if found.problem is None else str(found.problem),
        "batches": [_plain_batch(one) for one in found.batches],
    }


def _plain_batch(one: BatchExplanation) -> dict[str, Any]:
    stages = [{**asdict(stage), "changes": _told(stage)} for stage in one.stages]
    return {"batch": one.batch.id, "status": one.batch.status, "stages": stages}


def _told(one: StageExplanation | StageDiff | PipelineDiff) -> list[dict[str, Any]]:
    return [{**asdict(change), "told": str(change)} for change in one.changes]


def show_diff(state: State, found: PipelineDiff) -> None:
    """Print what differs between two versions of a pipeline."""
    if state.json:
        stages = [{**asdict(stage), "changes": _told(stage)} for stage in found.stages]
        state.print_json({"equal": found.equal, "changes": _told(found), "stages": stages})
        return
    for change in found.changes:
        state.print(str(change))
    state.print_table(COMPARED, ((one.stage, one.status, _differs(one), one.rerun, one.reason) for one in found.stages))
    if found.equal:
        state.note("both come to the same plan")


def _differs(one: StageDiff) -> str:
    looks = (f"looks like {one.looks_like} under another name",) if one.looks_like else ()
    return "; ".join((*map(str, one.changes), *looks))
