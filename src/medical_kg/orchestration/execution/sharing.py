"""How a value reaches the several stages that read it, so that what one does to it stays with it.

Records whose fields are all numbers, text, tuples and other frozen records cannot be changed: every reader gets the same
ones, at no cost. Of a model in which a dict, a list or an array stands between such fields, each reader gets a copy in
which only those are copied. Anything else (dicts, models within models that can be changed) each reader decodes afresh
from the checkpoint. Copying whole records in memory would cost several times as much as decoding them.

Code that goes out of its way (``object.__setattr__`` on a frozen record) is not held off by this; an environment is.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey

Hand = Callable[[Any], Any]
"""Makes of a value what one reader gets."""

FIXED = (
    *(bool, int, float, complex, str, bytes, type(None)),
    *(date, time, timedelta, tzinfo, Decimal, Fraction, PurePath, UUID),
)
"""Classes whose instances cannot be changed (``datetime`` is a ``date``)."""
HOLDERS = (tuple, frozenset, Union, types.UnionType)
"""Generics that are as fixed as what they hold."""


def handing(key: StateKey[Any]) -> Hand | None:
    """Return what makes of a key's value what one reader gets; None where each must decode it afresh."""
    if may_share(key.item_type):
        return _same
    names = _loose_fields(key.item_type)
    if names is None:
        return None
    return (lambda value: [_copied(record, names) for record in value]) if key.is_list else lambda v: _copied(v, names)


def _same(value: Any) -> Any:
    return value


def _copied(record: BaseModel, names: tuple[str, ...]) -> BaseModel:
    held = record.__dict__
    return record.model_copy(update={name: _copy(held[name]) for name in names if name in held})


def _copy(value: Any) -> Any:
    """Return a deep copy; most of what stands in records is plain data, for which ``deepcopy`` is slow."""
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None or kind is bool:
        return value
    if kind is dict:
        return {name: _copy(inner) for name, inner in value.items()}
    if kind is list:
        return [_copy(inner) for inner in value]
    return deepcopy(value)


def may_share(record_type: Any) -> bool:
    """Whether a record of this type cannot be changed; False where that cannot be told."""
    try:
        return _known(record_type)
    except TypeError:  # an annotation that cannot be hashed
        return False


@lru_cache(maxsize=512)
def _loose_fields(record_type: Any) -> tuple[str, ...] | None:
    """Return the fields of a model that can be changed, where they alone can be copied."""
    if not (isinstance(record_type, type) and issubclass(record_type, BaseModel)):
        return None
    if record_type.model_config.get("extra") == "allow" or record_type.__private_attributes__:
        return None
    loose = {name: info.annotation for name, info in record_type.model_fields.items() if not may_share(info.annotation)}
    return None if any(map(_holds_records, loose.values())) else tuple(loose)


def _holds_records(annotation: Any) -> bool:
    """Whether there are models in it, whose copying would cost more than decoding."""
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        return True
    return any(map(_holds_records, get_args(annotation)))


@lru_cache(maxsize=512)
def _known(annotation: Any) -> bool:
    return _is_fixed(annotation, frozenset())


def _is_fixed(annotation: Any, above: frozenset[Any]) -> bool:
    if annotation in above:
        return True  # a type that holds itself: the rest of it decides
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_fixed(get_args(annotation)[0], above)
    if origin is Literal:
        return True
    if origin in HOLDERS:
        return all(_is_fixed(inner, above) for inner in get_args(annotation) if inner is not Ellipsis)
    if value := getattr(annotation, "__value__", None):
        return _is_fixed(value, above)
    return isinstance(annotation, type) and _is_fixed_class(annotation, above | {annotation})


def _is_fixed_class(cls: type[Any], above: frozenset[Any]) -> bool:
    if issubclass(cls, (Enum, *FIXED)):
        return True
    return all(_is_fixed(inner, above) for inner in _held(cls)) if _is_frozen(cls) else False


def _is_frozen(cls: type[Any]) -> bool:
    if issubclass(cls, BaseModel):
        config: Mapping[str, Any] = cls.model_config
        # Extra fields may hold anything, and private attributes are not frozen.
        return bool(config.get("frozen")) and config.get("extra") != "allow" and not cls.__private_attributes__
    return is_dataclass(cls) and bool(cls.__dataclass_params__.frozen)  # type: ignore[attr-defined]  # a private name of dataclasses


def _held(cls: type[Any]) -> Iterator[Any]:
    """Give the types of the fields of a frozen model or dataclass; ``Any`` where one cannot be told."""
    if issubclass(cls, BaseModel):
        yield from (info.annotation for info in cls.model_fields.values())
        return
    try:
        hints = get_type_hints(cls)
    except Exception:  # noqa: BLE001  # an annotation may name what is imported for type checkers only
        hints = {}
    yield from (hints.get(known.name, Any) for known in fields(cls))
