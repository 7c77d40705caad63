"""``medical-kg documents``: where a document has been and where it is kept. Packages add commands of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.cli.output import counts, moment, plural
from medical_kg.cli.plugged import ExtendedGroup
from medical_kg.cli.state import Json, State, state_of

if TYPE_CHECKING:
    from medical_kg.orchestration import Story

NAME = "documents"
app = typer.Typer(
    cls=ExtendedGroup, name=NAME, help="Look at documents, and where they are kept.", no_args_is_help=True
)


@app.callback()
def documents() -> None:
    """Look at documents, and where they are kept."""


Ident = Annotated[str, typer.Argument(metavar="ID", help="The document's id, or any identifier that a store knows.")]
Tenant = Annotated[str, typer.Option(help="Whose document.")]


@app.command("trace")
def trace_document(ctx: typer.Context, ident: Ident, *, tenant: Tenant = "default", json: Json = False) -> None:
    """Tell a document's story: which submissions saw it, what each stage made of it, and where it is kept."""
    from medical_kg.orchestration import trace
    from medical_kg.orchestration.traces.story import plain

    state = state_of(ctx, json=json)
    story = trace(state.workspace, ident, tenant=tenant)
    if state.json:
        state.print_json(plain(story))
    else:
        _show(state, story)


STAGES = ("stage", "type", "made of it", "records", "finished")


def _show(state: State, story: Story) -> None:
    state.print(f"document {story.root}, tenant {story.tenant}: met by {plural(len(story.batches), 'batch')}")
    for one in story.batches:
        state.print()
        run = f", Dagster run {one.batch.run_id}" if one.batch.run_id else ""
        state.print(f"batch {one.batch.id} of pipeline {one.submission.pipeline} is {one.batch.status}{run}")
        state.print_table(
            STAGES, ((s.stage, s.stage_type, s.made, counts(s.gave), moment(s.finished_at)) for s in one.stages)
        )
    for title, lines in _parts(story):
        if lines:
            state.print()
            state.print(f"{title}:")
        for line in lines:
            state.print(f"  {line}")


def _parts(story: Story) -> Iterator[tuple[str, list[str]]]:
    letters = story.ledger.dead_letters
    yield (
        "dead letters",
        [
            f"{moment(one.at)} {one.submission_id} {one.stage} {one.item_id}: {one.error}: {one.message} "
            f"({plural(one.attempts, 'attempt')}, {one.status})"
            for one in letters
        ],
    )
    attached = story.ledger.attached
    yield (
        "signals with a file for it",
        [
            f"{moment(one.at)} {one.batch_id or one.submission_id} {one.signal} by {one.actor}: {one.attachment.uri}"
            for one in attached
        ],
    )
    yield "kept by", [f"{one.stage}: {one.problem or counts(one.kept)}" for one in story.kept]
    yield "files", [f"{one.uri} {_size(one.size)}" for one in story.files]
    seen = story.ledger.seen
    yield "seen to the end by", [f"{moment(one.at)} {one.pipeline}, submission {one.submission_id}" for one in seen]


def _size(size: Any) -> str:
    return "(gone)" if size is None else plural(size, "byte")
