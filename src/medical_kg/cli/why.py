"""``medical-kg plugins why``: what a name means, and what decided."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from medical_kg.cli import completion
from medical_kg.cli.doors import Door, door_named
from medical_kg.cli.errors import WRONG_REQUEST
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from medical_kg.orchestration.explanation import Explanation

COLUMNS = ("status", "distribution", "version", "object", "written in", "reason")


def add_to(app: typer.Typer) -> None:
    """Add the command to ``plugins``."""
    app.command("why", epilog=examples("medical-kg plugins why chunk"))(explain_name)


def explain_name(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="TYPE", help="A plugin's name, or distribution:name.", autocompletion=completion.plugins
        ),
    ],
    *,
    door: Door = None,
    json: Json = False,
) -> None:
    """Tell which plugin a name means and why: every claim to it, and what decided.

    The plugin it means is tried in a process apart. It ends with exit code 2 where nothing can be chosen.
    """
    from medical_kg.orchestration.diagnosis import explain_plugin

    state = state_of(ctx, json=json)
    chosen = None if door is None else door_named(state.plugins, door)
    found = explain_plugin(state.plugins, name, door=chosen)
    if state.json:
        state.print_json([asdict(one) for one in found])
    else:
        for one in found:
            _show(state, one)
    if any(one.chosen is None for one in found):
        raise typer.Exit(WRONG_REQUEST)


def _show(state: State, one: Explanation) -> None:
    asked = f"{one.distribution}:{one.name}" if one.distribution else one.name
    state.print(f"{asked} ({one.door})")
    if one.preferred:
        state.print(f"  preferred: {one.preferred}, by [plugins.prefer]")
    if one.found:
        rows = [
            (f.status, f.origin.distribution, f.origin.version, f.origin.object, f.place, f.reason) for f in one.found
        ]
        state.print_table(COLUMNS, rows)
    state.print(f"  chosen: {one.chosen or 'nothing'}, because {one.reason}")
    if one.advice:
        state.print(f"  to do:  {one.advice}")
    state.print()
