"""Doors as the command line takes them: by full name or last word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medical_kg.cli import completion
from medical_kg.orchestration.contract.errors import UsageError, near
from medical_kg.orchestration.registry import DOOR_PREFIX

if TYPE_CHECKING:
    from medical_kg.orchestration.registry import Installation

Door = Annotated[
    str | None, typer.Option(help="Only this door, e.g. stages or medical_kg.sources.", autocompletion=completion.doors)
]


def door_named(installation: Installation, given: str) -> str:
    """Return a door by its full name or its last word.

    Raises:
        UsageError: there is no such door.
    """
    doors = installation.doors()
    matching = [door for door in doors if given in (door, door.removeprefix(DOOR_PREFIX), door.rpartition(".")[2])]
    if not matching:
        raise UsageError(f"no door is named {given!r}; {near(given, [door.rpartition('.')[2] for door in doors])}")
    return matching[0]
