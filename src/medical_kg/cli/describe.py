"""A loaded plugin in words and plain values."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from medical_kg.orchestration.registry import StageType

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from medical_kg.orchestration.contract import StageMetadata
    from medical_kg.orchestration.registry import Installation


def describe(installation: Installation, door: str, name: str) -> dict[str, Any]:
    """Load a plugin and return what there is to know about it, as plain values.

    Raises:
        PluginError: it cannot be loaded.
    """
    registry = installation.door(door)
    loaded, origin = registry.get(name), registry.claim(name).origin
    thing = loaded.cls if isinstance(loaded, StageType) else loaded
    about = _of_stage(loaded.metadata) if isinstance(loaded, StageType) else _of_other(thing)
    return {
        "name": origin.name,
        "door": door,
        **about,
        "distribution": str(origin),
        "object": origin.object,
        "file": place(thing),
    }


def place(thing: Any) -> str:
    """Return where a class, function or other object is defined, as ``file:line``, or an empty text."""
    code = thing if inspect.isroutine(thing) or inspect.isclass(thing) else type(thing)
    try:
        return f"{inspect.getsourcefile(code)}:{inspect.getsourcelines(code)[1]}"
    except (OSError, TypeError):  # built in, or its source is not there
        return ""


def _of_stage(metadata: StageMetadata) -> dict[str, Any]:
    optional = metadata.optional_keys
    return {
        "description": metadata.description,
        "version": metadata.version,
        "mode": metadata.mode,
        "reads": [f"{key}{' (optional)' if key in optional else ''}" for key in metadata.read_keys],
        "writes": [str(key) for key in metadata.writes],
        "policy": metadata.default_policy or "",
        "needs": list(metadata.needs),
        "items_per_call": metadata.items_per_call,
        "flat": metadata.flat or None,
        "cacheable": metadata.cacheable or None,
        "config": fields(metadata.config_model),
    }


def _of_other(thing: Any) -> dict[str, Any]:
    doc = inspect.getdoc(thing) if inspect.isroutine(thing) or inspect.isclass(thing) else ""
    return {"description": (doc or "").partition("\n")[0]}


def fields(model: type[BaseModel]) -> list[dict[str, str]]:
    """Return the fields of a config model: name, type, default and description."""
    return [
        {
            "field": info.alias or name,
            "type": _type(info),
            "default": _default(info),
            "description": info.description or "",
        }
        for name, info in model.model_fields.items()
    ]


def _type(info: FieldInfo) -> str:
    annotation = info.annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "(required)"
    return repr(info.get_default(call_default_factory=True, validated_data={}))
