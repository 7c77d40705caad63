"""Values of a file as a pydantic model takes them, and what is wrong with them, each thing with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from medical_kg.orchestration.contract.secrets import WRITTEN_OUT, conceal, conceal_in

Details = Mapping[str, Any]
"""One of pydantic's errors; ``known`` names the fields there are where one is unknown."""
Loc = tuple[str | int, ...]


def take(model: type[BaseModel], given: Mapping[str, Any], loc: Loc = ()) -> tuple[Any, tuple[Details, ...]]:
    """Return what a model makes of values at ``loc``, None where it refuses them, and what is wrong with them.

    Secrets in them are concealed from then on.
    """
    try:
        taken = model.model_validate(given)
    except ValidationError as error:
        wrong = tuple(details_of(error, model))
        conceal_written_out(wrong, given)
        return None, tuple({**one, "loc": (*loc, *one["loc"])} for one in wrong)
    conceal_in(taken)
    return taken, (*_coerced(given, taken, loc), *_written_out(given, taken, loc))


def conceal_written_out(wrong: Iterable[Details], given: Mapping[str, Any]) -> None:
    """Conceal each secret that was refused because it is written out: its line of the file will be shown."""
    for one in wrong:
        if WRITTEN_OUT in one["msg"]:
            value: Any = given
            for step in one["loc"]:
                with suppress(LookupError, TypeError):  # the branch of a union, which is no key
                    value = value[step]
            conceal(str(value))


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
