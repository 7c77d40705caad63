"""Configs of stages: what their stage types say of them, with the places in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import EnvironmentBroken, near
from medical_kg.orchestration.isolation import RemoteStageType
from medical_kg.orchestration.isolation.judging import Verdict, judge
from medical_kg.orchestration.pipeline.explain import explain, locate

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import NamedCondition
    from medical_kg.orchestration.isolation.taking import Loc
    from medical_kg.orchestration.pipeline.draft import StageDraft
    from medical_kg.orchestration.pipeline.problems import Problem
    from medical_kg.orchestration.pipeline.tree import Tree
    from medical_kg.orchestration.registry import Installation, StageType


@dataclass(frozen=True, slots=True)
class Configured:
    """A stage's completed config and the conditions it names; ``config`` is None where there are problems."""

    config: Any = None
    conditions: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def configure(
    stage: StageDraft,
    type_: StageType,
    conditions: Mapping[str, NamedCondition],
    installation: Installation,
    tree: Tree,
) -> Configured:
    """Validate and complete the config of a stage, and look up every name in it."""
    try:
        verdict = _verdict(stage, type_, conditions, installation)
    except EnvironmentBroken as error:
        return Configured(problems=(unusable(stage, error, tree),))
    problems = _problems(verdict, stage, type_, tree)
    problems += [one for loc, name in verdict.conditions if (one := _unknown(loc, name, stage, conditions, tree))]
    named = tuple(dict.fromkeys(name for _, name in verdict.conditions))
    return Configured(None if problems else verdict.config, named, tuple(problems))


def unusable(stage: StageDraft, error: EnvironmentBroken, tree: Tree) -> Problem:
    """Return the problem with a stage's environment."""
    return tree.problem("MKG027", f"stage {stage.label}: {error}", (*stage.path, "environment"))


def _verdict(
    stage: StageDraft, type_: StageType, conditions: Mapping[str, NamedCondition], installation: Installation
) -> Verdict:
    name = stage.name or ""
    if isinstance(type_, RemoteStageType):
        return type_.host.judge(type_, stage.config, stage=name, conditions=conditions)
    return judge(type_, stage.config, stage=name, conditions=conditions, installation=installation)


def _problems(verdict: Verdict, stage: StageDraft, type_: StageType, tree: Tree) -> list[Problem]:
    path = (*stage.path, "config")
    problems = explain(verdict.errors, tree, path)
    if verdict.refused:
        problems.append(tree.problem("MKG040", f"stage {stage.label}: {verdict.refused}", path, key=True))
    if verdict.failed:
        problems.append(_failed(stage, type_, verdict.failed, tree))
    for one in verdict.missing:
        place = locate(tree, path, one.loc)
        problems.append(tree.problem("MKG043", f"stage {stage.label}: {one.message}", place, one.advice))
    return problems


def _failed(stage: StageDraft, type_: StageType, what: str, tree: Tree) -> Problem:
    message = (
        f"stage {stage.label}: type {type_.name!r} from {type_.origin} failed while its config was checked: {what}"
    )
    return tree.problem("MKG041", message, (*stage.path, "type"), "report it to the author of the stage type")


def _unknown(
    loc: Loc, name: str, stage: StageDraft, conditions: Mapping[str, NamedCondition], tree: Tree
) -> Problem | None:
    if name in conditions:
        return None
    path = locate(tree, (*stage.path, "config"), loc)
    advice = near(name, conditions) if conditions else "name the condition under gates"
    return tree.problem("MKG042", f"stage {stage.label}: no condition is named {name!r}", path, advice)
