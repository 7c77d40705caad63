"""How a submission stands, told after a run and by ``submissions show``: table, errors, what to do next, exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medical_kg.cli import errors
from medical_kg.cli.output import counts, moment, plural, seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from medical_kg.cli.state import State
    from medical_kg.orchestration.api import Report
    from medical_kg.orchestration.contract import Clause
    from medical_kg.orchestration.ledger.contract import Calls, HistoryEntry, StageRecord, Submission, Wait
    from medical_kg.orchestration.ledger.sweeps import Sweep

COLUMNS = ("stage", "type", "status", "counts", "dead letters", "retries", "seconds")
ANY = "VALUE"
"""Stands in a command for a value that the condition leaves open."""
MANY = 3
"""More submissions than these are not listed one by one."""


def exit_code(state: State, report: Report, *, strict: bool) -> int:
    """Return the exit code for a submission that was run as far as it goes."""
    match report.submission.status:
        case "completed":
            return errors.DEAD_LETTERS if strict and report.dead_letters else errors.DONE
        case "pending" | "running" | "waiting":
            return errors.WAITING
        case _:
            codes = {errors.code_of_stage_error(record.error or "") for record in _failed(state, report)}
            return errors.WRONG_REQUEST if codes == {errors.WRONG_REQUEST} else errors.FAILED


def finish(state: State, report: Report, *, strict: bool) -> int:
    """Print the end of a run, and what to do next, and return the exit code."""
    code = exit_code(state, report, strict=strict)
    if state.json:
        state.print_json({**plain(state, report), "exit_code": code})
        return code
    show_stages(state, report)
    state.print()
    submission = report.submission
    state.print(f"submission {submission.id} {submission.status}, {plural(len(report.batches), 'batch')}")
    for line in (*told_since(report.submission.input), *told_sweep(report.sweep), *told_calls(report)):
        state.print(line)
    for line in (*told_errors(state, report), *next_steps(state, report)):
        state.note(line)
    return code


def told_since(given: Mapping[str, Any]) -> list[str]:
    """Return what a submission with ``--since`` asked for, in words; nothing of another."""
    if "since" not in given:
        return []
    if (begin := given.get("updated_since")) is None:
        return ["no earlier reading of this input by this pipeline has ended, so everything was asked for"]
    return [
        f"asked for what was updated since {begin}; what is gone from the source is noticed by a run without --since"
    ]


def told_sweep(sweep: Sweep | None) -> list[str]:
    """Return what was found of an input that had been processed before, in words; nothing of one that is all new."""
    if sweep is None or not (sweep.unchanged or sweep.removed):
        return []
    told = f"{plural(sweep.unchanged, 'input record')} skipped as unchanged, {sweep.changed:,} new or changed, "
    lines = [f"{told}{sweep.removed:,} removed"]
    if sweep.unchanged:
        lines.append("to process those that are unchanged as well: run it with --full-refresh")
    return lines


def show_stages(state: State, report: Report) -> None:
    """Print the table of stages, summed over batches."""
    rows = [
        (
            total.stage,
            total.stage_type,
            total.status,
            counts(total.counts),
            total.dead_letters,
            total.retries,
            seconds(total.duration),
        )
        for total in report.stages
    ]
    state.print_table(COLUMNS, rows, right=COLUMNS[4:])


def told_calls(report: Report) -> list[str]:
    """Return what the calls of each stage came to where they waited, were refused or the stage was put off."""
    return [
        f"{total.stage}: {_told_calls(total.calls)}"
        for total in report.stages
        if total.calls.waits or total.calls.refused or total.calls.put_offs
    ]


def _told_calls(calls: Calls) -> str:
    waited = (
        f"{calls.waits:,} of them waited for their turn ({seconds(calls.waited)} s together)" if calls.waits else ""
    )
    refused = f"{calls.refused:,} more not made as the host was to be left alone" if calls.refused else ""
    put_offs = f"put off {plural(calls.put_offs, 'time')}" if calls.put_offs else ""
    return ", ".join(filter(None, (plural(calls.attempts, "attempt"), waited, refused, put_offs)))


def told_circuits(state: State, report: Report) -> list[str]:
    """Return the circuit breakers that calls of a submission opened and that are not closed yet."""
    ledger, now = state.place.ledger, state.place.clock.now()
    told = (entry.detail for entry in ledger.history(report.submission.id) if entry.event.startswith("circuit "))
    lines = []
    for policy, host in sorted({(detail["policy"], detail["host"]) for detail in told}):
        found = ledger.host(policy, host)
        if found.open_until is not None:
            what = f"the circuit breaker of {host or 'calls without a host'} (policy {policy})"
            lines.append(f"{what} is {found.breaker(now)}, tried again from {moment(found.open_until)}")
    return lines


def told_errors(state: State, report: Report) -> list[str]:
    """Return each error once, with the stages and batches it stopped."""
    stages: dict[str, dict[str, None]] = {}
    batches: dict[str, dict[str, None]] = {}
    for record in _failed(state, report):
        error = record.error or "no reason is known"
        stages.setdefault(error, {})[record.stage] = None
        batches.setdefault(error, {})[record.batch_id] = None
    return [
        f"Error: {_named('stage', stages[error])} failed in {_named('batch', batches[error])}: {error}"
        for error in stages
    ]


def _named(noun: str, names: Collection[str]) -> str:
    if len(names) == 1:
        return f"{noun} {next(iter(names))}"
    return f"stages {' and '.join(names)}" if noun == "stage" else plural(len(names), noun)


def next_steps(state: State, report: Report) -> list[str]:
    """Return what can be done next, with the commands to type."""
    submission, steps = report.submission, list[str]()
    if report.sweep is not None and report.sweep.reason:
        steps.append(f"Warning: {report.sweep.reason}")
    if report.dead_letters:
        letters = plural(report.dead_letters, "item")
        verb = "was" if report.dead_letters == 1 else "were"
        listed = state.command("submissions", "dead-letters", submission.id)
        steps.append(f"Warning: {letters} could not be processed and {verb} left out; see {listed}")
    steps += _pruned(state, report)
    steps += started(state, submission)
    for wait in waits(state, report):
        steps += _wait_steps(state, report, wait)
    for record in records(state, report):
        if record.status == "postponed" and record.calls:
            until = moment(record.calls.again_at)
            steps.append(f"stage {record.stage} of batch {record.batch_id} is put off until {until}: {record.error}")
    steps += told_circuits(state, report)
    for batch in report.batches:
        if batch.status == "running":
            steps.append(f"batch {batch.id} is held by {batch.lease_owner} until {moment(batch.lease_until)}")
    steps += _origin(state, submission)
    if submission.status not in ("completed", "cancelled"):
        put_off = any(total.status == "postponed" for total in report.stages)
        told = "then go on with" if submission.status == "waiting" or put_off else "when the cause is gone, go on with"
        steps.append(f"{told}: {state.command('submissions', 'resume', submission.id)}")
    return steps


def pruned(state: State, report: Report) -> dict[str, HistoryEntry]:
    """Return the batches of a submission whose stored results were pruned, each with the history's last word on it."""
    from medical_kg.orchestration.ledger.history import PRUNED

    told = (entry for entry in state.place.ledger.history(report.submission.id) if entry.event == PRUNED)
    return {batch: entry for entry in told for batch in entry.detail["batches"]}


def _pruned(state: State, report: Report) -> list[str]:
    batches = pruned(state, report)
    if not batches:
        return []
    told = list(batches.values())
    what = f"stored results of {plural(len(batches), 'batch')} were pruned {moment(told[-1].at)} by {told[-1].actor}"
    return [f"{what}; their counts and history stay, and to have the results again, run the same input again"]


def started(state: State, submission: Submission) -> list[str]:
    """Return how to run what the signals of a submission started and what is not finished."""
    found = [
        one for one in state.place.ledger.started_by(submission.id) if one.status not in ("completed", "cancelled")
    ]
    if len(found) > MANY:
        pipelines = ", ".join(sorted({one.pipeline for one in found}))
        every = state.command("submissions", "resume")
        return [f"signals started {len(found)} submissions of {pipelines}; run all that is ready with: {every}"]
    return [
        f"signal {one.input.get('signal')} started submission {one.id} of pipeline {one.pipeline}; run it with: "
        + state.command("submissions", "resume", one.id)
        for one in found
    ]


def _origin(state: State, submission: Submission) -> list[str]:
    origin = submission.input.get("submission")
    if origin is None or not state.place.ledger.ready(limit=1, submission_id=origin):
        return []
    return [f"submission {origin} can go on with: {state.command('submissions', 'resume', origin)}"]


def _wait_steps(state: State, report: Report, wait: Wait) -> list[str]:
    until = f" until {moment(wait.deadline_at)}, then it {_end(wait)}" if wait.deadline_at is not None else ""
    steps = [f"stage {wait.stage} of batch {wait.batch_id} waits for {wait.condition}{until}; tell it with:"]
    for clause in wait.condition.clauses:
        words = ("submissions", "signal", report.submission.id, clause.field, example(clause))
        steps.append(f"  {state.command(*words)}")
    return steps


def _end(wait: Wait) -> str:
    return "fails" if wait.on_timeout == "fail" else "goes on"


def example(clause: Clause) -> str:
    """Return a value, as it would be typed, with which a signal would fulfil a clause; ``VALUE`` where many would."""
    match clause.operator:
        case "equals" | "gte" | "lte":
            return typed(clause.value)
        case "in":
            return typed(clause.value[0]) if clause.value else ANY
        case "exists" if clause.value is not False:
            return "true"
        case _:
            return ANY


def typed(value: Any) -> str:
    """Return a value as YAML on one line, bare where it can be."""
    import json

    bare = isinstance(value, str) and yaml_text(value)
    return str(value) if bare else json.dumps(value)


def yaml_text(text: str) -> bool:
    """Whether YAML reads the bare text as that text, and not as a number, true or a mapping."""
    from medical_kg.orchestration.pipeline.load import LoadFailed, parse

    try:
        return bool(parse(text, "").value == text)
    except LoadFailed:
        return False


def waits(state: State, report: Report) -> list[Wait]:
    """Return what the waiting stages of a submission wait for."""
    ledger = state.place.ledger
    found = [
        ledger.wait(record.batch_id, record.stage) for record in records(state, report) if record.status == "waiting"
    ]
    return [wait for wait in found if wait is not None]


def records(state: State, report: Report) -> list[StageRecord]:
    """Return the stage records of every batch of a submission."""
    return [record for batch in report.batches for record in state.place.ledger.results(batch.id).values()]


def _failed(state: State, report: Report) -> list[StageRecord]:
    return [record for record in records(state, report) if record.status == "failed"]


def plain(state: State, report: Report) -> dict[str, Any]:
    """Return how a submission stands as plain values."""
    return {
        "submission": report.submission.model_dump(mode="json"),
        "stages": [
            {
                "stage": total.stage,
                "type": total.stage_type,
                "status": total.status,
                "counts": dict(total.counts),
                "dead_letters": total.dead_letters,
                "retries": total.retries,
                "seconds": total.duration,
                "calls": total.calls.model_dump(mode="json"),
            }
            for total in report.stages
        ],
        "dead_letters": report.dead_letters,
        "sweep": report.sweep and report.sweep.model_dump(mode="json"),
        "batches": [batch.model_dump(mode="json") for batch in report.batches],
        "waits": [wait.model_dump(mode="json") for wait in waits(state, report)],
        "errors": list(report.errors),
        "pruned": sorted(pruned(state, report)),
    }
