"""``--set stage.field=value``: values of stage configs replaced for one run, checked like the file itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import UsageError, near
from medical_kg.orchestration.pipeline.load import LoadFailed, Tree, parse
from medical_kg.orchestration.pipeline.problems import Path, Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def parse_override(text: str) -> tuple[str, Any]:
    """Return target (``stage.field``, the field may be dotted) and value of ``stage.field=value``; the value is YAML.

    Raises:
        UsageError: the text has another form, or its value is not YAML.
    """
    target, equals, value = text.partition("=")
    if not equals or not _is_target(target.strip()):
        msg = f"--set {text!r} must look like stage.field=value, e.g. --set mystage.size=128"
        raise UsageError(msg)
    return target.strip(), yaml_value(value, f"--set {target.strip()}")


def yaml_value(text: str, where: str) -> Any:
    """Return the value of a YAML text, read as pipeline files are; ``where`` says in errors what it was given for.

    Raises:
        UsageError: it is not YAML.
    """
    try:
        return parse(text, where).value
    except LoadFailed as error:
        raise UsageError(f"{where}: {text!r} is not a YAML value: {error}") from error


def apply(overrides: Mapping[str, Any], tree: Tree) -> list[Problem]:
    """Put the overrides into the tree; what they set is placed at ``--set …``. Return those that cannot be applied."""
    return [problem for target, value in overrides.items() if (problem := _apply(target, value, tree)) is not None]


def _is_target(target: str) -> bool:
    parts = target.split(".")
    return len(parts) > 1 and all(parts)


def _apply(target: str, value: Any, tree: Tree) -> Problem | None:
    place = Place(f"--set {target}={json.dumps(value, default=str)}", 0, 0)
    if not _is_target(target):
        message = f"{target!r} is not a field of a stage"
        return Problem.at(
            place, "MKG080", message, (), "write stage.field: the name of a stage, a dot, and a field of its config"
        )
    stage, *fields = target.split(".")
    found = dict(_stages(tree.value))
    if stage not in found:
        return Problem.at(place, "MKG080", f"no stage is named {stage!r}", (), near(stage, found))
    path = ("stages", found[stage])
    _graft(tree.value["stages"][found[stage]], path, ("config", *fields), value, tree, place)
    return None


def _stages(value: dict[str, Any]) -> Iterator[tuple[str, int]]:
    listed = value.get("stages")
    for index, raw in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(raw, dict) and isinstance(raw.get("name"), str):
            yield raw["name"], index


def _graft(target: dict[str, Any], path: Path, fields: tuple[str, ...], value: Any, tree: Tree, place: Place) -> None:
    for name in fields[:-1]:
        path = (*path, name)
        inner = target.get(name)
        if not isinstance(inner, dict):
            tree.values[path] = tree.keys[path] = place
        target[name] = dict(inner) if isinstance(inner, dict) else {}
        target = target[name]
    path = (*path, fields[-1])
    target[fields[-1]] = value
    for places in (tree.values, tree.keys):
        for known in [known for known in places if known[: len(path)] == path]:
            del places[known]
    _mark(value, path, tree, place)


def _mark(value: Any, path: Path, tree: Tree, place: Place) -> None:
    tree.values[path] = tree.keys[path] = place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        _mark(child, (*path, key), tree, place)
