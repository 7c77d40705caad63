"""``medical-kg workspace``: where everything is kept, and keeping it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.cli.output import moment, plural
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from medical_kg.orchestration import Upgrade

app = typer.Typer(help="See where everything is kept, back it up, prune and upgrade it.", no_args_is_help=True)


@app.command("info", epilog=examples("medical-kg workspace info"))
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
    Path,
    typer.Argument(metavar="TARGET", help="A folder that is not there yet, or a file ending in .tar, .tar.gz or .tgz."),
]


@app.command("backup", epilog=examples("medical-kg workspace backup ../backup.tar.gz"))
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


@app.command("upgrade", epilog=examples("medical-kg workspace upgrade --check", "medical-kg workspace upgrade"))
def upgrade_workspace(
    ctx: typer.Context,
    *,
    check: Annotated[bool, typer.Option("--check", help="Only look; exit code 1 when something is due.")] = False,
    json: Json = False,
) -> None:
    """Bring ledger, index and graph to the schemas of this release, those of every tenant.

    Whatever opens one of them does so too; this does all of them now, and tells.
    """
    from medical_kg.orchestration import upgrade

    state = state_of(ctx, json=json)
    parts = upgrade(state.workspace, dry_run=check)
    due = [one for one in parts if one.is_due]
    if state.json:
        state.print_json([{**asdict(one), "due": one.is_due} for one in parts])
    else:
        said = "is due" if check else "done"
        lines = [f"tenant {one.tenant}: {one.part} {one.found} to {one.version} {said}" for one in due]
        state.print("\n".join(lines or [f"nothing is due: {_schemas(parts)}"]))
    if check and due:
        raise typer.Exit(1)


def _schemas(parts: list[Upgrade]) -> str:
    """Return the schemas of the parts in words."""
    return ", ".join(dict.fromkeys(f"{one.part} {one.version}" for one in parts)) or "nothing is kept yet"


OlderThan = Annotated[
    str | None,
    typer.Option(metavar="AGE", help="Prune what was finished longer ago than this: 30d, 12h, 2w.", show_default=False),
]
Compact = Annotated[
    bool | None,
    typer.Option("--compact/--no-compact", help="Make SQLite's files smaller afterwards.", show_default=False),
]


@app.command(
    "prune",
    epilog=examples("medical-kg workspace prune --older-than 12h --dry-run", "medical-kg workspace prune --compact"),
)
def prune_workspace(
    ctx: typer.Context,
    *,
    older_than: OlderThan = None,
    compact: Compact = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    json: Json = False,
) -> None:
    """Take away stored results, downloaded files and Dagster runs of what was finished long enough ago.

    What an unfinished batch needs stays. Unless told otherwise by [prune] in medical_kg.toml, 30 days are long enough.
    """
    from medical_kg.orchestration import prune

    state = state_of(ctx, json=json)
    age = None if older_than is None else _age(older_than)
    done = prune(state.workspace, older_than=age, dry_run=dry_run, compact=compact)
    if state.json:
        state.print_json(asdict(done))
        return
    state.print(f"{'would prune' if dry_run else 'pruned'} what was finished before {moment(done.before)}:")
    for name in ("checkpoints", "files", "leftovers"):
        amount = getattr(done, name)
        state.print(f"  {name + ':':<14} {amount.number:,}, {plural(amount.size, 'byte')}")
    state.print(f"  {'dagster runs:':<14} {done.runs:,}")
    state.print(f"  {'item results:':<14} {done.item_results:,}")
    if done.compacted is not None:
        state.print(f"databases are {plural(done.compacted, 'byte')} smaller")
    if done.submissions:
        verb = "would no longer have" if dry_run else "no longer have"
        state.note(
            f"{plural(len(done.submissions), 'submission')} {verb} stored results; their counts and history stay"
        )


def _age(text: str) -> timedelta:
    from medical_kg.orchestration.workspace import age_of

    try:
        return age_of(text)
    except ValueError as error:
        raise UsageError(f"--older-than {error}") from error


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
    """Return a database URL with its password hidden, and without its options, where one may stand too."""
    if "://" not in url:
        return "not a database URL"
    # To the last @: a password may hold any of the characters that end it, though it should not.
    return re.sub(r"(://[^/@:]*):.*@", r"\1:***@", url).partition("?")[0]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {status}" for status, count in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no, nothing has been run in it yet"
    return plural(value, "byte") if isinstance(value, int) else value or "none"
