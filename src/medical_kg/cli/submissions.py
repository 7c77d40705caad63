"""``medical-kg submissions``: what was asked for, how it stands, and going on with it."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from medical_kg.cli import completion
from medical_kg.cli.output import moment, plural
from medical_kg.cli.resuming import resume_submissions
from medical_kg.cli.run import EngineChoice, Strict, retry, run_ready
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.errors import RecordNotFound, UsageError
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from medical_kg.orchestration.api import Report
    from medical_kg.orchestration.contract import Attachment
    from medical_kg.orchestration.ledger.contract import Batch, StageRecord

app = typer.Typer(help="See how submissions stand, wake them and go on with them.", no_args_is_help=True)

Ident = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A submission's id, or its first letters (4 or more).", autocompletion=completion.submissions
    ),
]


@app.command(
    "list", epilog=examples("medical-kg submissions list", "medical-kg submissions list --tenant cardiology --limit 5")
)
def list_submissions(
    ctx: typer.Context,
    *,
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    json: Json = False,
) -> None:
    """List submissions, newest first."""
    state = state_of(ctx, json=json)
    found = state.workspace.ledger.submissions(tenant=tenant, limit=limit)
    if state.json:
        state.print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [(s.id, s.pipeline, s.status, moment(s.created_at), s.tenant, _given(s.input)) for s in found]
    state.print_table(("id", "pipeline", "status", "created", "tenant", "input"), rows)


def _given(asked: Mapping[str, Any]) -> str:
    """Return what a submission reads, or the signal that started it."""
    signal = f"signal {asked['signal']} of {asked['submission']}" if "submission" in asked else ""
    return str(asked.get("input", signal))


@app.command("show", epilog=examples("medical-kg submissions show s5a90", "medical-kg submissions show s5a90 --json"))
def show_submission(ctx: typer.Context, ident: Ident, *, json: Json = False) -> None:
    """Show how a submission stands: counts per stage, batches, waits, retries and where its stages come from."""
    from medical_kg.cli.report import (
        next_steps,
        plain,
        records,
        show_stages,
        told_calls,
        told_errors,
        told_since,
        told_sweep,
    )
    from medical_kg.orchestration import api

    state = state_of(ctx, json=json)
    report = api.report(state.workspace, ident)
    found = records(state, report)
    if state.json:
        stages = [{**record.model_dump(mode="json"), "seconds": record.duration} for record in found]
        state.print_json({**plain(state, report), "results": stages, "provenance": _provenance(found)})
        return
    _show_head(state, report)
    for line in (*told_since(report.submission.input), *told_sweep(report.sweep)):
        state.print(line)
    show_stages(state, report)
    for line in told_calls(report):
        state.print(line)
    state.print()
    state.print_table(BATCHES, (_batch_row(batch, found) for batch in report.batches), right=("retries",))
    state.print()
    for stage, origin in _provenance(found).items():
        state.print(f"{stage}: {origin}")
    for line in (*told_errors(state, report), *next_steps(state, report)):
        state.note(line)


BATCHES = ("batch", "status", "updated", "dead letters", "retries", "dagster run")


def _batch_row(batch: Batch, found: Sequence[StageRecord]) -> tuple[object, ...]:
    mine = [record for record in found if record.batch_id == batch.id]
    letters, retries = sum(record.dead_letters for record in mine), sum(record.retries for record in mine)
    return batch.ordinal, batch.status, moment(batch.updated_at), letters, retries, batch.run_id or ""


def _provenance(found: Sequence[StageRecord]) -> dict[str, str]:
    """Return by stage which plugin did its work: distribution, version and object; several after an upgrade."""
    said: dict[str, dict[str, None]] = {}
    for record in found:
        origin = record.origin
        words = (origin.get("distribution"), origin.get("version"), origin.get("object"), origin.get("file"))
        said.setdefault(record.stage, {})[" ".join(word for word in words if word)] = None
    return {stage: "; ".join(origins) for stage, origins in said.items()}


def _show_head(state: State, report: Report) -> None:
    one = report.submission
    asked = ", ".join(f"{name}={value}" for name, value in {**one.input, **one.overrides}.items())
    state.print(f"submission {one.id} {one.status}, {plural(len(report.batches), 'batch')}")
    state.print(f"pipeline {one.pipeline} {one.pipeline_version}, {asked or 'no input'}, tenant {one.tenant}")
    state.print(f"created {moment(one.created_at)} by {one.actor}, updated {moment(one.updated_at)}")
    if one.plugin_lock:
        locked = [entry for entries in one.plugin_lock.values() for entry in entries.values()]
        began = sorted({f"{entry['distribution']} {entry['version']}".strip() for entry in locked})
        state.print(f"plugins it began with: {', '.join(began)}")
    state.print()


@app.command(
    "explain", epilog=examples("medical-kg submissions explain s5a90", "medical-kg submissions explain s5a90 chunk")
)
def explain_batch(
    ctx: typer.Context,
    batch: Annotated[
        str,
        typer.Argument(
            metavar="BATCH",
            help="A batch's id, or a submission's for all its batches.",
            autocompletion=completion.submissions,
        ),
    ],
    stage: Annotated[
        str | None, typer.Argument(metavar="STAGE", help="Only this stage.", autocompletion=completion.stages)
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Explain why each stage of a batch ran, was reused, waits or was skipped, and what a resume would run again.

    What the ledger holds is compared with the pipeline's current file and the installed plugins. Nothing is run and
    nothing is written.
    """
    from medical_kg.cli.errors import tell
    from medical_kg.cli.inspection import show_explanation
    from medical_kg.orchestration.inspection.explain import explain

    state = state_of(ctx, json=json)
    found = explain(state.workspace, batch, stage)
    show_explanation(state, found)
    if found.problem is not None:
        kept = "compared with the last version that passed its check, with which a resume goes on"
        how = kept if found.compared else "told as the ledger has them"
        state.note(f"the stages are {how}; the pipeline as it is now cannot be compared:")
        raise typer.Exit(tell(found.problem, state))


@app.command("report", epilog=examples("medical-kg submissions report s5a90 --out report.html"))
def write_report(
    ctx: typer.Context,
    ident: Ident,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it; what is there is replaced.")],
    json: Json = False,
) -> None:
    """Write one HTML page: the pipeline with counts and seconds, dead letters, documents, provenance.

    The page needs no other file and no network, and holds no script.
    """
    from medical_kg.cli.page import submission_page

    state = state_of(ctx, json=json)
    page = submission_page(state.workspace, ident)
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out: {out} cannot be written: {error.strerror}") from None
    if state.json:
        state.print_json({"file": str(out.absolute()), "bytes": out.stat().st_size})
    else:
        state.print(f"wrote {out}")


@app.command("dead-letters", epilog=examples("medical-kg submissions dead-letters s5a90 --stage parse"))
def list_dead_letters(
    ctx: typer.Context,
    ident: Ident,
    *,
    stage: Annotated[
        str | None, typer.Option(help="Only those of this stage.", autocompletion=completion.stages)
    ] = None,
    json: Json = False,
) -> None:
    """List the items that a submission's stages could not process, and why."""
    state = state_of(ctx, json=json)
    ledger = state.workspace.ledger
    found = [letter for letter in ledger.dead_letters(ledger.submission(ident).id) if stage in (None, letter.stage)]
    if state.json:
        state.print_json([letter.model_dump(mode="json") for letter in found])
        return
    rows = [(one.stage, one.item_id, f"{one.error}: {one.message}", one.attempts, one.status) for one in found]
    state.print_table(("stage", "item", "reason", "attempts", "status"), rows, right=("attempts",))


@app.command(
    "signal",
    epilog=examples(
        "medical-kg submissions signal s5a90 pdf_ir_ready",
        "medical-kg submissions signal s5a90 converted yes --attach pmid:1=out/1.json",
    ),
)
def tell_signal(
    ctx: typer.Context,
    ident: Ident,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value, as YAML.")] = "true",
    *,
    batch: Annotated[int | None, typer.Option(metavar="N", help="Tell only this batch, by its number.")] = None,
    attach: Annotated[
        list[str] | None,
        typer.Option(metavar="[ITEM=]URI", help="A file that comes along, for an item; may be repeated."),
    ] = None,
    media_type: Annotated[
        str | None, typer.Option(help="What the attached files are; by their ending unless given.")
    ] = None,
    json: Json = False,
) -> None:
    """Tell a signal to a submission; batches that wait for it become ready."""
    from medical_kg.cli.report import started
    from medical_kg.orchestration import api
    from medical_kg.orchestration.pipeline.overrides import yaml_value

    state = state_of(ctx, json=json)
    told = yaml_value(value, f"signal {name}")
    batch_id = None if batch is None else _batch_id(state, ident, batch)
    attachments = [parse_attachment(one, media_type) for one in attach or ()]
    submission = api.signal(state.workspace, ident, name, told, batch=batch_id, attachments=attachments)
    ready = [one.id for one in state.workspace.ledger.ready(limit=1_000_000, submission_id=submission.id)]
    if state.json:
        said = {"submission": submission.id, "signal": name, "value": told, "batch": batch_id, "ready": ready}
        state.print_json({**said, "attachments": [one.model_dump(mode="json") for one in attachments]})
        return
    state.print(f"told {name}={value} to submission {submission.id}; {plural(len(ready), 'batch')} ready to go on")
    for line in started(state, submission):
        state.note(line)
    if ready:
        state.note(f"go on with: {state.command('submissions', 'resume', submission.id)}")
    elif submission.status == "completed":
        state.note(f"it has completed; a replay reads it: {state.command('submissions', 'replay', submission.id)}")


@app.command("signals", epilog=examples("medical-kg submissions signals s5a90"))
def list_signals(ctx: typer.Context, ident: Ident, *, json: Json = False) -> None:
    """List the newest signals told to a submission and to its batches, with what is attached."""
    state = state_of(ctx, json=json)
    ledger = state.workspace.ledger
    submission = ledger.submission(ident)
    ordinals: dict[str | None, int] = {batch.id: batch.ordinal for batch in ledger.batches(submission.id)}
    told = [(ordinals.get(batch), signal) for batch, signal in ledger.told(submission.id)]
    if state.json:
        state.print_json([{**signal.model_dump(mode="json"), "batch": batch} for batch, signal in told])
        return
    rows = [
        (one.name, one.value, "" if batch is None else batch, len(one.attachments), one.actor, moment(one.at))
        for batch, one in told
    ]
    state.print_table(("signal", "value", "batch", "attachments", "by", "at"), rows, right=("attachments",))


def _batch_id(state: State, ident: str, ordinal: int) -> str:
    batches = state.workspace.ledger.batches(state.workspace.ledger.submission(ident).id)
    for batch in batches:
        if batch.ordinal == ordinal:
            return batch.id
    raise RecordNotFound("batch", str(ordinal), [str(batch.ordinal) for batch in batches])


def parse_attachment(given: str, media_type: str | None = None) -> Attachment:
    """Return ``[ITEM=]URI`` as an attachment; a path becomes a ``file://`` URI, the ending may tell the media type.

    Raises:
        UsageError: it is a path and there is no such file.
    """
    from medical_kg.orchestration.contract import Attachment

    item, uri = _split(given)
    if "://" not in uri:
        path = Path(uri)
        if not path.is_file():
            raise UsageError(f"--attach {given!r}: there is no file {path.absolute()}")
        uri = path.resolve().as_uri()
    media_type = media_type or mimetypes.guess_type(urlsplit(uri).path)[0] or "application/octet-stream"
    return Attachment(uri=uri, media_type=media_type, item_id=item or None)


def _split(given: str) -> tuple[str, str]:
    # A URI may hold "=" in its query, an item before it may not hold "://".
    item, equals, uri = given.partition("=")
    return (item, uri) if equals and "://" not in item else ("", given)


app.command("resume", epilog=examples("medical-kg submissions resume s5a90", "medical-kg submissions resume --watch"))(
    resume_submissions
)

Numbered = Annotated[int | None, typer.Argument(metavar="BATCH", help="Only this batch, by its number.")]


@app.command("retry", epilog=examples("medical-kg submissions retry s5a90", "medical-kg submissions retry s5a90 2"))
def retry_failed(
    ctx: typer.Context,
    ident: Ident,
    batch: Numbered = None,
    *,
    engine: EngineChoice = "dagster",
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Run the failed batches of a submission again, or one of them. Finished work is not repeated."""
    from medical_kg.cli.report import finish

    state = state_of(ctx, json=json)
    submission = state.workspace.ledger.submission(ident).id
    chosen = None if batch is None else _batch_id(state, ident, batch)
    raise typer.Exit(finish(state, retry(state, submission, batch=chosen, engine=engine), strict=strict))


@app.command(
    "replay",
    epilog=examples(
        "medical-kg submissions replay s5a90", "medical-kg submissions replay s5a90 --stage parse --item NCT00000102"
    ),
)
def replay_dead_letters(
    ctx: typer.Context,
    ident: Ident,
    *,
    stage: Annotated[
        str | None, typer.Option(help="Only those of this stage.", autocompletion=completion.stages)
    ] = None,
    item: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this item; may be repeated.")] = None,
    from_input: Annotated[
        bool, typer.Option("--from-input", help="Read the input again, as after a fix of the input itself.")
    ] = False,
    engine: EngineChoice = "dagster",
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Process dead letters of a submission again, from the stage that failed: all, or those that are named."""
    from medical_kg.cli.report import finish
    from medical_kg.orchestration.recovery import open_replays

    state = state_of(ctx, json=json)
    opened = open_replays(state.workspace, ident, stage=stage, items=item or (), from_input=from_input)
    for one in opened:
        state.note(f"batch {one.id} replays dead letters of {one.parent}")
    report = run_ready(state, opened[0].submission_id, engine=engine)
    raise typer.Exit(finish(state, report, strict=strict))


@app.command("cancel", epilog=examples("medical-kg submissions cancel s5a90", "medical-kg submissions cancel s5a90 2"))
def cancel_submission(ctx: typer.Context, ident: Ident, batch: Numbered = None, *, json: Json = False) -> None:
    """Give up the unfinished batches of a submission, or one of them, for good. What was finished stays."""
    from medical_kg.orchestration.recovery import cancel

    state = state_of(ctx, json=json)
    chosen = None if batch is None else _batch_id(state, ident, batch)
    submission = cancel(state.workspace, ident, batch=chosen)
    found = [one.id for one in state.workspace.ledger.batches(submission.id) if one.status == "cancelled"]
    if state.json:
        state.print_json({"submission": submission.model_dump(mode="json"), "cancelled": found})
        return
    state.print(f"submission {submission.id} {submission.status}; cancelled: {', '.join(found)}")
