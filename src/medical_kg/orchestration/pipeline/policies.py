"""Resilience policies by name, from a ``resilience.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.isolation.taking import details_of
from medical_kg.orchestration.pipeline import load
from medical_kg.orchestration.pipeline.explain import explain
from medical_kg.orchestration.resilience import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg.orchestration.pipeline.problems import Problem

FILE_NAMES = ("resilience.yaml", "resilience.yml")


class _PolicyFile(Model):
    policies: dict[str, Policy] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of a file by name, and what is wrong with it; a policy with problems is the empty one."""

    by_name: Mapping[str, Policy] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def find_policies(folders: Sequence[Path]) -> Path | None:
    """Return the first policy file in the folders, or None."""
    found = (folder / name for folder in folders for name in FILE_NAMES)
    return next((path for path in found if path.is_file()), None)


def load_policies(path: Path) -> Policies:
    """Read a policy file; problems have places, nothing is raised."""
    try:
        tree = load.load(path)[1]
        load.need_mapping(tree)
    except load.LoadFailed as error:
        return Policies(problems=(error.problem,))
    try:
        found = _PolicyFile.model_validate(tree.value)
    except ValidationError as error:
        listed = tree.value.get("policies")
        # Their names stay known, so that a pipeline that uses one is not blamed for it.
        names = listed if isinstance(listed, dict) else {}
        wrong = explain(details_of(error, _PolicyFile), tree, ())
        return Policies(dict.fromkeys(names, Policy()), (*tree.problems, *wrong))
    return Policies(found.policies, tuple(tree.problems))
