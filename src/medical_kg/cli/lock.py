"""``medical-kg plugins lock`` and ``verify``: the plugins written down, and held against what was written."""

from __future__ import annotations

from dataclasses import asdict

import typer

from medical_kg.cli.errors import DONE, FAILED
from medical_kg.cli.output import plural
from medical_kg.cli.state import Json, state_of
from medical_kg.orchestration.contract.usage import examples

COLUMNS = ("door", "name", "what", "locked", "now")


def add_to(app: typer.Typer) -> None:
    """Add the commands to ``plugins``."""
    app.command("lock", epilog=examples("medical-kg plugins lock"))(write_lock)
    app.command("verify", epilog=examples("medical-kg plugins verify"))(verify_lock)


def write_lock(ctx: typer.Context, *, json: Json = False) -> None:
    """Write medical_kg.lock: distribution, version and hashes of every plugin that can be used.

    What cannot be used is left out and named.
    """
    from medical_kg.orchestration.lock import lock_path, lock_plugins

    state = state_of(ctx, json=json)
    lock, left_out = lock_plugins(state.place)
    path, count = lock_path(state.place), sum(map(len, lock.plugins.values()))
    if state.json:
        state.print_json({"file": str(path), "plugins": count, "left_out": left_out})
        return
    state.print(f"{path}: {plural(count, 'plugin')}")
    for reason in left_out:
        state.note(f"left out: {reason}")


def verify_lock(ctx: typer.Context, *, json: Json = False) -> None:
    """Hold the installed plugins against medical_kg.lock and name each difference; exit code 1 if there is any."""
    from medical_kg.orchestration.lock import lock_path, verify_plugins

    state = state_of(ctx, json=json)
    found = verify_plugins(state.place)
    if state.json:
        state.print_json([asdict(one) for one in found])
    elif found:
        state.print_table(COLUMNS, ((one.door, one.name, one.field, one.old, one.new) for one in found))
    else:
        state.print(f"the plugins are as {lock_path(state.place)} says")
    raise typer.Exit(FAILED if found else DONE)
