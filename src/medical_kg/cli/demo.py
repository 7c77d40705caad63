"""``medical-kg demo``: the sample documents through the main pipeline, then a search and a look at the graph."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from medical_kg.cli.errors import DONE
from medical_kg.cli.state import State, state_of
from medical_kg.orchestration.contract.errors import InputError
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

PIPELINE = "auto"
FOLDER = ".medical-kg-demo"
QUESTIONS: tuple[tuple[str, ...], ...] = (
    ("search", "preventing mosquito-borne infections", "--limit", "4"),
    ("graph", "show", "COVID-19"),
    ("graph", "neighbors", "COVID-19", "--depth", "2", "--limit", "10"),
)
"""Asked about the samples: what several articles speak of, and the node that joins most trials."""


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("demo", epilog=examples("medical-kg demo"))(demo)


def demo(ctx: typer.Context) -> None:
    """Run the sample documents through the main pipeline, search them and ask the graph.

    Works without a network. Everything is kept in the workspace: --workspace, else .medical-kg-demo here.
    """
    from medical_kg.cli.report import finish
    from medical_kg.cli.run import submit

    state = state_of(ctx, others_print=True)
    if state.root is None:
        state.root = Path(FOLDER)
    folder = samples()
    state.note(f"sample documents: {folder}\nworkspace: {state.place.root}\n")
    report = submit(state, PIPELINE, input=str(folder), full_refresh=True, engine="dagster")
    code = finish(state, report, strict=False)
    if code != DONE:
        raise typer.Exit(code)
    for words in QUESTIONS:
        ask(ctx, state, words)
    state.note("\nWhat to try next:")
    for words in _NEXT:
        state.note(f"  {state.command(*words)}")


_NEXT: tuple[tuple[str, ...], ...] = (
    ("search", "your own question"),
    ("submissions", "list"),
    ("dev",),
    ("run", PIPELINE, "--input", "FOLDER"),
)


def samples() -> Path:
    """Return the folder of sample documents: in the installed package, or in the checkout it runs from.

    Raises:
        InputError: this installation has none.
    """
    from importlib.resources import files

    package = Path(str(files("medical_kg")))
    for folder in (package / "samples", package.parents[1] / "samples"):
        if folder.is_dir():
            return folder
    raise InputError(f"this installation has no sample documents (looked in {package / 'samples'}); install it again")


def ask(ctx: typer.Context, state: State, words: Sequence[str]) -> None:
    """Call a command of a package as if it had been typed, and show it with its answer."""
    root: Any = ctx.find_root()
    name, *args = words
    command = root.command.get_command(root, name)
    state.note(f"\n$ {state.command(*words)}")
    if command is None:
        state.note(f"nothing installed provides the command {shlex.quote(name)}")
        return
    with command.make_context(name, args, parent=root) as inner:
        command.invoke(inner)
