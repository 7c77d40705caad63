"""Progress on standard error, fed by events: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from medical_kg.cli.output import counts, moment, plural, seconds
from medical_kg.cli.totals import Totals
from medical_kg.orchestration.telemetry.events import (
    BatchSettled,
    BatchStarted,
    CallOverran,
    CallRetried,
    CircuitChanged,
    Event,
    Events,
    InputPulled,
    StageCompleted,
    StageEvent,
    StageFailed,
    StagePaused,
    StagePutOff,
    StageReused,
    StageStarted,
    log_event,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from medical_kg.cli.state import State


@contextmanager
def shown(state: State) -> Iterator[Events]:
    """Give the events that a run should tell, shown as the options ask."""
    totals = Totals(lambda: state.place.ledger)
    events = Events([log_event])
    if state.log_format == "json" or state.verbose:
        yield events  # the log tells everything
    elif state.json:
        yield events
    elif sys.stderr.isatty():
        with _bars(state) as bars:
            events.subscribe(totals)
            events.subscribe(Bars(bars, totals))
            yield events
    else:
        events.subscribe(totals)
        events.subscribe(Lines(lambda line: typer.echo(line, err=True), totals))
        yield events


CIRCUIT = {"opened": "open", "half-open": "half-open: one attempt tries it", "closed": "closed again"}


def line_of(event: Event) -> str | None:
    """Return what to say of an event without its batch, or None when it is not worth a line."""
    said: str | None = None
    match event:
        case StageCompleted():
            said = f"{event.stage} {_completed(event)}"
        case StageReused():
            said = f"{event.stage} reused: its stored result still fits"
        case StagePaused():
            said = f"{event.stage} waits for {event.condition}"
        case StagePutOff():
            said = f"{event.stage} is put off until {moment(event.until)}: {event.reason}"
        case CircuitChanged():
            where = f"host {event.host}" if event.host else "its calls"
            said = f"{event.stage}: the circuit breaker of {where} (policy {event.policy}) is {CIRCUIT[event.change]}"
        case StageFailed():
            said = f"{event.stage} failed"  # the error is told once, at the end
        case CallRetried():
            said = f"{event.stage} tries again in {event.delay:.1f} s after attempt {event.attempt}: {event.error}"
        case CallOverran():
            said = f"{event.stage}: {plural(event.calls, 'call')} took longer than the policy's timeout_seconds"
    return said


def _completed(event: StageCompleted) -> str:
    letters = plural(event.dead_letters, "dead letter") if event.dead_letters else ""
    retries = plural(event.retries, "retried call") if event.retries else ""
    said = ", ".join(filter(None, ("completed", counts(event.counts), letters, retries)))
    return f"{said} ({seconds(event.duration)} s)"


def settled(event: BatchSettled, totals: Totals) -> str:
    """Return what to say at the end of a batch: where there are several, also how far its submission is."""
    total = totals.of(event)
    return f"batch {event.batch_id} {event.status}" + (f"; {total}" if total else "")


class Lines:
    """One line per stage of each batch."""

    def __init__(self, say: Callable[[str], None], totals: Totals) -> None:
        """Keep where lines go, and who counts."""
        self._say, self._totals = say, totals

    def __call__(self, event: Event) -> None:
        """Tell an event."""
        if isinstance(event, BatchSettled):
            self._say(settled(event, self._totals))
        elif (line := line_of(event)) is not None:
            self._say(f"batch {event.batch_id}: {line}")


class Bars:
    """A bar for each batch that is running and one for all of several, and a line above for each stage that has ended."""

    def __init__(self, progress: Progress, totals: Totals) -> None:
        """Keep the display, and who counts."""
        self._progress, self._totals = progress, totals
        self._tasks: dict[str, TaskID] = {}
        self._submissions: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        """Tell an event."""
        self._all(event)
        if isinstance(event, BatchStarted):
            self._tasks[event.batch_id] = self._progress.add_task(
                f"batch {event.batch_id}", total=event.stages, stage=""
            )
        elif isinstance(event, BatchSettled):
            self._progress.remove_task(self._tasks.pop(event.batch_id))
            self._print(settled(event, self._totals))
        elif isinstance(event, StageEvent):
            self._stage(event)

    def _all(self, event: Event) -> None:
        total = self._totals.of(event)
        if total is None or not isinstance(event, (BatchStarted, InputPulled, BatchSettled)):
            return
        task = self._submissions.get(event.submission_id)
        if task is None:
            task = self._progress.add_task(f"submission {event.submission_id}", total=total.opened, stage="")
            self._submissions[event.submission_id] = task
        self._progress.update(task, total=total.opened, completed=total.done, stage=str(total))

    def _stage(self, event: StageEvent) -> None:
        task = self._tasks.get(event.batch_id)
        if task is not None and isinstance(event, StageStarted):
            self._progress.update(task, stage=event.stage)
        if task is not None and isinstance(event, (StageCompleted, StageReused)):
            self._progress.advance(task)
        if (line := line_of(event)) is not None:
            # Of several batches at work, each line says which it is of.
            self._print(f"  {line}" if len(self._tasks) == 1 else f"  batch {event.batch_id}: {line}")

    def _print(self, line: str) -> None:
        self._progress.console.print(line, soft_wrap=True, markup=False)


def _bars(state: State) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[stage]}", markup=False),
        TimeElapsedColumn(),
        console=state.errors,
        transient=True,
    )
