"""``medical-kg documents``: where a document has been, and removing it. Packages add commands of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.cli.debugging import debug_document
from medical_kg.cli.output import counts, moment, number, plural
from medical_kg.cli.plugged import ExtendedGroup
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from medical_kg.orchestration import Forgetting, Story

NAME = "documents"
app = typer.Typer(
    cls=ExtendedGroup, name=NAME, help="Look at documents, and where they are kept.", no_args_is_help=True
)


@app.callback()
def documents() -> None:
    """Look at documents, and where they are kept."""


Ident = Annotated[str, typer.Argument(metavar="ID", help="The document's id, or any identifier that a store knows.")]
Tenant = Annotated[str, typer.Option(help="Whose document.")]


@app.command("trace", epilog=examples("medical-kg documents trace nct:NCT05813925"))
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


app.command(
    "debug",
    epilog=examples(
        "medical-kg documents debug nct:NCT05813925 --from chunk",
        "medical-kg documents debug nct:NCT05813925 --from parse --until parse --pdb",
        "medical-kg documents debug nct:NCT05813925 --from chunk --show chunks",
    ),
)(debug_document)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(
    "forget",
    epilog=examples(
        "medical-kg documents forget nct:NCT05813925 --dry-run", "medical-kg documents forget nct:NCT05813925"
    ),
)
def forget_document(
    ctx: typer.Context,
    ident: Ident,
    *,
    tenant: Tenant = "default",
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Remove a document everywhere it left a trace, and leave it out whenever its input is read again.

    It is refused while a batch is running that has the document. If it is interrupted, give the same command again.
    """
    from medical_kg.orchestration import forget

    state = state_of(ctx, json=json)
    if not (dry_run or yes):
        _ask(state, ident, tenant)
    done = forget(state.workspace, ident, tenant=tenant, dry_run=dry_run)
    if state.json:
        state.print_json({**asdict(done), "total": done.total})
    else:
        _show_removed(state, done)
    for line in done.left:
        state.note(f"not removed: {line}")
    if done.left and not dry_run:
        raise typer.Exit(1)


def _ask(state: State, ident: str, tenant: str) -> None:
    """Show what would go, and ask; a program must say so itself.

    Raises:
        UsageError: nobody is there to answer.
    """
    from medical_kg.orchestration import forget

    if state.json or not is_a_person():
        raise UsageError(
            "what is forgotten cannot be brought back; give --yes to do it, or --dry-run to see what would go"
        )
    _show_removed(state, forget(state.workspace, ident, tenant=tenant, dry_run=True))
    typer.confirm("Remove it for good?", abort=True, err=True)


def is_a_person() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def _show_removed(state: State, done: Forgetting) -> None:
    said = "would be forgotten" if done.dry_run else "is forgotten" if not done.left else "is forgotten in part"
    state.print(f"document {done.root} of tenant {done.tenant} {said}")
    rows = [(place, name, number(count)) for place, found in done.removed.items() for name, count in found.items()]
    state.print_table(("where", "what", "would be removed" if done.dry_run else "removed"), rows, right=("removed",))


@app.command("remember", epilog=examples("medical-kg documents remember nct:NCT05813925"))
def remember_document(
    ctx: typer.Context,
    ident: Annotated[str, typer.Argument(metavar="ID", help="The document's id, as `documents forgotten` lists it.")],
    *,
    tenant: Tenant = "default",
    json: Json = False,
) -> None:
    """Take a document from the list of the forgotten: the next run of its input takes it up again."""
    from medical_kg.orchestration import remember

    state = state_of(ctx, json=json)
    remember(state.workspace, ident, tenant=tenant)
    if state.json:
        state.print_json({"root": ident, "tenant": tenant})
    else:
        state.print(f"document {ident} of tenant {tenant} may come back; run its input to bring it")


@app.command("forgotten", epilog=examples("medical-kg documents forgotten"))
def list_forgotten(ctx: typer.Context, *, tenant: Tenant = "default", json: Json = False) -> None:
    """List the documents that were forgotten, and whether that came to its end."""
    from medical_kg.orchestration import forgotten

    state = state_of(ctx, json=json)
    found = forgotten(state.workspace, tenant=tenant)
    if state.json:
        state.print_json([one.model_dump(mode="json") for one in found])
        return
    rows = (
        (one.root, moment(one.at), one.actor, moment(one.finished_at) or "not finished: forget again") for one in found
    )
    state.print_table(("document", "asked for", "by", "finished"), rows)


STAGES = ("stage", "type", "made of it", "records", "finished")


def _show(state: State, story: Story) -> None:
    state.print(f"document {story.root}, tenant {story.tenant}: met by {plural(len(story.batches), 'batch')}")
    if story.forgotten:
        state.print(f"forgotten {moment(story.forgotten.at)}, asked for by {story.forgotten.actor}")
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
    kept = story.ledger.kept_results
    yield "kept results of", [f"{stage_type}: {number}" for stage_type, number in kept.items()]
    yield "files", [f"{one.uri} {_size(one.size)}" for one in story.files]
    seen = story.ledger.seen
    yield "seen to the end by", [f"{moment(one.at)} {one.pipeline}, submission {one.submission_id}" for one in seen]


def _size(size: Any) -> str:
    return "(gone)" if size is None else plural(size, "byte")
