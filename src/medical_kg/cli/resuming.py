"""``medical-kg submissions resume``: going on with one submission, or with all that is ready, once or as long as wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medical_kg.cli import completion
from medical_kg.cli.errors import DONE, FAILED, WRONG_REQUEST, facts, tell
from medical_kg.cli.output import plural
from medical_kg.cli.run import EngineChoice, Strict, Workers
from medical_kg.cli.run import resume as resume_run
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from medical_kg.orchestration.api import Report
    from medical_kg.orchestration.ready import Ran
    from medical_kg.orchestration.telemetry.events import Event

EVERY_SECONDS = 5.0
COLUMNS = ("submission", "pipeline", "status", "batches", "dead letters")


def resume_submissions(  # one argument per option
    ctx: typer.Context,
    ident: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="A submission's id, or its first letters (4 or more); all when left out.",
            autocompletion=completion.submissions,
        ),
    ] = None,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with whatever becomes ready later, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help=f"With --watch: how often to look.  [default: {EVERY_SECONDS:g}]"),
    ] = None,
    engine: EngineChoice = "dagster",
    workers: Workers = 1,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Go on with a submission: failed batches again, waiting ones whose time has come. Finished work is not repeated.

    Without ID: run every batch of the workspace that is ready; failed ones are left alone.
    """
    from medical_kg.cli.report import finish

    if every is not None and not watch:
        raise UsageError("--every says how often --watch looks; give both or neither")
    state = state_of(ctx, json=json)
    one = None if ident is None else state.workspace.ledger.submission(ident).id
    if watch:
        _watch(state, one, every=EVERY_SECONDS if every is None else every, engine=engine, workers=workers)
    if one is None:
        raise typer.Exit(_resume_all(state, engine=engine, workers=workers, strict=strict))
    if watch:
        from medical_kg.orchestration import api

        raise typer.Exit(finish(state, api.report(state.workspace, one), strict=strict))
    raise typer.Exit(finish(state, resume_run(state, one, engine=engine, workers=workers), strict=strict))


def _resume_all(state: State, *, engine: Literal["dagster", "plain"], workers: int, strict: bool) -> int:
    from medical_kg.cli.progress import shown
    from medical_kg.orchestration import ready

    try:
        with shown(state) as events:
            ran = ready.resume_all(state.workspace, engine=engine, events=events, workers=workers)
    except KeyboardInterrupt:
        state.note(f"\nnothing that was finished is lost; go on with: {state.command('submissions', 'resume')}")
        raise
    return _finish_all(state, ran, strict=strict)


def _finish_all(state: State, ran: Ran, *, strict: bool) -> int:
    """Print how the submissions stand of which something was run, and return the worst of their exit codes."""
    from medical_kg.cli.report import exit_code, next_steps, told_errors

    codes = [exit_code(state, report, strict=strict) for report in ran.reports if _id(report) not in ran.problems]
    codes += [int(getattr(error, "exit_code", FAILED)) for error in ran.problems.values()]
    code = next((worst for worst in (FAILED, WRONG_REQUEST) if worst in codes), max(codes, default=DONE))
    if state.json:
        problems = {ident: facts(error, code, verbose=state.verbose) for ident, error in ran.problems.items()}
        said = [report.submission.model_dump(mode="json") for report in ran.reports]
        state.print_json({"submissions": said, "problems": problems, "exit_code": code})
        return code
    if not ran.reports:
        state.print("nothing is ready")
    else:
        state.print_table(COLUMNS, map(_row, ran.reports), right=COLUMNS[3:])
    for report in ran.reports:
        for line in (*told_errors(state, report), *next_steps(state, report)):
            state.note(line)
    for ident, error in ran.problems.items():
        state.note(f"submission {ident} could not go on:")
        tell(error, state)
    return code


def _id(report: Report) -> str:
    return report.submission.id


def _row(report: Report) -> tuple[object, ...]:
    one = report.submission
    return one.id, one.pipeline, one.status, len(report.batches), report.dead_letters


def _watch(state: State, one: str | None, *, every: float, engine: Literal["dagster", "plain"], workers: int) -> None:
    """Watch until Ctrl-C, or until nothing of the one submission can become ready any more."""
    from medical_kg.cli.progress import shown
    from medical_kg.orchestration import ready
    from medical_kg.orchestration.schedules import scheduled_pipelines
    from medical_kg.orchestration.telemetry.events import BatchSettled

    settled = 0

    def count(event: Event) -> None:
        nonlocal settled
        if isinstance(event, BatchSettled):
            settled += 1
            if state.json and one is None:
                state.print_json_line(
                    {"batch": event.batch_id, "submission": event.submission_id, "status": event.status}
                )

    what = f"workspace {state.place.root}" if one is None else f"submission {one}"
    state.note(f"watching {what} every {every:g} s; Ctrl-C ends it, and loses nothing")
    if one is None and (timed := scheduled_pipelines(state.workspace)):
        state.note(f"schedules are kept by Dagster's daemon (medical-kg dev), not here; of {', '.join(timed)}")
    try:
        with shown(state) as events:
            events.subscribe(count)
            ready.watch(
                state.workspace, one, every=every, engine=engine, events=events, workers=workers, say=state.note
            )
    except KeyboardInterrupt:
        state.note(f"\n{plural(settled, 'batch')} run; go on with: {_again(state, one)}")
        raise


def _again(state: State, one: str | None) -> str:
    return state.command("submissions", "resume", *([] if one is None else [one]), "--watch")
