"""``medical-kg workspace``: where everything is kept, and keeping it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from medical_kg.cli.output import plural
from medical_kg.cli.state import Json, State, state_of

app = typer.Typer(help="See where everything is kept, and back it up.", no_args_is_help=True)


@app.command("info")
def info(ctx: typer.Context, *, json: Json = False) -> None:
    """Show the workspace's folder, settings, database and how many submissions it holds."""
    state = state_of(ctx, json=json)
    facts = _facts(state)
    if state.json:
        state.print_json(facts)
        return
    for name, value in facts.items():
        state.print(f"{name + ':':<14} {_shown(value)}")


Target = Annotated[
    Path, typer.Argument(help="A folder that is not there yet, or a file ending in .tar, .tar.gz or .tgz.")
]


@app.command("backup")
def back_up(ctx: typer.Context, target: Target, *, json: Json = False) -> None:
    """Copy database, checkpoints, files and pipelines to a place from which they can be restored; runs go on."""
    from medical_kg.orchestration import backup

    state = state_of(ctx, json=json)
    made = backup(state.workspace, target)
    if state.json:
        state.print_json(asdict(made))
    else:
        what = f"{plural(made.checkpoints, 'checkpoint')}, {plural(made.files, 'file')}, {plural(made.size, 'byte')}"
        state.print(f"{made.target}: the database, {what}; verified")
    if made.absent:
        state.note(f"{plural(made.absent, 'checkpoint')} that the ledger mentions are not in the store any more")
    for problem in made.damaged:
        state.note(f"left out: {problem}")
    if made.damaged:
        raise typer.Exit(1)


def _facts(state: State) -> dict[str, Any]:
    place = state.place
    return {
        "workspace": str(place.root),
        "exists": state.exists,
        "settings": None if place.settings_path is None else str(place.settings_path),
        "database": without_password(place.database_url),
        "checkpoints": place.settings("workspace").get("checkpoints") or str(place.root / "checkpoints"),
        "pipelines": [str(folder) for folder in place.pipeline_folders],
        "submissions": _submissions(state),
        "size": sum(path.stat().st_size for path in place.root.rglob("*") if path.is_file()),
    }


def _submissions(state: State) -> dict[str, int]:
    # Opening the ledger makes the database; looking must not.
    url, folder = state.place.database_url, state.place.root
    if not state.exists or (url == f"sqlite:///{folder / 'medical-kg.db'}" and not (folder / "medical-kg.db").exists()):
        return {}
    return dict(Counter(one.status for one in state.place.ledger.submissions(limit=1_000_000)))


def without_password(url: str) -> str:
    """Return a database URL with its password hidden."""
    return re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", url)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {status}" for status, count in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no, nothing has been run in it yet"
    return plural(value, "byte") if isinstance(value, int) else value or "none"
