"""What there is to tell about one stage of one batch: the verdict and its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from medical_kg.orchestration.execution.fingerprint import RUNS_AGAIN, Change, fingerprint_of, why_not_reused
from medical_kg.orchestration.execution.inputs import handed, outputs_of

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch, HistoryEntry, OutputRef, StageRecord, Wait
    from medical_kg.orchestration.pipeline.plan import PlannedStage

Verdict = Literal[
    "ran",
    "reused",
    "waits",
    "put off",
    "failed",
    "skipped",
    "not yet run",
    "runs again",
    "may run again",
    "no longer there",
]
RUNS_ANEW = ("runs again", "may run again", "not yet run", "failed", "waits", "put off", "skipped")
"""What a stage of these verdicts gives is not known before it runs."""


@dataclass(frozen=True, slots=True)
class Waited:
    """A wait: the clauses that do not hold, since when, until when (None: for ever) and what happens then."""

    missing: tuple[str, ...]
    since: float
    until: float | None
    on_timeout: str
    over: bool


@dataclass(frozen=True, slots=True)
class StageExplanation:
    """What came of a stage, or will on a resume, and why.

    Attributes:
        stage, stage_type: which; the type as it ran, else as the pipeline has it.
        verdict: ``runs again`` and ``may run again`` tell what a resume would do, the others what was.
        reasons: in words.
        changes: how its fingerprint now differs from that of its result.
        at: when its result was made (None: there is none).
        wait: what it waits for, of a waiting stage.
    """

    stage: str
    stage_type: str
    verdict: Verdict
    reasons: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    at: float | None = None
    wait: Waited | None = None


@dataclass(slots=True)
class Look:
    """What is known of a batch; ``found`` grows from stage to stage. ``goes_on`` unless the batch is finished."""

    batch: Batch
    results: Mapping[str, StageRecord]
    waits: Mapping[str, Wait]
    signals: Mapping[str, Any]
    history: Mapping[str, list[HistoryEntry]]
    now: float
    goes_on: bool
    has: Callable[[OutputRef], bool]
    found: dict[str, StageExplanation] = field(default_factory=dict)


def judge(look: Look, name: str, planned: PlannedStage | None, *, unread: bool = False) -> StageExplanation:
    """Return what there is to tell about a stage.

    ``planned`` is None where the current pipeline does not have it, or (``unread``) cannot be read.
    """
    record = look.results.get(name)
    if record is None:
        assert planned is not None  # noqa: S101  # the name comes from the plan or from the results
        return _without_result(look, planned)
    if planned is None and not unread:
        return _told(
            record, "no longer there", "the current pipeline has no stage of this name; its result stays unused"
        )
    changes, unknown = _changes(look, planned, record) if planned else ((), ())
    if record.status == "waiting":
        return _waiting(look, record, changes)
    if record.status == "postponed":
        return _told(
            record, "put off", record.error or "no reason is known", "a resume runs it again when its time has come"
        )
    if record.status == "failed":
        advice = ("a resume runs it again",) if look.goes_on else ()
        return _told(record, "failed", record.error or "no reason is known", *advice)
    return _completed(look, record, changes, unknown)


def _told(record: StageRecord, verdict: Verdict, *reasons: str, **more: Any) -> StageExplanation:
    return StageExplanation(record.stage, record.stage_type, verdict, reasons, at=record.finished_at, **more)


def _without_result(look: Look, planned: PlannedStage) -> StageExplanation:
    lacking = [name for name in planned.depends_on if not _is_done(look, name)]
    verdict: Verdict = "not yet run"
    if look.batch.generation == 0:
        reasons = ["no run has taken the batch up"]
    elif lacking and look.batch.status != "running":
        verdict = "skipped"
        reasons = [f"{name} gave nothing ({look.found[name].verdict})" for name in lacking]
    elif lacking:
        reasons = [f"{name} has not ended ({look.found[name].verdict})" for name in lacking]
    elif look.goes_on:
        reasons = ["all it depends on is there; a resume runs it"]
    else:
        reasons = [f"the batch is {look.batch.status}"]
    return StageExplanation(planned.name, planned.type.name, verdict, tuple(reasons))


def _is_done(look: Look, name: str) -> bool:
    record = look.results.get(name)
    return record is not None and record.status == "completed"


def _changes(look: Look, planned: PlannedStage, record: StageRecord) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return what differs for certain, and the upstream stages whose output is open."""
    unknown = tuple(name for name in planned.writers if look.found[name].verdict in RUNS_ANEW)
    inputs = {
        binding.key.name: [
            ref.digest
            for writer in binding.writers
            if (found := look.results.get(writer)) and (ref := found.outputs.get(binding.key.name))
        ]
        + [ref.digest for ref in handed(binding.key, outputs_of(look.results))]
        for binding in planned.bindings
    }
    if record.status in ("failed", "postponed"):
        return (), unknown
    mark, parts = fingerprint_of(planned, inputs)
    stream = planned.type.metadata.mode == "stream"
    changes = why_not_reused(record, mark, parts, stream=stream, has=look.has)
    if unknown:  # what its inputs will be is open
        changes = tuple(one for one in changes if one.part not in ("inputs", "fingerprint"))
    return changes, unknown


def _completed(
    look: Look, record: StageRecord, changes: tuple[Change, ...], unknown: tuple[str, ...]
) -> StageExplanation:
    if look.goes_on and changes:
        return _told(record, "runs again", *map(str, changes), changes=changes)
    if look.goes_on and unknown:
        reasons = (f"reused unless the output of {name} changes ({look.found[name].verdict})" for name in unknown)
        return _told(record, "may run again", *reasons)
    verdict, reason = _how_it_was(look.history.get(record.stage, []))
    later = (
        f"since then: {'; '.join(map(str, changes))}; the batch is {look.batch.status}, so this changes nothing in it",
    )
    return _told(record, verdict, reason, *(later if changes else ()), changes=changes)


def _how_it_was(told: list[HistoryEntry]) -> tuple[Verdict, str]:
    """Return whether the newest run ran the stage or reused its result, and why."""
    said = [entry for entry in told if entry.event in BEFORE]
    if said and said[-1].event == "stage reused":
        return "reused", "nothing in its fingerprint had changed since it ran, and its checkpoints were there"
    if len(said) < 2:  # noqa: PLR2004  # its own line only
        return "ran", "for the first time in this batch"
    return "ran", BEFORE[said[-2].event].format(said[-2].reason)


BEFORE = {
    RUNS_AGAIN: "again: {}",
    "stage failed": "again, after it had failed",
    "stage waiting": "after its wait",
    "stage postponed": "again, after it had been put off",
    "stage completed": "again",
    "stage reused": "again",
}
"""Why a stage ran, by the line of the history before its result's own."""


def _waiting(look: Look, record: StageRecord, changes: tuple[Change, ...]) -> StageExplanation:
    wait = look.waits[record.stage]
    held = [clause for clause in wait.condition.clauses if clause.holds(look.signals, wait.baseline)]
    missing = tuple(
        str(wait.condition.model_copy(update={"clauses": (one,)})) for one in wait.condition.clauses if one not in held
    )
    over = wait.deadline_at is not None and look.now >= wait.deadline_at
    if changes:
        reason = "what it waits for has been changed; a resume asks it again"
    elif wait.condition.holds(look.signals, wait.baseline):
        missing, reason = (), f"{wait.condition} holds by now; a resume goes on"
    elif over:
        reason = f"its time is up; a resume {'fails it' if wait.on_timeout == 'fail' else 'goes on without'}"
    else:
        joint = " and " if wait.condition.mode == "all" else " or "
        reason = f"{joint.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
    waited = Waited(missing, wait.first_waited_at, wait.deadline_at, wait.on_timeout, over)
    since = tuple(f"since it began to wait: {change}" for change in changes)
    return _told(record, "waits", reason, *since, changes=changes, wait=waited)
