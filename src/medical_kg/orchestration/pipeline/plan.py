"""The plan: a pipeline file understood, with every stage's type, config, policy and wiring settled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from medical_kg.orchestration.contract import NamedCondition, StateKey
    from medical_kg.orchestration.pipeline.spec import ScheduleSpec
    from medical_kg.orchestration.registry import StageType
    from medical_kg.orchestration.resilience import Policy


MAX_REMOVED = "50%"
"""What may be removed of an input at once, unless the pipeline says: a source half of which is gone is rather broken."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a stage's read comes from: the upstream writers whose values it gets, in plan order.

    Several writers only for a key whose merge rule is ``append``; none only for an optional read.
    """

    key: StateKey[Any]
    writers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A node of the plan.

    Attributes:
        name: the stage's name in the pipeline.
        type: the loaded stage type.
        config: the validated and completed config.
        policy_name, policy: what guards each call.
        depends_on: direct dependencies, as written.
        bindings: one per key read, in the order of the metadata.
        order_only: dependencies that give none of the bindings, so only order it.
        conditions: the named conditions its config refers to.
        cache: whether results of single items are kept and used again.
    """

    name: str
    type: StageType
    config: Any
    policy_name: str
    policy: Policy
    depends_on: tuple[str, ...] = ()
    bindings: tuple[Binding, ...] = ()
    order_only: tuple[str, ...] = ()
    conditions: Mapping[str, NamedCondition] = field(default_factory=dict)
    cache: bool = False

    @property
    def writers(self) -> tuple[str, ...]:
        """The stages that give what it reads, each once, in the order of the keys."""
        return tuple(dict.fromkeys(writer for binding in self.bindings for writer in binding.writers))


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline ready to run. ``stages`` is in topological order, ties in the order of the file.

    ``digest`` is the sha256 of the file's text, ``path`` where it was read from, ``max_failed_items`` how many input
    records of a batch may fail: a number, or a percentage such as ``"5%"``; ``max_removed_items`` likewise how many of
    an input may be removed at once because they are gone from the source.
    """

    name: str
    version: str
    path: Path
    digest: str
    stages: tuple[PlannedStage, ...]
    conditions: Mapping[str, NamedCondition]
    batch_size: int
    description: str = ""
    max_failed_items: int | str | None = None
    schedule: ScheduleSpec | None = None
    max_removed_items: int | str = MAX_REMOVED

    def stage(self, name: str) -> PlannedStage:
        """Return a stage by name; raises ``KeyError``."""
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def stream(self) -> PlannedStage | None:
        """The stage that feeds the pipeline, if it has one."""
        return next((stage for stage in self.stages if stage.type.metadata.mode == "stream"), None)

    def ancestors(self, name: str) -> frozenset[str]:
        """Return every stage upstream of this one."""
        found: set[str] = set()
        pending = list(self.stage(name).depends_on)
        while pending:
            current = pending.pop()
            if current not in found:
                found.add(current)
                pending.extend(self.stage(current).depends_on)
        return frozenset(found)

    def descendants(self, name: str) -> frozenset[str]:
        """Return every stage downstream of this one."""
        return frozenset(stage.name for stage in self.stages if name in self.ancestors(stage.name))
