"""Everything the command line does, each in one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import Attachment, Signal
from medical_kg.orchestration.crew import Dispatcher, EngineName, hire, make_engine
from medical_kg.orchestration.ledger.contract import UNFINISHED, Batch, Calls, StageRecord, Submission
from medical_kg.orchestration.ledger.sweeps import Sweep
from medical_kg.orchestration.recovery import open_replays, reopen, wake_edited
from medical_kg.orchestration.runner import drain, plan_to_run
from medical_kg.orchestration.submissions import open_submission, reopen_failed, this_actor
from medical_kg.orchestration.triggers import start_triggered

if TYPE_CHECKING:
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.telemetry.events import Events
    from medical_kg.orchestration.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StageTotals:
    """One stage over all batches of a submission: counts summed, dead letters left, the worst status, seconds spent.

    ``calls`` are what its calls came to.
    """

    stage: str
    stage_type: str
    status: str
    counts: Mapping[str, float]
    dead_letters: int
    retries: int
    duration: float
    calls: Calls = field(default_factory=Calls)


@dataclass(frozen=True, slots=True)
class Report:
    """How a submission stands; ``sweep`` is what was found of its input, as far as it has been pulled."""

    submission: Submission
    batches: tuple[Batch, ...]
    stages: tuple[StageTotals, ...]
    errors: tuple[str, ...]
    sweep: Sweep | None = None

    @property
    def dead_letters(self) -> int:
        """Items that could not be processed, over all stages."""
        return sum(stage.dead_letters for stage in self.stages)

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it: a row per stage, and why stages failed."""
        columns = ("stage", "type", "status", "counts", "dead letters", "seconds")
        rows = [
            (one.stage, one.stage_type, one.status, figures(one.counts), one.dead_letters, f"{one.duration:.2f}")
            for one in self.stages
        ]
        title = f"{self.submission.pipeline}: submission {self.submission.id} {self.submission.status}"
        return html_table(title, columns, rows, self.errors)


def figures(counts: Mapping[str, float]) -> str:
    """Return named counts on one line."""
    return ", ".join(f"{number:,g} {name}" for name, number in counts.items())


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = ()) -> str:
    """Return a table as HTML, with a title above and notes below; every text in it is shown as it is."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    below = "".join(f"<pre>{escape(note)}</pre>" for note in notes)
    return f"<p>{escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def submit(  # noqa: PLR0913  # one argument per choice
    workspace: Workspace,
    pipeline: str,
    *,
    input: str | Path | None = None,  # noqa: A002  # the word of the command line and of ctx.input
    limit: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    full_refresh: bool = False,
    max_removed: int | str | None = None,
    since: str | date | None = None,
    tenant: str = "default",
    engine: EngineName = "dagster",
    events: Events | None = None,
    workers: int = 1,
) -> Report:
    """Run a pipeline over an input until nothing is left that can be done now, and report how it stands.

    An unfinished submission of the same tenant, pipeline, input and overrides is resumed, its failed batches too. Of one
    that was finished, only what is new or changed is processed, and what is gone from the input is removed.

    Args:
        workspace: where everything is kept.
        pipeline: a pipeline's name, or the path of its file.
        input: what to process; a path is made absolute.
        limit: take at most so many input records.
        overrides: config changes, ``"stage.field"`` to value.
        full_refresh: process unchanged records as well.
        max_removed: how many records may be removed at once, in place of the pipeline's ``max_removed_items``.
        since: ask only for what was updated since: a day or time, or ``last`` for the last reading that ended.
        tenant: whose submission it is.
        engine: ``dagster`` (its history is in Dagster's UI) or ``plain``.
        events: told what happens.
        workers: run so many batches at a time, each in a process that opens the workspace anew; 1: in this one.

    Raises:
        PipelineNotFound, PipelineInvalid: no pipeline has this name, or its file has problems; nothing was changed.
        InputError: the input is an empty text, ``max_removed`` no number or percentage, or ``since`` no time.
    """
    submission = open_submission(
        workspace,
        pipeline,
        input=input,
        limit=limit,
        overrides=overrides,
        full_refresh=full_refresh,
        max_removed=max_removed,
        since=since,
        tenant=tenant,
    )
    return resume(workspace, submission.id, engine=engine, events=events, workers=workers)


def resume(
    workspace: Workspace,
    submission_id: str,
    *,
    engine: EngineName = "dagster",
    events: Events | None = None,
    workers: int = 1,
) -> Report:
    """Go on with an unfinished submission: failed batches again, waiting ones whose time has come.

    A batch that waits for what its pipeline no longer says is asked again.

    Raises:
        RecordNotFound: there is no such submission.
        PipelineInvalid: its pipeline no longer passes the check; nothing was changed.
        LockMismatch: the plugins differ from their lock, and the settings refuse that; nothing was changed.
        WorkerDied: a batch ended several worker processes.
    """
    submission = workspace.ledger.submission(submission_id)
    if submission.status in UNFINISHED:
        plan = plan_to_run(workspace, submission.id)
        reopen_failed(workspace, submission.id)
        wake_edited(workspace, submission.id, plan)
        if workers == 1:
            drain(workspace, submission.id, make_engine(workspace, engine), events, plan)
        else:
            _drain_by_many(workspace, submission.id, workers, engine, events)
    return report(workspace, submission.id)


def retry(
    workspace: Workspace,
    submission_id: str,
    *,
    batch: str | None = None,
    engine: EngineName = "dagster",
    events: Events | None = None,
) -> Report:
    """Run the failed batches of a submission again, or one of them, and go on with what else is ready in it.

    Raises:
        RecordNotFound: there is no such submission, or it has no such batch.
        IllegalTransition: nothing of it has failed; nothing was changed.
        PipelineInvalid: its pipeline no longer passes the check; nothing was changed.
    """
    plan = plan_to_run(workspace, workspace.ledger.submission(submission_id).id)
    submission = workspace.ledger.batch(reopen(workspace, submission_id, batch)[0].id).submission_id
    return run_ready(workspace, submission, engine=engine, events=events, plan=plan)


def replay(
    workspace: Workspace,
    submission_id: str,
    *,
    stage: str | None = None,
    items: Collection[str] = (),
    from_input: bool = False,
    engine: EngineName = "dagster",
    events: Events | None = None,
) -> Report:
    """Process open dead letters of a submission again, each with all of its input record, from the stage that failed.

    A small batch is opened for each batch and stage that has such; what comes before is taken over from its parent,
    narrowed to the input records in question, unless its config or code has been changed. What then succeeds is resolved.

    Args:
        workspace: where everything is kept.
        submission_id: the submission, or a prefix of its id.
        stage: only dead letters of this stage.
        items: only these items; all when empty.
        from_input: read the input again, as after a fix of the input itself.
        engine: as of ``submit``.
        events: told what happens.

    Raises:
        RecordNotFound: there is no such submission, or no open dead letter of that kind.
        IllegalTransition: the batch of a dead letter has failed (retry it), was cancelled, or is still at work.
        PipelineInvalid: its pipeline no longer passes the check; nothing was changed.
    """
    opened = open_replays(workspace, submission_id, stage=stage, items=items, from_input=from_input)
    return run_ready(workspace, opened[0].submission_id, engine=engine, events=events)


def run_ready(
    workspace: Workspace,
    submission_id: str,
    *,
    engine: EngineName = "dagster",
    events: Events | None = None,
    plan: Plan | None = None,
) -> Report:
    """Run the batches of a submission that are ready, leaving failed ones alone, and report how it stands.

    ``plan`` is what ``plan_to_run`` gave, if the caller has asked already.

    Raises:
        PipelineInvalid: its pipeline no longer passes the check; nothing was changed.
    """
    drain(workspace, submission_id, make_engine(workspace, engine), events, plan)
    return report(workspace, submission_id)


def _drain_by_many(
    workspace: Workspace, submission_id: str, workers: int, engine: EngineName, events: Events | None
) -> None:
    with hire(workspace, workers, engine=engine, events=events) as hands:
        dispatcher = Dispatcher(workspace.ledger, hands, submission_id=submission_id)
        dispatcher.once()
    for error in dispatcher.problems.values():
        raise error


def signal(
    workspace: Workspace,
    submission_id: str,
    name: str,
    value: Any = True,  # noqa: FBT002  # a signal's natural value
    *,
    batch: str | None = None,
    attachments: Sequence[Attachment] = (),
    actor: str | None = None,
) -> Submission:
    """Tell a signal to a submission, or to one batch of it; waiting batches whose condition now holds become ready.

    One that has completed takes files only, for a replay. Each pipeline that the signal triggers gets a submission
    (``ledger.started_by``), which is not run here.

    Raises:
        RecordNotFound: there is no such submission or batch.
    """
    submission = workspace.ledger.submission(submission_id)
    told = Signal(
        name=name, value=value, attachments=tuple(attachments), actor=actor or this_actor(), at=workspace.clock.now()
    )
    workspace.ledger.tell(submission.id, told, batch_id=batch, late=bool(told.attachments))
    start_triggered(workspace, submission, told, batch)
    return workspace.ledger.submission(submission.id)


def report(workspace: Workspace, submission_id: str) -> Report:
    """Return how a submission stands, with its counts per stage.

    Raises:
        RecordNotFound: there is no such submission.
    """
    ledger = workspace.ledger
    submission = ledger.submission(submission_id)
    batches = tuple(ledger.batches(submission.id))
    results = [ledger.results(batch.id) for batch in batches]
    names = dict.fromkeys(name for found in results for name in found)
    letters = Counter(one.stage for one in ledger.dead_letters(submission.id) if one.status != "resolved")
    totals = tuple(_total([found[name] for found in results if name in found], letters[name]) for name in names)
    errors = tuple(
        f"{record.stage} ({record.batch_id}): {record.error}"
        for found in results
        for record in found.values()
        if record.status == "failed"
    )
    sweeps = [record.sweep for found in results for record in found.values() if record.sweep]
    return Report(submission, batches, totals, errors, _swept(sweeps) if sweeps else None)


def _swept(found: Sequence[Sweep]) -> Sweep:
    return Sweep(
        unchanged=sum(one.unchanged for one in found),
        changed=sum(one.changed for one in found),
        removed=sum(one.removed for one in found),
        withheld=sum(one.withheld for one in found),
        reason="; ".join(one.reason for one in found if one.reason),
        pages=sum(one.pages for one in found),
        total=found[-1].total,
    )


def _total(records: Sequence[StageRecord], dead_letters: int) -> StageTotals:
    counts: dict[str, float] = {}
    for record in records:
        for name, number in record.counts.items():
            counts[name] = counts.get(name, 0) + number
    statuses = {record.status for record in records}
    return StageTotals(
        stage=records[0].stage,
        stage_type=records[0].stage_type,
        status=next(status for status in ("failed", "postponed", "waiting", "completed") if status in statuses),
        counts=counts,
        dead_letters=dead_letters,
        retries=sum(record.retries for record in records),
        calls=Calls.total(record.calls for record in records if record.calls),
        duration=sum(record.duration for record in records),
    )
