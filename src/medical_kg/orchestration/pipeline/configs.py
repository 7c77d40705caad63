"""Configs of stages: validated, completed by the stage type, and searched for names of conditions and plugins.

The code of a plugin runs here (validators, ``configure``), so anything may be raised; it becomes a problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from medical_kg.orchestration.contract import ConditionRef, PluginName
from medical_kg.orchestration.contract.errors import PluginError, PluginNotFound, near
from medical_kg.orchestration.pipeline.explain import explain, locate
from medical_kg.orchestration.pipeline.problems import Problem

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import NamedCondition
    from medical_kg.orchestration.pipeline.draft import StageDraft
    from medical_kg.orchestration.pipeline.tree import Tree
    from medical_kg.orchestration.registry import Installation, StageType


@dataclass(frozen=True, slots=True)
class Configured:
    """A stage's completed config and the conditions it names; ``config`` is None where there are problems."""

    config: Any = None
    conditions: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def configure(
    stage: StageDraft,
    type_: StageType,
    conditions: Mapping[str, NamedCondition],
    installation: Installation,
    tree: Tree,
) -> Configured:
    """Validate and complete the config of a stage, and look up every name in it."""
    path = (*stage.path, "config")
    try:
        config = type_.metadata.config_model.model_validate(stage.config)
        config = type_.cls.configure(config, stage=stage.name or "", conditions=conditions)
        references = list(_references(config, None, ()))
    except ValidationError as error:
        return _refused(explain(error, type_.metadata.config_model, tree, path))
    except ValueError as error:
        return _refused([tree.problem("MKG040", f"stage {stage.label}: {error}", path, key=True)])
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin's code may raise anything
        return _refused([_failed(stage, type_, f"raised {type(error).__name__}: {error}", tree)])
    if not isinstance(config, type_.metadata.config_model):
        gave = f"configure() returned {type(config).__name__}, not {type_.metadata.config_model.__name__}"
        return _refused([_failed(stage, type_, gave, tree)])
    problems = [problem for one in references if (problem := _lookup(one, stage, conditions, installation, tree))]
    named = tuple(dict.fromkeys(one.name for one in references if one.door is None))
    return Configured(None if problems else config, named, tuple(problems))


def _refused(problems: list[Problem]) -> Configured:
    return Configured(problems=tuple(problems))


def _failed(stage: StageDraft, type_: StageType, what: str, tree: Tree) -> Problem:
    message = (
        f"stage {stage.label}: type {type_.name!r} from {type_.origin} failed while its config was checked: {what}"
    )
    return tree.problem("MKG041", message, (*stage.path, "type"), "report it to the author of the stage type")


@dataclass(frozen=True, slots=True)
class _Reference:
    """A name in a config: of a plugin behind ``door``, or of a condition where that is None."""

    loc: tuple[str | int, ...]
    name: str
    door: str | None


def _references(value: Any, annotation: Any, loc: tuple[str | int, ...]) -> Iterator[_Reference]:
    """Give every name in a value, however deep it stands in models, lists and mappings."""
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield from _references(getattr(value, name), (info.annotation, *info.metadata), (*loc, info.alias or name))
    elif isinstance(value, str):
        yield from _named(value, _markers(annotation), loc)
    elif isinstance(value, (Mapping, list, tuple, set, frozenset)):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _references(inner, annotation, (*loc, key))


def _named(value: str, markers: list[Any], loc: tuple[str | int, ...]) -> Iterator[_Reference]:
    yield from (_Reference(loc, value, marker.door) for marker in markers if isinstance(marker, PluginName))
    if isinstance(value, ConditionRef) or ConditionRef in markers:
        yield _Reference(loc, str(value), None)


def _markers(annotation: Any) -> list[Any]:
    """Return what an annotation is made of, down to the leaves: types and the metadata of ``Annotated``."""
    if isinstance(annotation, tuple):
        return [leaf for part in annotation for leaf in _markers(part)]
    if metadata := getattr(annotation, "__metadata__", ()):
        return [*metadata, *_markers(get_args(annotation)[0])]
    inner = get_args(annotation)
    return [leaf for part in inner for leaf in _markers(part)] if inner else [annotation]


def _lookup(
    one: _Reference,
    stage: StageDraft,
    conditions: Mapping[str, NamedCondition],
    installation: Installation,
    tree: Tree,
) -> Problem | None:
    path = locate(tree, (*stage.path, "config"), one.loc)
    if one.door is None:
        if one.name in conditions:
            return None
        advice = near(one.name, conditions) if conditions else "name the condition under gates"
        return tree.problem("MKG042", f"stage {stage.label}: no condition is named {one.name!r}", path, advice)
    try:
        installation.door(one.door).claim(one.name)
    except PluginNotFound as error:
        message = f"stage {stage.label}: {one.name!r} ({one.door}): {error.reason}"
        return tree.problem("MKG043", message, path, error.advice)
    except PluginError as error:
        return tree.problem("MKG043", f"stage {stage.label}: {error}", path)
    return None
