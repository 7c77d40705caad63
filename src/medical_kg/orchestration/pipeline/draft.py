"""A pipeline file as far as it can be read: what is sound is kept, so that everything else can still be judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from medical_kg.orchestration.contract import Clause, Condition, NamedCondition
from medical_kg.orchestration.isolation.taking import details_of
from medical_kg.orchestration.pipeline.explain import explain
from medical_kg.orchestration.pipeline.problems import Path, Problem, show
from medical_kg.orchestration.pipeline.spec import GateSpec, PipelineSpec, StageSpec

if TYPE_CHECKING:
    from medical_kg.orchestration.pipeline.tree import Tree

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class StageDraft:
    """A stage as written.

    ``name`` and ``type`` are None where they cannot be read, ``type`` also where ``environment`` cannot; ``config_read`` is False where the config cannot,
    ``whole`` where any field cannot.
    """

    path: Path
    name: str | None
    type: str | None
    policy: str | None
    environment: str | None
    depends_on: tuple[str, ...]
    config: dict[str, Any]
    config_read: bool
    whole: bool
    cache: bool = False

    @property
    def label(self) -> str:
        """The stage's name in quotes, or its place where it has none."""
        return repr(self.name) if self.name else show(self.path)


@dataclass(frozen=True, slots=True)
class GateDraft:
    """A named condition as written; ``condition`` stands in for one that cannot be read."""

    path: Path
    name: str
    resume_stage: str | None
    condition: NamedCondition


@dataclass(frozen=True, slots=True)
class Draft:
    """A pipeline as written; ``spec`` is None where any part of the file has the wrong shape."""

    spec: PipelineSpec | None
    stages: tuple[StageDraft, ...]
    gates: tuple[GateDraft, ...]


def draft(tree: Tree) -> tuple[Draft, list[Problem]]:
    """Return what can be understood of the file, and a problem for each part of the wrong shape."""
    spec, problems = None, []
    try:
        spec = PipelineSpec.model_validate(tree.value)
    except ValidationError as error:
        problems = explain(details_of(error, PipelineSpec), tree, ())
    stages = tuple(_stage(("stages", index), raw) for index, raw in _entries(tree.value, "stages"))
    gates = tuple(_gate(("gates", index), raw) for index, raw in _entries(tree.value, "gates"))
    return Draft(spec, stages, tuple(gate for gate in gates if gate.name)), problems


def _entries(value: dict[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    listed = value.get(key)
    if not isinstance(listed, list):
        return []
    return [(index, raw) for index, raw in enumerate(listed) if isinstance(raw, dict)]


def _salvage(model: type[ModelT], raw: dict[str, Any]) -> tuple[ModelT, set[str | int]]:
    """Return the model, and the fields that are wrong or missing; they keep their default or are absent."""
    try:
        return model.model_validate(raw), set()
    except ValidationError as error:
        bad = {details["loc"][0] for details in error.errors(include_url=False, include_input=False)}
        return model.model_construct(**{key: value for key, value in raw.items() if key not in bad}), bad


def _stage(path: Path, raw: dict[str, Any]) -> StageDraft:
    spec, bad = _salvage(StageSpec, raw)
    return StageDraft(
        path=path,
        name=getattr(spec, "name", None),
        # Where a stage is to run is not known, so nothing is loaded for it.
        type=None if "environment" in bad else getattr(spec, "type", None),
        policy=spec.policy,
        environment=spec.environment,
        depends_on=tuple(spec.depends_on or ()),
        config=spec.config or {},
        config_read="config" not in bad,
        whole=not bad,
        cache=spec.cache is True,
    )


def _gate(path: Path, raw: dict[str, Any]) -> GateDraft:
    spec, bad = _salvage(GateSpec, raw)
    if not bad:
        return GateDraft(path, spec.name, spec.resume_stage, spec.named())
    name = getattr(spec, "name", "")
    stand_in = NamedCondition(name=name, condition=Condition(clauses=(Clause(field=name or "?"),)))
    return GateDraft(path, name, spec.resume_stage, stand_in)
