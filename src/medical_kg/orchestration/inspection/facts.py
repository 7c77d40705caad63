"""What a loaded plugin says of itself, as plain values: config fields, counts, where it is defined."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType, NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from medical_kg.orchestration.contract import ConditionRef, PluginName, PluginOptions
from medical_kg.orchestration.execution.calling import count
from medical_kg.orchestration.isolation.naming import markers

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from medical_kg.orchestration.contract import StageMetadata
    from medical_kg.orchestration.registry import Origin

REQUIRED = "(required)"
UNKNOWN = "(known when it is used)"

CONSTRAINTS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "multiple of {}",
    "minLength": "length ≥ {}",
    "maxLength": "length ≤ {}",
    "minItems": "number of items ≥ {}",
    "maxItems": "number of items ≤ {}",
    "pattern": "matches {}",
}
"""Words for what the JSON schema of a field says, by keyword."""


@dataclass(frozen=True, slots=True)
class ConfigField:
    """A field of a config, those of models within it by dotted names."""

    field: str
    type: str
    default: str
    constraints: str
    description: str


def config_fields(model: type[BaseModel]) -> tuple[ConfigField, ...]:
    """Return the fields of a config model, each model field followed by its own fields."""
    return tuple(_fields(model, "", frozenset()))


def _fields(model: type[BaseModel], prefix: str, above: frozenset[type]) -> Iterator[ConfigField]:
    said = _schema(model)
    for name, info in model.model_fields.items():
        shown = prefix + (info.alias or name)
        constraints = "; ".join((*_constraints(said.get(info.alias or name, {})), *_names(info)))
        yield ConfigField(shown, _type(info.annotation), _default(info), constraints, info.description or "")
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and inner not in above:
            yield from _fields(inner, f"{shown}.", above | {model, inner})


def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = model.model_json_schema().get("properties", {})
    except (Exception, SystemExit):  # noqa: BLE001  # a type without a schema; any code of a plugin may run here
        return {}
    return found


def _constraints(said: Mapping[str, Any]) -> list[str]:
    """Return the constraints of a field's schema, those of its alternatives too (``int | None``)."""
    parts = [said, *said.get("anyOf", ())]
    return [words.format(part[word]) for part in parts for word, words in CONSTRAINTS.items() if word in part]


def _names(info: FieldInfo) -> Iterator[str]:
    """Give what the field names, where it names something."""
    found = markers((info.annotation, *info.metadata))
    yield from dict.fromkeys(f"the name of a plugin of {one.door}" for one in found if isinstance(one, PluginName))
    yield from dict.fromkeys(f"what the plugin under {one.of} takes" for one in found if isinstance(one, PluginOptions))
    if ConditionRef in found:
        yield "the name of a condition under gates"


def _type(annotation: Any) -> str:
    """Return a type as it is written, without modules and without what is marked on it."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin in (Union, UnionType):
        return " | ".join(map(_type, parts))
    if origin is Literal or not parts:
        plain = annotation.__name__ if isinstance(annotation, type) else "..." if annotation is ... else str(annotation)
        return "None" if annotation is NoneType else re.sub(r"\b(?:\w+\.)+(?=\w)", "", plain)
    return f"{_type(origin)}[{', '.join(map(_type, parts))}]"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return REQUIRED
    try:
        return repr(info.get_default(call_default_factory=True, validated_data={}))
    except (Exception, SystemExit):  # noqa: BLE001  # a factory of a plugin may raise anything
        return UNKNOWN


class _Nothing(int):
    """Stands for a value that is not a list, of which every part is nothing too."""

    def __getattr__(self, name: str) -> _Nothing:
        return self

    def __getitem__(self, name: object) -> _Nothing:
        return self

    def __call__(self, *args: object, **options: object) -> _Nothing:
        del args, options
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


def counts_of(metadata: StageMetadata) -> tuple[str, ...]:
    """Return the names of a stage type's counts, as its counter gives them for an empty output.

    Empty where that cannot be told: the counter needs a real output.
    """
    empty: dict[Any, Any] = {key: [] if key.is_list else _Nothing() for key in metadata.writes}
    try:
        return tuple(count(metadata, empty))
    except (Exception, SystemExit):  # noqa: BLE001  # whatever a counter says to an output it never gets
        return ()


def place(thing: Any, origin: Origin) -> str:
    """Return where a plugin is defined: ``file:line`` of a class or function, the file of any other object's module."""
    if not _has_source(thing):
        return str(getattr(_module(origin), "__file__", None) or "")
    try:
        return f"{inspect.getsourcefile(thing)}:{inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):  # built in, or its source is not there
        return ""


def said_by(thing: Any, origin: Origin) -> str:
    """Return the first paragraph of the docstring of a class or function, else of its module, in Markdown."""
    return first_paragraph(thing if _has_source(thing) else _module(origin))


def first_paragraph(thing: Any) -> str:
    """Return the first paragraph of a docstring on one line, in Markdown; a class does not inherit one."""
    if thing is None:  # which has a docstring since Python 3.13
        return ""
    own = getattr(thing, "__doc__", None) if not inspect.isclass(thing) else vars(thing).get("__doc__")
    return " ".join(inspect.cleandoc(own or "").split("\n\n")[0].replace("``", "`").split())


def _has_source(thing: Any) -> bool:
    return inspect.isroutine(thing) or inspect.isclass(thing)


def _module(origin: Origin) -> ModuleType | None:
    return sys.modules.get(origin.object.partition(":")[0])
