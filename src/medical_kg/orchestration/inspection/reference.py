"""A page of reference for any installed plugin, in Markdown, from what it says of itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from medical_kg.orchestration.contract import SERVICES
from medical_kg.orchestration.inspection.facts import config_fields, counts_of, first_paragraph, place, said_by
from medical_kg.orchestration.registry import STAGES, StageType

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageMetadata, StateKey
    from medical_kg.orchestration.registry import Installation, Origin

MODES = {
    "batch": "`batch`: it sees the whole of what it reads",
    "item": "`item`: it is called per item; an item that fails is left out alone",
    "stream": "`stream`: it feeds the pipeline, page by page",
}


def plugin_page(installation: Installation, door: str, name: str, *, installed: bool = True) -> str:
    """Load a plugin and return its page, in Markdown.

    Args:
        installation: every door.
        door: the door's full name.
        name: the plugin's name, or ``distribution:name``.
        installed: tell too what is so of this installation only: the distribution's version, file and line.

    Raises:
        PluginError: it cannot be loaded.
    """
    registry = installation.door(door)
    loaded, origin = registry.get(name), registry.claim(name).origin
    if isinstance(loaded, StageType):
        parts, thing = [*_stage(loaded.metadata)], loaded.cls
    else:
        parts, thing = [*_other(loaded, origin)], loaded
    where = _provenance(
        origin, str(origin) if installed else origin.distribution, place(thing, origin) if installed else ""
    )
    return "\n\n".join([f"# `{origin.name}`", *parts, where]) + "\n"


def _stage(metadata: StageMetadata) -> Iterator[str]:
    yield metadata.description
    yield table(("", ""), _facts(metadata))
    yield "## Reads"
    yield _keys(metadata.read_keys, metadata.optional_keys) or "It reads nothing."
    yield "## Writes"
    yield _keys(metadata.writes, ()) or "It writes nothing."
    yield "## Counts"
    names = ", ".join(f"`{name}`" for name in counts_of(metadata))
    told = "Its counter names them from what it has written, so they are known when it has run."
    yield names or (told if metadata.writes or metadata.output_counter else "It counts nothing.")
    yield "## Config"
    yield from _config(metadata.config_model, "It takes no config.")


def _facts(metadata: StageMetadata) -> Iterator[tuple[str, str]]:
    yield "type", f"`{metadata.stage_type}`"
    yield "version of its behaviour", metadata.version
    yield "mode", MODES[metadata.mode]
    if metadata.items_per_call:
        yield "items per call", f"up to {metadata.items_per_call}"
    if metadata.flat:
        yield "output", "one item may give any number of records"
    if metadata.cacheable:
        yield "cacheable", "equal input and config always give equal output"
    if metadata.keeps:
        yield "keeps", "what it writes to the outside; `documents forget` removes it there"
    own = f"`{metadata.default_policy}`" if metadata.default_policy else "`default`"
    yield "policy", f"{own}, unless the pipeline names one"
    yield "needs", "; ".join(f"`{name}` ({SERVICES.get(name, 'unknown')})" for name in metadata.needs) or "nothing"


def _keys(keys: Iterable[StateKey[Any]], optional: Iterable[StateKey[Any]]) -> str:
    lacking = set(optional)
    rows = [
        (
            f"`{key.name}`",
            f"`{str(key).partition(': ')[2]}`",
            "may be missing" if key in lacking else "",
            key.description,
        )
        for key in keys
    ]
    return table(("key", "type", "", "holds"), rows) if rows else ""


def _config(model: type[BaseModel], none: str) -> Iterator[str]:
    fields = config_fields(model)
    if not fields:
        yield none
        return
    if said := first_paragraph(model):
        yield said
    rows = [(f"`{one.field}`", f"`{one.type}`", f"`{one.default}`", one.constraints, one.description) for one in fields]
    yield table(("field", "type", "default", "must be", "meaning"), rows)


def _other(plugin: Any, origin: Origin) -> Iterator[str]:
    """Give what a plugin of another door says of itself: docstring, class constants, models of options."""
    if said := said_by(plugin, origin):
        yield said
    if not inspect.isclass(plugin):
        return
    public = {name: getattr(plugin, name) for name in dir(plugin) if not name.startswith("_")}
    rows = [(name, f"`{value!r}`") for name, value in public.items() if isinstance(value, (str, int, tuple))]
    if rows:
        yield table(("", ""), rows)
    for name, value in public.items():
        if isinstance(value, type) and issubclass(value, BaseModel):
            yield f"## {name.removesuffix('_model').replace('_', ' ').capitalize()}"
            yield from _config(value, "It takes none.")


def _provenance(origin: Origin, distribution: str, file: str) -> str:
    where = {"distribution": distribution, "entry point": f'`{origin.name} = "{origin.object}"` in `{origin.door}`'}
    if origin.source:
        where["source"] = f"sha256 `{origin.source}`"
    if file:
        where["defined at"] = f"`{file}`"
    return f"## Where it comes from\n\n{table(('', ''), where.items())}"


def stage_pages(installation: Installation, distribution: str) -> Mapping[str, str]:
    """Return the page of every stage type of a distribution, by name, without what is so of this installation only."""
    names = [
        claim.origin.name
        for claim in installation.door(STAGES).claims()
        if claim.usable and claim.origin.distribution == distribution
    ]
    return {name: plugin_page(installation, STAGES, f"{distribution}:{name}", installed=False) for name in names}


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    first = list(heads)
    lines = [first, ["---"] * len(first), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
