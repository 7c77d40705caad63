"""What to change when nothing upstream writes what a stage reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import PluginError

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageMetadata, StateKey
    from medical_kg.orchestration.pipeline.dataflow import Wiring
    from medical_kg.orchestration.registry import Registry, StageType


def add_writer(key: StateKey[Any], reader: str, wiring: Wiring, registry: Registry[StageType]) -> str:
    """Return how the reader can get the key: by a stage of the file, else by an installed stage type.

    Other stage types are loaded for this, each inside its guard. Where a stage upstream misses the key too, the advice
    is for that one, since it helps both.
    """
    missing = (name for name in wiring.above if name in wiring.above[reader] and key in wiring.unsatisfied(name))
    stage = next(missing, reader)
    return _from_file(key, stage, wiring) or _from_installed(key, stage, wiring, registry)


def _from_file(key: StateKey[Any], stage: str, wiring: Wiring) -> str:
    writers = [name for name in wiring.written.get(key.name, ()) if name != stage]
    beside = [name for name in writers if stage not in wiring.above[name]]
    if beside:
        return f"let {stage!r} depend on {_either(beside)}, which writes {key.name!r}"
    if writers:
        return (
            f"{_either(writers)} writes {key.name!r}, but comes after {stage!r}; change depends_on to turn them round"
        )
    return ""


def _from_installed(key: StateKey[Any], stage: str, wiring: Wiring, registry: Registry[StageType]) -> str:
    fed = any(node.type and node.type.metadata.mode == "stream" for node in wiring.nodes.values())
    able = {
        name: metadata
        for name, metadata in _installed(registry)
        if any(key == written and key.accepts(written) for written in metadata.writes)
        and not (fed and metadata.mode == "stream")
    }
    if not able:
        return f"no installed stage type writes {key.name!r} here; install one that does"
    fitting = [name for name, metadata in able.items() if _satisfied(metadata, stage, wiring)]
    if fitting:
        return f"add a stage of type {_either(fitting)} {_where(stage, wiring)}"
    return "; ".join(f"stage type {name!r} writes it, and reads {_reads(able[name])}" for name in able)


def _satisfied(metadata: StageMetadata, stage: str, wiring: Wiring) -> bool:
    """Whether a stage of this type, put right before ``stage``, would find what it must read."""
    for key in _needed(metadata):
        upstream = [given for name, given in wiring.written.get(key.name, {}).items() if name in wiring.above[stage]]
        if not any(key.accepts(given) for given in upstream):
            return False
    return True


def _where(stage: str, wiring: Wiring) -> str:
    before = wiring.nodes[stage].depends_on
    if not before:
        return f"before {stage!r}, and let {stage!r} depend on it"
    return f"after {' and '.join(map(repr, before))}, and let {stage!r} depend on it"


def feeders(registry: Registry[StageType]) -> list[str]:
    """Return the installed stage types that can feed a pipeline."""
    return [name for name, metadata in _installed(registry) if metadata.mode == "stream"]


def _installed(registry: Registry[StageType]) -> Iterator[tuple[str, StageMetadata]]:
    for name in registry.names():
        try:
            yield name, registry.get(name).metadata
        except PluginError:
            # A plugin this pipeline does not use is no news here; `plugins list` reports it.
            continue


def _needed(metadata: StageMetadata) -> list[StateKey[Any]]:
    return [key for key in metadata.read_keys if key not in metadata.optional_keys]


def _reads(metadata: StageMetadata) -> str:
    return " and ".join(repr(key.name) for key in _needed(metadata))


def _either(names: list[str]) -> str:
    return " or ".join(map(repr, names))
