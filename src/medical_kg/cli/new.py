"""``medical-kg plugins new``: the start of a plugin of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.metadata import Mode
from medical_kg.orchestration.contract.usage import examples

app = typer.Typer(help="Write the start of a plugin of your own.", no_args_is_help=True)


@app.callback()
def new() -> None:
    """Write the start of a plugin of your own."""


@app.command(
    "stage",
    epilog=examples(
        "medical-kg plugins new stage word-count --reads documents --writes word_counts",
        "medical-kg plugins new stage word-count --reads documents --local",
    ),
)
def stage(  # one argument per option
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The stage type, e.g. word-count.")],
    *,
    mode: Annotated[Mode, typer.Option(help="What the engine calls it with.")] = "item",
    reads: Annotated[str, typer.Option(metavar="KEY,…", help="State keys it reads, e.g. documents.")] = "",
    writes: Annotated[str, typer.Option(metavar="KEY,…", help="State keys it writes.")] = "",
    into: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where to put it.  [default: here; --local: beside medical_kg.toml]"),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Write one module of this project instead of a package.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a package with a new stage type, its config, state keys, tests and a pipeline that uses it.

    It installs and passes its tests as it is. State keys that installed stage types use are imported, others defined.
    """
    from medical_kg.scaffold import new_stage

    state = state_of(ctx, json=json)
    home = state.place.settings_path.parent if local and state.place.settings_path else None
    made = new_stage(
        name,
        mode=mode,
        reads=_names(reads),
        writes=_names(writes),
        into=into or home,
        local=local,
        home=home,
        installation=state.plugins,
    )
    if state.json:
        found = {"folder": made.folder, "files": list(map(str, made.files)), "commands": made.commands}
        state.print_json({**found, "settings": made.settings, "notes": made.notes})
        return
    for file in made.files:
        state.print(str(made.folder / file))
    for note in made.notes:
        state.note(f"note: {note}")
    if made.settings:
        _add_settings(state, made.settings)
    state.print("\nNext:")
    for command in made.commands:
        state.print(f"  {command}")


def _add_settings(state: State, lines: str) -> None:
    path = state.place.settings_path
    state.print(f"\nAdd to {path or 'medical_kg.toml, beside the module'}:")
    for line in lines.splitlines():
        state.print(f"  {line}")


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",")] if given.strip() else []
