"""Source text that makes a record of any type: an expression with ``$id``, ``$root``, ``$text`` and ``$number``.

What a type's annotations cannot tell (that a block's end lies within the text) stands in ``templates/samples.toml``.
"""

from __future__ import annotations

import enum
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from importlib.resources import files
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from medical_kg.orchestration.contract.errors import MedicalKGError

PLAIN: Mapping[Any, str] = {
    str: "$text",
    bytes: "$text.encode()",
    int: "$number",
    float: "float($number)",
    bool: "True",
    type(None): "None",
    Any: "None",
}
"""The expression for each plain type."""

EMPTY: Mapping[Any, str] = {tuple: "()", list: "[]", dict: "{}", Sequence: "()", Mapping: "{}"}
"""The expression for each kind of collection."""


class CannotMake(MedicalKGError):
    """No expression for a type is known; the message names it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A call that makes a record: its callable and arguments, and what must be imported, as (module, name)."""

    call: str
    arguments: tuple[tuple[str, str], ...]
    imports: frozenset[tuple[str, str]]

    def parts(self, **values: str) -> list[str]:
        """Return the arguments with the placeholders filled."""
        return [f"{name}={_filled(text, values)}" if name else _filled(text, values) for name, text in self.arguments]

    def uses(self, placeholder: str) -> bool:
        """Whether an argument needs this value."""
        return any(f"${placeholder}" in text for _, text in self.arguments)


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${name}", value)
    return text


def sample(type_: Any, id_field: str | None = None, root_field: str | None = None) -> Sample:
    """Return how to make a record of a type.

    Args:
        type_: a pydantic model, a dataclass, or anything simpler.
        id_field: the field that identifies it.
        root_field: the field that names the input record it descends from.

    Raises:
        CannotMake: a needed field has a type that nothing is known of.
    """
    imports: set[tuple[str, str]] = set()
    if not is_record(type_):
        return Sample("", (("", _value(type_, imports)),), frozenset(imports))
    given = _given().get(f"{type_.__module__}.{type_.__qualname__}", {})
    imports.add(_import(type_))
    imports |= {(module, name) for module, _, name in (one.rpartition(".") for one in given.get("imports", ()))}
    texts = {name for name, annotation in all_fields(type_).items() if annotation is str}
    special = {field: made for field, made in ((root_field, "$root"), (id_field, "$id")) if field in texts}
    arguments = [
        (name, special.get(name) or given.get(name) or _value(annotation, imports))
        for name, annotation in needed_fields(type_)
    ]
    return Sample(type_.__qualname__, tuple(arguments), frozenset(imports))


def is_record(type_: Any) -> bool:
    """Whether it is a class with named fields."""
    return isinstance(type_, type) and (issubclass(type_, BaseModel) or is_dataclass(type_))


def all_fields(type_: Any) -> dict[str, Any]:
    """Return a record type's fields and their types."""
    if isinstance(type_, type) and issubclass(type_, BaseModel):
        return {name: info.annotation for name, info in type_.model_fields.items()}
    hints = get_type_hints(type_) if is_record(type_) else {}
    return {one.name: hints[one.name] for one in fields(type_) if one.init} if is_record(type_) else {}


def needed_fields(type_: Any) -> list[tuple[str, Any]]:
    """Return the fields a record cannot be made without."""
    if issubclass(type_, BaseModel):
        return [(name, info.annotation) for name, info in type_.model_fields.items() if info.is_required()]
    free = {one.name for one in fields(type_) if one.default is not MISSING or one.default_factory is not MISSING}
    return [(name, annotation) for name, annotation in all_fields(type_).items() if name not in free]


def _value(annotation: Any, imports: set[tuple[str, str]]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, Union, UnionType):
        return "None" if type(None) in arguments else _value(arguments[0], imports)
    if origin is Literal:
        return json.dumps(arguments[0]) if isinstance(arguments[0], str) else repr(arguments[0])
    for table, kind in ((EMPTY, origin or annotation), (PLAIN, annotation)):
        if kind in table:
            return table[kind]
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        imports.add(_import(annotation))
        return f"{annotation.__qualname__}.{next(iter(annotation)).name}"
    if is_record(annotation):
        inner = sample(annotation)
        imports |= inner.imports
        return f"{inner.call}({', '.join(f'{name}={text}' for name, text in inner.arguments)})"
    raise CannotMake(str(annotation))


def _import(type_: type[Any]) -> tuple[str, str]:
    if "." in type_.__qualname__:
        raise CannotMake(f"{type_.__module__}.{type_.__qualname__}")
    return type_.__module__, type_.__qualname__


@cache
def _given() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(files(__package__).joinpath("templates", "samples.toml").read_text(encoding="utf-8"))
