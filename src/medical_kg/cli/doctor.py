"""``medical-kg plugins doctor``: what is wrong with which plugin, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medical_kg.cli.errors import DONE, FAILED
from medical_kg.cli.output import plural
from medical_kg.cli.plugged import taken
from medical_kg.cli.state import Json, State, state_of
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from medical_kg.orchestration.diagnosis import Finding

COLUMNS = ("status", "door", "name", "distribution", "version", "import ms")
LIMIT = 30.0


def add_to(app: typer.Typer) -> None:
    """Add the command to ``plugins``."""
    app.command("doctor", epilog=examples("medical-kg plugins doctor"))(examine_plugins)


def examine_plugins(
    ctx: typer.Context,
    *,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the import of one plugin may take.")] = LIMIT,
    json: Json = False,
) -> None:
    """Try every plugin in a process apart, and say what is wrong, why, and what to do.

    It ends with exit code 1 where something is broken, incompatible or in conflict. What is blocked, unused or shadowed
    is so by somebody's choice.
    """
    from medical_kg.orchestration.diagnosis import diagnose

    state = state_of(ctx, json=json)
    own: Mapping[str, Any] = getattr(ctx.find_root().command, "commands", {})
    found = diagnose(state.plugins, timeout_seconds=timeout, own_commands=taken(own))
    if state.json:
        state.print_json([asdict(one) for one in found])
    else:
        _show(state, found)
    raise typer.Exit(FAILED if any(one.is_problem for one in found) else DONE)


def _show(state: State, found: Sequence[Finding]) -> None:
    state.print_table(COLUMNS, map(_row, found), right=("import ms",))
    for one in found:
        if one.reason or one.notes:
            state.print()
            _tell(state, one)
    counted = Counter(one.status for one in found)
    state.print()
    state.print(
        f"{plural(len(found), 'plugin')}: {', '.join(f'{number} {status}' for status, number in counted.items())}"
    )


def _row(one: Finding) -> tuple[str, ...]:
    tried = "" if one.seconds is None else f"{one.seconds * 1000:.0f}"
    return one.status, one.door.rpartition(".")[2], one.name, one.distribution, one.version, tried


def _tell(state: State, one: Finding) -> None:
    state.print(f"{_what(one)} is {one.status}{': ' if one.reason else ''}{one.reason}")
    if one.remedy:
        state.print(f"  to do: {one.remedy}")
    if one.reason and one.place:
        state.print(f"  written in {one.place}")
    for note in one.notes:
        state.print(f"  note: {note}")
    if state.verbose and one.detail:
        state.print(one.detail.rstrip())


def _what(one: Finding) -> str:
    if one.door:
        return f"{one.name} ({one.door}) from {one.distribution} {one.version}".strip()
    return f"the preference {one.name} = {one.distribution!r}" if one.name else one.distribution
