"""Everything about a pipeline file is checked here, before anything runs; all problems at once, no side effects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.isolation import Environments
from medical_kg.orchestration.pipeline import load
from medical_kg.orchestration.pipeline.cron import check_schedule
from medical_kg.orchestration.pipeline.dataflow import (
    Wiring,
    check_cycles,
    check_gates,
    check_reads,
    check_streams,
    check_writes,
    wire,
)
from medical_kg.orchestration.pipeline.draft import Draft, draft
from medical_kg.orchestration.pipeline.overrides import apply
from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
from medical_kg.orchestration.pipeline.stages import Node, check_names, resolve

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import NamedCondition
    from medical_kg.orchestration.pipeline.problems import Problem
    from medical_kg.orchestration.pipeline.spec import PipelineSpec
    from medical_kg.orchestration.registry import Installation, Registry, StageType
    from medical_kg.orchestration.resilience import Policy


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; ``plan`` is there when no problem is an error."""

    plan: Plan | None
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether the pipeline can run."""
        return self.plan is not None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that keep it from running."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def check(
    source: Path | str,
    stages: Registry[StageType],
    installation: Installation,
    policies: Mapping[str, Policy],
    *,
    file: str = "<text>",
    overrides: Mapping[str, Any] | None = None,
    environments: Environments | None = None,
) -> CheckResult:
    """Check a pipeline file, or its text, and plan it.

    Only the stage types that the file uses are loaded; others only when something is missing that they may provide.

    Args:
        source: the file's path, or its text.
        stages: the stage types.
        installation: every door; config fields marked with ``PluginName`` are looked up in it.
        policies: the resilience policies by name.
        file: how to call a text in problems.
        overrides: ``stage.field`` to the value that takes the place of the file's before the check.
        environments: where stages may run besides this process; only ``process`` unless given.
    """
    try:
        text = load.read_text(source) if isinstance(source, Path) else source
        tree = load.parse(text, str(source) if isinstance(source, Path) else file)
        load.need_mapping(tree)
    except load.LoadFailed as error:
        return CheckResult(None, (error.problem,))
    problems = [*tree.problems, *apply(overrides or {}, tree)]
    drafted, misshapen = draft(tree)
    conditions = {gate.name: gate.condition for gate in reversed(drafted.gates)}
    nodes, found = resolve(
        drafted.stages, stages, installation, conditions, policies, environments or Environments(), tree
    )
    wiring = wire(nodes)
    problems += misshapen + _names(drafted, tree) + found
    problems += check_cycles(wiring, tree) + check_reads(wiring, stages, tree) + check_writes(wiring, tree)
    problems += check_streams(nodes, tree) + check_gates(drafted.gates, nodes, wiring, tree)
    problems += check_schedule(tree)
    ordered = tuple(sorted(problems, key=lambda one: (one.file != tree.file, one.file, one.line, one.column, one.code)))
    if drafted.spec is None or any(problem.severity == "error" for problem in ordered):
        return CheckResult(None, ordered)
    path = source if isinstance(source, Path) else Path(file)
    return CheckResult(_plan(drafted.spec, conditions, wiring, path, digest_of(text, overrides or {})), ordered)


def _names(drafted: Draft, tree: load.Tree) -> list[Problem]:
    name = tree.value.get("name")
    return check_names(name if name and isinstance(name, str) else None, drafted.stages, drafted.gates, tree)


def digest_of(text: str, overrides: Mapping[str, Any]) -> str:
    """Return the digest of a plan of this text with these overrides."""
    # Overrides make another pipeline of the file, so they count; without any it is the digest of the file's text.
    changes = "\n--set " + json.dumps(dict(overrides), sort_keys=True, default=str) if overrides else ""
    return hashlib.sha256((text + changes).encode()).hexdigest()


def _plan(
    spec: PipelineSpec, conditions: Mapping[str, NamedCondition], wiring: Wiring, path: Path, digest: str
) -> Plan:
    return Plan(
        name=spec.name,
        version=spec.version,
        path=path,
        digest=digest,
        stages=tuple(_planned(wiring.nodes[name], conditions, wiring) for name in wiring.above),
        conditions={gate.name: conditions[gate.name] for gate in spec.gates},
        batch_size=spec.batch_size,
        description=spec.metadata.description,
        max_failed_items=spec.max_failed_items,
        schedule=spec.schedule,
        max_removed_items=spec.max_removed_items,
    )


def _planned(node: Node, conditions: Mapping[str, NamedCondition], wiring: Wiring) -> PlannedStage:
    assert node.type is not None  # noqa: S101  # a stage without a type is an error, and then there is no plan
    bindings = tuple(wiring.bind(node.name, key) for key in node.type.metadata.read_keys)
    giving = {writer for binding in bindings for writer in binding.writers}
    return PlannedStage(
        name=node.name,
        type=node.type,
        config=node.config,
        policy_name=node.policy_name,
        policy=node.policy,
        depends_on=node.depends_on,
        bindings=bindings,
        order_only=tuple(name for name in node.depends_on if name not in giving),
        conditions={name: conditions[name] for name in node.conditions},
        cache=node.draft.cache,
    )
