"""What the shell offers for names: of pipelines, plugins, submissions, stages. Nothing is written, and no plugin imported.

Whatever goes wrong here offers nothing: an error in the middle of a command line helps nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import typer

from medical_kg.cli.state import State

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.glance import Glimpse

MOST = 50
"""How many submissions are offered, the newest."""

Offer = tuple[str, str]
"""A value, and what a shell may show beside it."""


def _offering(find: Callable[[State, typer.Context], Iterable[Offer]]) -> Callable[[typer.Context, str], list[Offer]]:
    """Return the form that typer takes: what begins with what was typed, and nothing where that cannot be found."""

    @wraps(find)
    def offer(ctx: typer.Context, incomplete: str) -> list[Offer]:
        try:
            return [(name, said) for name, said in find(_state(ctx), ctx) if name.startswith(incomplete)]
        except Exception:  # noqa: BLE001  # see the module's docstring
            return []

    # What typer reads are the names and types of the arguments.
    del offer.__wrapped__
    offer.__annotations__ = {"ctx": typer.Context, "incomplete": str}
    return offer


def _state(ctx: typer.Context) -> State:
    root = ctx.find_root()
    state = root.obj if isinstance(root.obj, State) else State()
    # The global options have been parsed, not acted upon.
    state.root = state.root or root.params.get("workspace")
    return state


@_offering
def pipelines(state: State, _: typer.Context) -> Iterator[Offer]:
    """Pipelines that can be named."""
    from medical_kg.cli.pipelines import catalog_of

    for entry in catalog_of(state).entries():
        yield entry.name, entry.description()


@_offering
def plugins(state: State, ctx: typer.Context) -> Iterator[Offer]:
    """Names behind every door, or behind the one that is named."""
    from medical_kg.cli.doors import door_named

    asked = ctx.params.get("door")
    doors = state.plugins.doors() if asked is None else [door_named(state.plugins, asked)]
    found = {claim.origin.name: claim.origin for door in doors for claim in state.plugins.door(door).claims()}
    for name in sorted(found):
        yield name, f"{found[name].door.rpartition('.')[2]} of {found[name].distribution}"


@_offering
def doors(state: State, _: typer.Context) -> Iterator[Offer]:
    """Doors, by their last word."""
    for door in state.plugins.doors():
        yield door.rpartition(".")[2], door


@_offering
def codes(_: State, __: typer.Context) -> Iterator[Offer]:
    """Codes of the check."""
    from medical_kg.orchestration.pipeline.problems import KINDS

    for code, kind in KINDS.items():
        yield code, kind.title


@_offering
def submissions(state: State, _: typer.Context) -> Iterator[Offer]:
    """The newest submissions."""
    for one in _submissions(state):
        yield one.id, f"{one.pipeline} {one.status}"


@_offering
def stages(state: State, ctx: typer.Context) -> Iterator[Offer]:
    """Stages of the submission that is named, else of every pipeline that was run lately."""
    from medical_kg.orchestration.pipeline.load import load

    given = str(ctx.params.get("ident") or ctx.params.get("batch") or ctx.params.get("submission") or "")
    found = _submissions(state)
    mine = [one for one in found if given and (one.id.startswith(given) or given.startswith(one.id))]
    for path in dict.fromkeys(one.pipeline_path for one in mine or found):
        for stage in load(Path(path))[1].value["stages"]:
            yield stage["name"], stage["type"]


def _submissions(state: State) -> list[Glimpse]:
    from medical_kg.orchestration.ledger.glance import Glimpse, glance

    url = state.place.database_url
    if url.startswith("sqlite:///"):
        return glance(Path(unquote(url.removeprefix("sqlite:///"))), MOST)
    found = state.place.ledger.submissions(limit=MOST)
    return [Glimpse(one.id, one.pipeline, one.status, one.pipeline_path) for one in found]
