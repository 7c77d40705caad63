"""What a stage type says of a config: the part of the check that runs the plugin's code, in whatever process that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from medical_kg.orchestration.contract import ConditionRef, PluginName
from medical_kg.orchestration.contract.errors import PluginError, PluginNotFound
from medical_kg.orchestration.contract.foreign import message_of, said
from medical_kg.orchestration.contract.secrets import WRITTEN_OUT, conceal_in
from medical_kg.orchestration.interruption import watched

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import NamedCondition
    from medical_kg.orchestration.registry import Installation, StageType

Details = Mapping[str, Any]
"""One of pydantic's errors; ``known`` names the fields there are where one is unknown."""
Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """A plugin that a config names at ``loc`` and that cannot be had."""

    loc: Loc
    message: str
    advice: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a config.

    Attributes:
        config: completed, or None where anything is wrong.
        errors: what pydantic found wrong.
        refused: why the stage type cannot complete it.
        failed: what went wrong in the stage type's own code.
        conditions: the names of conditions in it, with their places.
        missing: the plugins it names that are not there.
    """

    config: Any = None
    errors: tuple[Details, ...] = ()
    refused: str = ""
    failed: str = ""
    conditions: tuple[tuple[Loc, str], ...] = ()
    missing: tuple[Missing, ...] = ()


def judge(
    type_: StageType,
    given: Mapping[str, Any],
    *,
    stage: str,
    conditions: Mapping[str, NamedCondition],
    installation: Installation,
) -> Verdict:
    """Validate and complete the config of a stage, and look up the plugins it names; whatever its code raises is told."""
    with watched() as watch:
        try:
            return _judge(type_, given, stage, conditions, installation)
        except BaseException as error:  # noqa: BLE001  # a plugin's code may raise anything
            watch.check()
            return Verdict(failed=f"raised {said(error)}")


def _judge(
    type_: StageType,
    given: Mapping[str, Any],
    stage: str,
    conditions: Mapping[str, NamedCondition],
    installation: Installation,
) -> Verdict:
    model = type_.metadata.config_model
    config: Any = None
    try:
        config = model.model_validate(given)
        conceal_in(config)
        if wrong := (*_coerced(given, config, ()), *_written_out(given, config, ())):
            return _naming(Verdict(errors=wrong), _references(config, None, ()), installation)
        config = type_.cls.configure(config, stage=stage, conditions=conditions)
    except ValidationError as error:
        return _naming(Verdict(errors=tuple(details_of(error, model))), _sound(error, model, given), installation)
    except ValueError as error:
        return _naming(Verdict(refused=message_of(error)), _references(config, None, ()), installation)
    if not isinstance(config, model):
        return Verdict(failed=f"configure() returned {type(config).__name__}, not {model.__name__}")
    return _naming(Verdict(config=config), _references(config, None, ()), installation)


def _coerced(given: Any, taken: Any, loc: Loc) -> Iterator[Details]:
    """Give an error for each ``true`` or ``false`` that pydantic took for the number 1 or 0."""
    if isinstance(given, bool) and isinstance(taken, (int, float)) and not isinstance(taken, bool):
        yield {"type": "int_type", "loc": loc, "msg": "Input should be a number", "input": given}
    for step, inner, kept in _pairs(given, taken):
        yield from _coerced(inner, kept, (*loc, step))


def _written_out(given: Any, taken: Any, loc: Loc) -> Iterator[Details]:
    """Give an error for each secret of pydantic's that stands in the file, and so would stand in the ledger."""
    if isinstance(taken, (SecretStr, SecretBytes)):
        yield {
            "type": "value_error",
            "loc": loc,
            "msg": f"{WRITTEN_OUT}, which needs a field of the type Secret",
            "input": given,
        }
        return
    for step, inner, kept in _pairs(given, taken):
        yield from _written_out(inner, kept, (*loc, step))


def _pairs(given: Any, taken: Any) -> Iterator[tuple[str | int, Any, Any]]:
    """Give what stands in a value of the file, with what was taken of it, and the way there."""
    if isinstance(given, Mapping) and isinstance(taken, BaseModel):
        for name, info in type(taken).model_fields.items():
            if (key := info.alias or name) in given:
                yield key, given[key], getattr(taken, name)
    elif isinstance(given, Mapping) and isinstance(taken, Mapping):
        for key in given.keys() & taken.keys():
            yield key, given[key], taken[key]
    elif isinstance(given, list) and isinstance(taken, (list, tuple)):
        for index, (inner, kept) in enumerate(zip(given, taken, strict=False)):
            yield index, inner, kept


def _naming(verdict: Verdict, references: Iterable[_Reference], installation: Installation) -> Verdict:
    found = list(references)
    return replace(
        verdict,
        conditions=tuple((one.loc, one.name) for one in found if one.door is None),
        missing=tuple(missing for one in found if one.door and (missing := _missing(one, installation))),
    )


def _sound(error: ValidationError, model: type[BaseModel], given: Mapping[str, Any]) -> Iterator[_Reference]:
    """Give the names in the fields that nothing is wrong with: a mistake in one field does not hide one in another."""
    wrong = {details["loc"][0] for details in error.errors(include_url=False, include_input=False) if details["loc"]}
    for name, info in model.model_fields.items():
        key = info.alias or name
        if key in given and key not in wrong:
            yield from _references(given[key], (info.annotation, *info.metadata), (key,))


def details_of(error: ValidationError, model: Any) -> Iterator[Details]:
    """Give pydantic's errors, and to those about unknown fields the names of the fields there are."""
    for details in error.errors(include_url=False, include_context=False):
        if details["type"] == "extra_forbidden":
            yield {**details, "known": field_names(model, details["loc"][:-1])}
        else:
            yield {**details}


def field_names(model: Any, loc: Iterable[str | int]) -> list[str]:
    """Return the field names that ``model`` allows at a location inside it."""
    models = [model]
    for part in loc:
        models = [inner for outer in models for inner in _inside(outer, part)]
    return sorted({info.alias or name for one in models for name, info in one.model_fields.items()})


def _inside(model: type[BaseModel], part: str | int) -> Iterator[type[BaseModel]]:
    named = [info for name, info in model.model_fields.items() if part in (name, info.alias)]
    if named:
        for info in named:
            yield from _models_in(info.annotation)
    else:
        yield model  # a list position, or a part that stands for no key


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


@dataclass(frozen=True, slots=True)
class _Reference:
    """A name in a config: of a plugin behind ``door``, or of a condition where that is None."""

    loc: Loc
    name: str
    door: str | None


def _references(value: Any, annotation: Any, loc: Loc) -> Iterator[_Reference]:
    """Give every name in a value, however deep it stands in models, lists and mappings."""
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield from _references(getattr(value, name), (info.annotation, *info.metadata), (*loc, info.alias or name))
    elif isinstance(value, str):
        yield from _named(value, _markers(annotation), loc)
    elif isinstance(value, (Mapping, list, tuple, set, frozenset)):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _references(inner, annotation, (*loc, key))


def plugins_named(config: BaseModel) -> list[tuple[str, str]]:
    """Return the plugins that a config names, as door and name."""
    return [(one.door, one.name) for one in _references(config, None, ()) if one.door is not None]


def _named(value: str, markers: list[Any], loc: Loc) -> Iterator[_Reference]:
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


def _missing(one: _Reference, installation: Installation) -> Missing | None:
    assert one.door is not None  # noqa: S101  # asked for plugins only
    try:
        installation.door(one.door).claim(one.name)
    except PluginNotFound as error:
        return Missing(one.loc, f"{one.name!r} ({one.door}): {error.reason}", error.advice)
    except PluginError as error:
        return Missing(one.loc, str(error), "")
    return None
