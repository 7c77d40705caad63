"""Stage types that live in a worker: what the engine knows of them, built from the worker's description."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic import model_serializer

from medical_kg.orchestration.contract import Stage, StageMetadata, StateKey, optional
from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.contract.state import type_names
from medical_kg.orchestration.discovery import Origin
from medical_kg.orchestration.isolation.judging import Missing, Verdict
from medical_kg.orchestration.isolation.taking import conceal_written_out
from medical_kg.orchestration.registry import StageType

if TYPE_CHECKING:
    from medical_kg.orchestration.isolation.environments import Host

PLAIN = (
    *("stage_type", "version", "description", "mode", "items_per_call", "flat"),
    *("default_policy", "cacheable", "keeps"),
)
"""Fields of the metadata that are told as they are."""


@dataclass(frozen=True, slots=True)
class RemoteStageType(StageType):
    """A stage type in an environment. ``cls`` stands in for its class, which this process never imports."""

    host: Host

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.host.name


class RemoteConfig(Model):
    """The config of a stage elsewhere: what the pipeline gives, and what the stage type made of it (which it shows)."""

    given: dict[str, Any]
    completed: Any = None

    @model_serializer
    def _as_completed(self) -> Any:
        return self.completed


class RemoteCodec:
    """Stands in for a codec elsewhere; values of such a key are encoded and decoded there."""

    def __init__(self, suffix: str) -> None:
        """Keep the file ending."""
        self.suffix = suffix

    def encode(self, value: Any) -> bytes:
        """Refuse: the type of the value is not known here."""
        raise TypeError(f"a {type(value).__name__} of a stage in another process cannot be encoded here")

    def decode(self, data: bytes) -> Any:
        """Refuse: the type of the value is not known here."""
        raise TypeError(f"{len(data)} bytes of a stage in another process cannot be decoded here")


def describe(type_: StageType) -> dict[str, Any]:
    """Return what the engine must know of a stage type, as JSON can hold it."""
    metadata = type_.metadata
    return {
        "name": type_.name,
        "origin": dataclasses.asdict(type_.origin),
        "metadata": {name: getattr(metadata, name) for name in PLAIN} | {"needs": list(metadata.needs)},
        "reads": [{**_said(key), "optional": key in metadata.optional_keys} for key in metadata.read_keys],
        "writes": [_said(key) for key in metadata.writes],
        "doc": type_.cls.__doc__ or "",
    }


def _said(key: StateKey[Any]) -> dict[str, Any]:
    assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
    return {
        "name": key.name,
        "list": key.is_list,
        "any": key.item_type is Any,
        "shown": getattr(key.item_type, "__name__", str(key.item_type)),
        "types": list(type_names(key.item_type)),
        "id": key.id_of is not None,
        "root": key.root_of is not None,
        "suffix": key.codec.suffix,
        "merge": key.merge,
        "description": key.description,
    }


def rebuild(said: Mapping[str, Any], host: Host) -> RemoteStageType:
    """Return the stage type a worker has described."""
    plain = {**said["metadata"], "needs": tuple(said["metadata"]["needs"])}
    keys = [(_key(one), one["optional"]) for one in said["reads"]]
    metadata = StageMetadata(
        **plain,
        reads=tuple(optional(key) if may_lack else key for key, may_lack in keys),
        writes=tuple(map(_key, said["writes"])),
        config_model=RemoteConfig,
    )
    known = {field.name for field in dataclasses.fields(Origin)}
    origin = Origin(**{name: value for name, value in said["origin"].items() if name in known})
    cls = type(said["metadata"]["stage_type"], (Stage,), {"metadata": metadata, "__doc__": said["doc"]})
    return RemoteStageType(said["name"], cls, metadata, origin, host)


def _key(said: Mapping[str, Any]) -> StateKey[Any]:
    one: Any = Any if said["any"] else type(said["shown"], (), {"type_names": tuple(said["types"])})
    return StateKey(
        said["name"],
        list[one] if said["list"] else one,
        # Which attribute it is, only the worker knows; that there is one is what the wiring asks.
        id="id" if said["id"] else None,
        root="root" if said["root"] else None,
        codec=RemoteCodec(said["suffix"]),
        merge=said["merge"],
        description=said["description"],
    )


def tell(verdict: Verdict, completed: Any) -> dict[str, Any]:
    """Return a verdict as JSON can hold it; ``completed`` is the completed config in plain values."""
    return {**dataclasses.asdict(dataclasses.replace(verdict, config=None)), "config": completed}


def retell(said: Mapping[str, Any], given: Mapping[str, Any]) -> Verdict:
    """Return the verdict that a worker has told."""
    refused = any(said[name] for name in ("errors", "refused", "failed"))
    conceal_written_out(said["errors"], given)
    return Verdict(
        config=None if refused else RemoteConfig(given=dict(given), completed=said["config"]),
        errors=tuple(cast("list[Mapping[str, Any]]", said["errors"])),
        refused=said["refused"],
        failed=said["failed"],
        conditions=tuple((tuple(loc), name) for loc, name in said["conditions"]),
        missing=tuple(Missing(tuple(one["loc"]), one["message"], one["advice"]) for one in said["missing"]),
    )
