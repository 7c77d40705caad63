"""Each stage by itself: its type, policy, dependencies and config."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract import SERVICES
from medical_kg.orchestration.contract.errors import (
    EnvironmentBroken,
    PluginConflict,
    PluginError,
    PluginNotFound,
    near,
)
from medical_kg.orchestration.pipeline.configs import Configured, configure, unusable
from medical_kg.orchestration.resilience import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg.orchestration.contract import NamedCondition
    from medical_kg.orchestration.isolation import Environments
    from medical_kg.orchestration.pipeline.draft import GateDraft, StageDraft
    from medical_kg.orchestration.pipeline.problems import Path, Problem
    from medical_kg.orchestration.pipeline.tree import Tree
    from medical_kg.orchestration.registry import Installation, Registry, StageType

MAX_NAME = 100
STAGE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

RESERVED = frozenset(
    {"arg_dict", "bool", "close_batch", "conf", "config", "context", "dict", "float", "input", "input_arg_dict", "int"}
    | {"meta", "open_batch", "output", "output_arg_dict", "str", "type"}
)
"""Names that mean something else in a Dagster job, and the two ops that every pipeline gets."""

DEFAULT_POLICY = "default"


@dataclass(frozen=True, slots=True)
class Node:
    """A stage of the pipeline with what was found out about it.

    ``type`` is None where it cannot be loaded; ``sound`` is False where what the stage reads, writes or depends on is
    in doubt, so that nothing is concluded from it.
    """

    draft: StageDraft
    name: str
    type: StageType | None
    config: Any
    policy_name: str
    policy: Policy
    depends_on: tuple[str, ...]
    conditions: tuple[str, ...]
    configured: bool
    sound: bool


def check_names(
    pipeline: str | None, stages: Sequence[StageDraft], gates: Sequence[GateDraft], tree: Tree
) -> list[Problem]:
    """Return problems with names: that cannot be used, or are used twice."""
    problems = [] if pipeline is None else _bad_name("pipeline", pipeline, NAME, ("name",), tree)
    for kind, pattern, entries in (("stage", STAGE_NAME, stages), ("gate", NAME, gates)):
        first: dict[str, Any] = {}
        for entry in entries:
            path = (*entry.path, "name")
            if entry.name is None:
                continue
            problems += _bad_name(kind, entry.name, pattern, path, tree)
            if entry.name in first:
                line = tree.place((*first[entry.name].path, "name")).line
                message = f"a {kind} named {entry.name!r} is already on line {line}"
                problems.append(tree.problem("MKG015", message, path, "give it a name of its own"))
            else:
                first[entry.name] = entry
    return problems


def _bad_name(kind: str, name: str, pattern: re.Pattern[str], path: Path, tree: Tree) -> list[Problem]:
    reserved = kind == "stage" and (name in RESERVED or keyword.iskeyword(name))
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    tidy = f"{name}_stage" if reserved else re.sub(r"\W+", "_", plain).strip("_")[:MAX_NAME]
    if len(name) > MAX_NAME:
        reason = f"is longer than {MAX_NAME} characters"
    elif not pattern.fullmatch(name):
        reason = (
            f"may hold only letters, digits{' and underscores' if kind == 'stage' else ', underscores and hyphens'}"
        )
    elif reserved:
        reason = "is reserved"
    else:
        return []
    advice = f"call it e.g. {tidy!r}" if pattern.fullmatch(tidy) else ""
    return [tree.problem("MKG014", f"{kind} name {name!r} {reason}", path, advice)]


def resolve(
    drafts: Iterable[StageDraft],
    registry: Registry[StageType],
    installation: Installation,
    conditions: Mapping[str, NamedCondition],
    policies: Mapping[str, Policy],
    environments: Environments,
    tree: Tree,
) -> tuple[list[Node], list[Problem]]:
    """Return a node per stage, and the problems each has by itself."""
    drafts = list(drafts)
    names = [draft.name for draft in drafts if draft.name]
    nodes: list[Node] = []
    problems: list[Problem] = []
    for draft in drafts:
        type_, wrong_type = _type(draft, registry, environments, tree)
        policy, wrong_policy = _policy(draft, type_, policies, tree)
        depends_on, wrong_dependencies = _dependencies(draft, names, tree)
        done = configure(draft, type_, conditions, installation, tree) if type_ and draft.config_read else Configured()
        problems += (*wrong_type, *wrong_policy, *wrong_dependencies, *done.problems, *_cache(draft, type_, tree))
        nodes.append(
            Node(
                draft=draft,
                name=draft.name or "",
                type=type_,
                config=done.config,
                policy_name=policy,
                policy=policies.get(policy, Policy()),
                depends_on=depends_on,
                conditions=done.conditions,
                configured=done.config is not None,
                sound=type_ is not None and draft.whole and len(depends_on) == len(set(draft.depends_on)),
            )
        )
    return nodes, problems


def _type(
    draft: StageDraft, registry: Registry[StageType], environments: Environments, tree: Tree
) -> tuple[StageType | None, list[Problem]]:
    if draft.environment is not None and draft.environment not in environments.names():
        message = f"stage {draft.label}: no environment is named {draft.environment!r}"
        advice = near(draft.environment, environments.names())
        return None, [tree.problem("MKG026", message, (*draft.path, "environment"), advice)]
    if draft.type is None:
        return None, []
    path = (*draft.path, "type")
    host = None if draft.environment is None else environments.host(draft.environment)
    try:
        type_ = host.describe(draft.type) if host else registry.get(draft.type)
    except PluginError as error:
        return None, [_unusable(draft, draft.type, error, tree)]
    unknown = [need for need in type_.metadata.needs if need not in SERVICES]
    message = f"stage type {draft.type!r} from {type_.origin} needs the service {{!r}}, which does not exist"
    return type_, [tree.problem("MKG024", message.format(need), path, near(need, SERVICES)) for need in unknown]


def _cache(draft: StageDraft, type_: StageType | None, tree: Tree) -> list[Problem]:
    if not draft.cache or type_ is None:
        return []
    metadata = type_.metadata
    lacks = (
        (metadata.cacheable, "its type does not claim to be `cacheable`, so equal input may give another result"),
        (metadata.mode == "item", f"its type is called with a whole {metadata.mode}, not item by item"),
        (
            len(metadata.read_keys) == 1,
            "its type reads more than its items, so a result does not depend on its item alone",
        ),
        (
            metadata.output_handler is None,
            "its type has an output handler, so results of single items have no stored form",
        ),
        (
            metadata.read_keys and metadata.read_keys[0].root_of,
            "its items name no root, so they could not be forgotten",
        ),
    )
    reason = next((said for fits, said in lacks if not fits), None)
    if reason is None:
        return []
    message = f"stage {draft.label} of type {draft.type!r} cannot keep results of single items: {reason}"
    return [tree.problem("MKG028", message, (*draft.path, "cache"), "remove `cache`")]


def _unusable(draft: StageDraft, type_: str, error: PluginError, tree: Tree) -> Problem:
    path = (*draft.path, "type")
    if isinstance(error, EnvironmentBroken):
        return unusable(draft, error, tree)
    if isinstance(error, PluginNotFound):
        if draft.environment is None:
            return tree.problem("MKG020", f"no stage type {type_!r} can be used: {error.reason}", path, error.advice)
        message = f"stage {draft.label}: environment {draft.environment!r} has no stage type {type_!r}: {error.reason}"
        return tree.problem("MKG027", message, (*draft.path, "environment"), error.advice)
    if isinstance(error, PluginConflict):
        return tree.problem("MKG021", f"stage type {error}", path)
    return tree.problem("MKG022", f"stage type {error}", path, "`medical-kg plugins doctor` says what is wrong with it")


def _policy(
    draft: StageDraft, type_: StageType | None, policies: Mapping[str, Policy], tree: Tree
) -> tuple[str, list[Problem]]:
    if draft.policy is not None:
        if draft.policy in policies:
            return draft.policy, []
        message = f"stage {draft.label}: no policy is named {draft.policy!r}"
        return draft.policy, [tree.problem("MKG023", message, (*draft.path, "policy"), near(draft.policy, policies))]
    asked = type_.metadata.default_policy if type_ else None
    if asked is None or asked in policies:
        return asked or DEFAULT_POLICY, []
    message = f"stage {draft.label}: its type asks for the policy {asked!r}, which is not defined; 'default' is used"
    advice = f"define {asked!r} in resilience.yaml, or name a policy here"
    return DEFAULT_POLICY, [tree.problem("MKG025", message, (*draft.path, "type"), advice)]


def _dependencies(draft: StageDraft, names: Sequence[str], tree: Tree) -> tuple[tuple[str, ...], list[Problem]]:
    known: list[str] = []
    problems: list[Problem] = []
    for index, name in enumerate(draft.depends_on):
        path = (*draft.path, "depends_on", index)
        if name in known:
            problems.append(
                tree.problem("MKG033", f"stage {draft.label} depends on {name!r} twice", path, "remove one")
            )
        elif name == draft.name:
            problems.append(tree.problem("MKG031", f"stage {draft.label} depends on itself", path, "remove it"))
        elif name not in names:
            message = f"stage {draft.label} depends on {name!r}, which is no stage of this pipeline"
            advice = near(name, (other for other in names if other != draft.name))
            problems.append(tree.problem("MKG030", message, path, advice))
        else:
            known.append(name)
    return tuple(known), problems
