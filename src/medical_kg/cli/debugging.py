"""``medical-kg documents debug``: one document through some stages again, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.cli import INTERRUPTED, completion
from medical_kg.cli.errors import DEAD_LETTERS, DONE, FAILED, WAITING
from medical_kg.cli.output import counts, seconds
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.errors import RecordNotFound

if TYPE_CHECKING:
    from medical_kg.orchestration.debugging import Session, StageDebugged

COLUMNS = ("stage", "type", "outcome", "seconds", "gave")

First = Annotated[
    str, typer.Option("--from", metavar="STAGE", help="The stage to begin with.", autocompletion=completion.stages)
]
Last = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="STAGE", help="The last stage; all behind it unless given.", autocompletion=completion.stages
    ),
]
Show = Annotated[
    list[str] | None, typer.Option("--show", metavar="KEY", help="Print what is under this state key; may be repeated.")
]
Pdb = Annotated[bool, typer.Option("--pdb", help="Open the debugger where a stage raises an error, and end there.")]
Within = Annotated[
    str | None,
    typer.Option(
        "--submission", metavar="ID", help="As it stood in this submission.", autocompletion=completion.submissions
    ),
]
Into = Annotated[
    Path | None,
    typer.Option("--into", metavar="FOLDER", help="Keep what the stages store, as a workspace in this folder."),
]


def debug_document(  # noqa: PLR0913  # one argument per option
    ctx: typer.Context,
    ident: Annotated[
        str, typer.Argument(metavar="ID", help="The document's id, or any identifier that a store knows.")
    ],
    *,
    first: First,
    until: Last = None,
    show: Show = None,
    pdb: Pdb = False,
    submission: Within = None,
    into: Into = None,
    tenant: Annotated[str, typer.Option(help="Whose document.")] = "default",
    json: Json = False,
) -> None:
    """Run a stage and all behind it again for one document, in this process; `breakpoint()` in a stage stops there.

    The values before the stage are those of the last batch that met the document. Nothing is retried or timed out, and
    index, graph and history of the workspace stay as they are.
    """
    from medical_kg.orchestration.debugging import opened

    state = state_of(ctx, json=json, others_print=True)
    if state.json:  # else the debugger and the stage have the terminal
        state.keep_output()
    place: dict[str, Any] = {"until": until, "submission": submission, "tenant": tenant, "into": into}
    with opened(state.workspace, ident, first, **place) as session:
        _tell_begin(state, session, first)
        done = list(_run(state, session, pdb=pdb))
        if state.json:
            state.print_json(_plain(session, done))
        else:
            rows = [(one.stage, one.stage_type, one.outcome, seconds(one.seconds), counts(one.counts)) for one in done]
            state.print_table(COLUMNS, rows, right=("seconds",))
            _show(state, done, show or ())
    for one in done:
        if one.trace:
            state.note(f"\nstage {one.stage} {one.outcome}:\n{one.trace}")
    raise typer.Exit(_code(done))


def _tell_begin(state: State, session: Session, first: str) -> None:
    found = session.found
    state.note(
        f"document {session.root} before stage {first}, from batch {found.batch.id} of pipeline {found.submission.pipeline}"
    )
    place = f"kept in {session.scratch.root}" if session.kept else "thrown away"
    state.note(f"what the stages store is {place}; the workspace {state.place.root} stays as it is\n")


def _run(state: State, session: Session, *, pdb: bool) -> Iterator[StageDebugged]:
    from bdb import BdbQuit

    try:
        yield from session.run(raise_errors=pdb)
    except BdbQuit:
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if not pdb:
            raise
        _post_mortem(state, error)
        raise typer.Exit(FAILED) from None


def _post_mortem(state: State, error: Exception) -> None:
    import pdb  # noqa: T100  # this is what --pdb asks for
    import traceback

    state.note("".join(traceback.format_exception(error)))
    pdb.post_mortem(error.__traceback__)


def _show(state: State, done: Iterable[StageDebugged], wanted: Iterable[str]) -> None:
    given = [(one.stage, key, value) for one in done for key, value in one.outputs.items()]
    for name in wanted:
        found = [(stage, value) for stage, key, value in given if key == name]
        if not found:
            raise RecordNotFound("state key that these stages gave", name, [key for _, key, _ in given])
        for stage, value in found:
            state.print(f"\n{name} of {stage}:")
            for record in value if isinstance(value, list) else [value]:
                state.print(_as_json(record))


def _as_json(value: Any) -> str:
    from pydantic_core import to_json

    return to_json(value, fallback=_fallback).decode()


def _fallback(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _plain(session: Session, done: Iterable[StageDebugged]) -> dict[str, Any]:
    from pydantic_core import to_jsonable_python

    found = session.found
    return {
        "document": session.root,
        "pipeline": found.submission.pipeline,
        "submission": found.submission.id,
        "batch": found.batch.id,
        "kept_in": str(session.scratch.root) if session.kept else None,
        "stages": [
            {
                "stage": one.stage,
                "type": one.stage_type,
                "status": one.status,
                "reason": one.reason,
                "seconds": one.seconds,
                "counts": dict(one.counts),
                "outputs": to_jsonable_python(dict(one.outputs), fallback=_fallback),
                "dead_letters": [letter.model_dump(mode="json") for letter in one.dead_letters],
                "error": one.trace if one.error else None,
            }
            for one in done
        ],
    }


def _code(done: Iterable[StageDebugged]) -> int:
    statuses = {one.status for one in done}
    if "failed" in statuses:
        return FAILED
    if any(one.dead_letters for one in done):
        return DEAD_LETTERS
    return WAITING if "waiting" in statuses else DONE
