"""``medical-kg workspace``: where everything is kept."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import typer

from medical_kg.cli.output import plural
from medical_kg.cli.state import Json, State, state_of

app = typer.Typer(help="See where everything is kept.", no_args_is_help=True)


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
