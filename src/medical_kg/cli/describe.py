"""A loaded plugin in words and plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.inspection.facts import config_fields, counts_of, place, said_by
from medical_kg.orchestration.isolation.naming import options_model_of
from medical_kg.orchestration.registry import StageType

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageMetadata
    from medical_kg.orchestration.registry import Installation, Origin


def describe(installation: Installation, door: str, name: str) -> dict[str, Any]:
    """Load a plugin and return what there is to know about it, as plain values.

    Raises:
        PluginError: it cannot be loaded.
    """
    registry = installation.door(door)
    loaded, origin = registry.get(name), registry.claim(name).origin
    thing = loaded.cls if isinstance(loaded, StageType) else loaded
    about = _of_stage(loaded.metadata) if isinstance(loaded, StageType) else _of_other(loaded, origin)
    return {
        "name": origin.name,
        "door": door,
        **about,
        "distribution": str(origin),
        "object": origin.object,
        "file": place(thing, origin),
    }


def _of_other(loaded: Any, origin: Origin) -> dict[str, Any]:
    about: dict[str, Any] = {"description": said_by(loaded, origin)}
    if model := options_model_of(loaded):
        about["options"] = [asdict(field) for field in config_fields(model)]
    return about


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
        "keeps": metadata.keeps or None,
        "counts": list(counts_of(metadata)),
        "config": [asdict(field) for field in config_fields(metadata.config_model)],
    }
