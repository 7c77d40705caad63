"""Two versions of a pipeline: what differs stage by stage, and what a batch in flight will therefore run again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from medical_kg.orchestration.execution.fingerprint import ABSENT, Change, changes, fingerprint_of
from medical_kg.orchestration.pipeline.catalog import load_plan

if TYPE_CHECKING:
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
    from medical_kg.orchestration.workspace import Workspace

Status = Literal["unchanged", "changed", "added", "removed"]
Rerun = Literal["no", "yes", "if its input changes"]


@dataclass(frozen=True, slots=True)
class StageDiff:
    """One stage in both versions.

    Attributes:
        stage: its name.
        status: what became of it.
        changes: what differs; of parts that are in the fingerprint (type, distribution, version, config, conditions)
            and of such that are not (policy, environment, wiring).
        rerun: whether a batch in flight, resumed with the new version, runs a stage again that it has finished.
        reason: why.
        looks_like: of an added stage, the removed one it may be under another name; nothing is concluded from it.
    """

    stage: str
    status: Status
    changes: tuple[Change, ...] = ()
    rerun: Rerun = "no"
    reason: str = ""
    looks_like: str = ""


@dataclass(frozen=True, slots=True)
class PipelineDiff:
    """Two versions of a pipeline compared. ``changes`` are those of the pipeline itself: name, version, batch size."""

    changes: tuple[Change, ...]
    stages: tuple[StageDiff, ...]

    @property
    def equal(self) -> bool:
        """Whether both come to the same plan; comments, order and layout of the files do not count."""
        return not self.changes and all(stage.status == "unchanged" for stage in self.stages)


def diff_pipelines(workspace: Workspace, old: str, new: str) -> PipelineDiff:
    """Compare two pipelines, each given by name or by the path of its file.

    Raises:
        PipelineNotFound: there is no such pipeline.
        PipelineInvalid: one of them has problems; it names the file.
    """
    return diff_plans(_plan(workspace, old), _plan(workspace, new))


def _plan(workspace: Workspace, pipeline: str) -> Plan:
    return load_plan(
        pipeline,
        installation=workspace.installation,
        folders=workspace.pipeline_folders,
        environments=workspace.environments,
    )


def diff_plans(old: Plan, new: Plan) -> PipelineDiff:
    """Compare two plans."""
    before = {stage.name: stage for stage in old.stages}
    after = {stage.name: stage for stage in new.stages}
    found: dict[str, StageDiff] = {}
    for name, stage in after.items():
        found[name] = _added(stage, before, after) if name not in before else _kept(before[name], stage, found)
    removed = [StageDiff(name, "removed", reason="its results stay unused") for name in before if name not in after]
    own = [
        Change("pipeline", name, getattr(old, name), getattr(new, name))
        for name in ("name", "version", "batch_size")
        if getattr(old, name) != getattr(new, name)
    ]
    return PipelineDiff(tuple(own), (*found.values(), *removed))


def _added(stage: PlannedStage, before: Mapping[str, PlannedStage], after: Mapping[str, PlannedStage]) -> StageDiff:
    mine = fingerprint_of(stage, {})[0]
    twins = [name for name, old in before.items() if name not in after and fingerprint_of(old, {})[0] == mine]
    reason = "it is new; results are kept by a stage's name"
    return StageDiff(stage.name, "added", rerun="yes", reason=reason, looks_like=next(iter(twins), ""))


def _kept(old: PlannedStage, new: PlannedStage, found: Mapping[str, StageDiff]) -> StageDiff:
    deciding = changes(fingerprint_of(old, {})[1], fingerprint_of(new, {})[1])
    wiring = tuple(_wiring(old, new))
    differing = (*deciding, *_passing(old, new), *wiring)
    rerun, reason = _rerun(new, deciding, tuple(one for one in wiring if one.part == "wiring"), found)
    return StageDiff(new.name, "changed" if differing else "unchanged", differing, rerun, reason)


def _passing(old: PlannedStage, new: PlannedStage) -> Iterator[Change]:
    """Give what differs but decides no output."""
    if old.policy_name != new.policy_name:
        yield Change("policy", "", old.policy_name, new.policy_name)
    elif old.policy != new.policy:
        one, other = old.policy.model_dump(mode="json"), new.policy.model_dump(mode="json")
        yield from _fields("policy", one, other)
    one_place, other_place = (getattr(stage.type, "environment", "") for stage in (old, new))
    if one_place != other_place:
        yield Change("environment", "", one_place or ABSENT, other_place or ABSENT)


def _fields(part: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*one, *other)):
        if one.get(name) != other.get(name):
            yield Change(part, name, one.get(name), other.get(name))


def _wiring(old: PlannedStage, new: PlannedStage) -> Iterator[Change]:
    """Give the reads that come from elsewhere, and what only orders the stage."""
    yield from _fields("wiring", _writers(old), _writers(new))
    if set(old.order_only) != set(new.order_only):
        yield Change("order", "", ", ".join(old.order_only) or ABSENT, ", ".join(new.order_only) or ABSENT)


def _writers(stage: PlannedStage) -> dict[str, str]:
    return {binding.key.name: ", ".join(binding.writers) or ABSENT for binding in stage.bindings}


def _rerun(
    stage: PlannedStage, deciding: tuple[Change, ...], wiring: tuple[Change, ...], found: Mapping[str, StageDiff]
) -> tuple[Rerun, str]:
    if stage.type.metadata.mode == "stream":
        told = "what it gave a batch is fixed for that batch; batches it feeds from now on get the new one"
        return "no", told if deciding else ""
    if deciding:
        return "yes", "; ".join(map(str, deciding))
    if wiring:
        return "if its input changes", "; ".join(map(str, wiring))
    if upstream := [name for name in stage.writers if found[name].rerun != "no"]:
        return (
            "if its input changes",
            f"{' and '.join(upstream)} may give other output; the same output is not worked on again",
        )
    return "no", ""
