"""``medical-kg plugins``: what is installed behind every door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.cli import completion, doctor, lock, new, why
from medical_kg.cli.doors import Door, door_named
from medical_kg.cli.plugged import shadowed
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.errors import PluginNotFound, near
from medical_kg.orchestration.contract.usage import examples
from medical_kg.orchestration.registry import STAGES

if TYPE_CHECKING:
    from medical_kg.orchestration.registry import Claim, Installation

app = typer.Typer(help="See what is installed behind every door.", no_args_is_help=True)
app.add_typer(new.app, name="new")

COLUMNS = ("door", "name", "distribution", "version", "status", "object")


@app.command("list", epilog=examples("medical-kg plugins list", "medical-kg plugins list --door stages"))
def list_plugins(ctx: typer.Context, *, door: Door = None, json: Json = False) -> None:
    """List every plugin with its origin, without importing any."""
    state = state_of(ctx, json=json)
    doors = state.plugins.doors() if door is None else [door_named(state.plugins, door)]
    rows = [_row(state, ctx, claim) for name in doors for claim in state.plugins.door(name).claims()]
    if state.json:
        state.print_json(rows)
        return
    state.print_table(COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
    for row in rows:
        if row["reason"]:
            state.note(f"{row['name']} ({row['door']}) is {row['status']}: {row['reason']}")


def _row(state: State, ctx: typer.Context, claim: Claim) -> dict[str, str]:
    origin = claim.origin
    status: str
    status, reason = state.plugins.door(origin.door).standing(claim)
    built_in: Mapping[str, Any] = getattr(ctx.find_root().command, "commands", {})
    if claim.usable and shadowed(claim, built_in):
        status, reason = "shadowed", "a built-in command has this name"
    return {
        "door": origin.door,
        "name": origin.name,
        "distribution": origin.distribution,
        "version": origin.version,
        "status": status,
        "reason": reason,
        "object": origin.object,
    }


@app.command("show", epilog=examples("medical-kg plugins show chunk", "medical-kg plugins show chunk --docs"))
def show_plugin(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A plugin's name, or distribution:name.", autocompletion=completion.plugins
        ),
    ],
    *,
    door: Door = None,
    docs: Annotated[bool, typer.Option("--docs", help="Print its page of reference, in Markdown.")] = False,
    json: Json = False,
) -> None:
    """Load a plugin and show what it is: its metadata, config, and where it comes from."""
    state = state_of(ctx, json=json)
    doors = _doors_with(state.plugins, name, door)
    if docs:
        from medical_kg.orchestration.inspection.reference import plugin_page

        pages = [plugin_page(state.plugins, found, name) for found in doors]
        state.print_json([*map(str, pages)]) if state.json else state.print("\n".join(pages).rstrip())
        return
    from medical_kg.cli.describe import describe

    described = [describe(state.plugins, found, name) for found in doors]
    if state.json:
        state.print_json(described if len(described) > 1 else described[0])
        return
    for facts in described:
        _show(state, facts)


def _doors_with(installation: Installation, name: str, door: str | None) -> list[str]:
    if door is not None:
        return [door_named(installation, door)]
    plain = name.rpartition(":")[2]
    claimed = {
        found: [claim.origin.name for claim in installation.door(found).claims()] for found in installation.doors()
    }
    if doors := [found for found, names in claimed.items() if plain in names]:
        return doors
    everything = [known for names in claimed.values() for known in names]
    raise PluginNotFound("any door", name, "no installed distribution provides it", near(plain, everything))


def _show(state: State, facts: Mapping[str, Any]) -> None:
    state.print(f"{facts['name']} ({facts['door']})")
    for name, value in facts.items():
        if name not in ("name", "door", "config", "config_error", "options") and value not in (None, "", [], {}):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            state.print(f"  {name + ':':<15} {shown}")
    for title in ("config", "options"):
        if fields := facts.get(title):
            state.print(f"  {title}:")
            rows = [
                ("  ", one["field"], one["type"], one["default"], one["constraints"], one["description"])
                for one in fields
            ]
            state.print_table(("  ", "field", "type", "default", "must be", "description"), rows)
    if facts["door"] == STAGES and not facts.get("config"):
        state.print(f"  {'config:':<15} none")
    state.print()


doctor.add_to(app)
lock.add_to(app)
why.add_to(app)
