"""Where pipelines are found: a workspace's folders, then the shipped ones; and loading one as a plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import PipelineInvalid, PipelineNotFound
from medical_kg.orchestration.pipeline import load
from medical_kg.orchestration.pipeline.check import CheckResult, check
from medical_kg.orchestration.pipeline.policies import FILE_NAMES, Policies, find_policies, load_policies
from medical_kg.orchestration.pipeline.problems import Place, Problem
from medical_kg.orchestration.surroundings import kept

if TYPE_CHECKING:
    from medical_kg.orchestration.isolation import Environments
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.registry import Installation

SUFFIXES = (".yaml", ".yml")
SHIPPED = "shipped"


def shipped_folder() -> Path:
    """Return the folder of the pipelines that come with the package."""
    from importlib.resources import files

    return Path(str(files("medical_kg").joinpath("pipelines")))


@dataclass(frozen=True, slots=True)
class Entry:
    """A pipeline file: the name it is found by (the file's, without suffix), its path and whether it is shipped."""

    name: str
    path: Path
    shipped: bool = False

    def value(self) -> Any:
        """Return what the file holds, unchecked; None where it cannot be read."""
        try:
            return load.load(self.path)[1].value
        except load.LoadFailed:
            return None

    def description(self) -> str:
        """Return the description the file gives, or an empty text; a file that cannot be read gives none."""
        value = self.value()
        metadata = value.get("metadata") if isinstance(value, dict) else None
        return str(metadata.get("description") or "") if isinstance(metadata, dict) else ""


class Catalog:
    """The pipelines that can be named.

    Args:
        folders: where to look, in this order, before the shipped ones; one that does not exist is empty.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """Keep the folders; nothing is read yet."""
        self.folders = tuple(folders)

    def entries(self) -> tuple[Entry, ...]:
        """Return every pipeline that can be named, by name; of several files with one name the one that counts."""
        found: dict[str, Entry] = {}
        for folder in (*self.folders, shipped_folder()):
            for path in _files(folder):
                found.setdefault(path.stem, Entry(path.stem, path, folder == shipped_folder()))
        return tuple(found[name] for name in sorted(found))

    def find(self, name_or_path: str | os.PathLike[str]) -> Path:
        """Return the file of a pipeline given by name, or by path (with a suffix or a folder in it).

        Raises:
            PipelineNotFound: there is none; the message has the nearest names and where they were looked for.
        """
        given = os.fspath(name_or_path)
        if given.endswith(SUFFIXES) or os.sep in given:
            # Whatever stands there; reading it says why it is no pipeline.
            if Path(given).exists():
                return Path(given)
            raise PipelineNotFound(given, self._names(), [str(Path(given).parent)])
        for entry in self.entries():
            if entry.name == given:
                return entry.path
        raise PipelineNotFound(given, self._names(), map(str, (*self.folders, "the shipped pipelines")))

    def policies(self, path: Path) -> Policies:
        """Return the policies for a pipeline file: from beside it, else from the folders, else the shipped ones."""
        above = [folder.parent for folder in self.folders if folder.name == "pipelines"]
        found = find_policies([path.parent, *self.folders, *above, shipped_folder()])
        return load_policies(found) if found else Policies()

    def check(
        self,
        name_or_path: str | os.PathLike[str],
        installation: Installation,
        overrides: Mapping[str, Any] | None = None,
        environments: Environments | None = None,
        text: str | None = None,
    ) -> CheckResult:
        """Find a pipeline and check it with its policies; ``text`` stands for what is in its file.

        Raises:
            PipelineNotFound: there is none.
        """
        path = self.find(name_or_path) if text is None else Path(name_or_path)
        policies = self.policies(path)
        with kept(f"a plugin of pipeline {path.stem!r} (`medical-kg plugins doctor` tells which), when it was loaded,"):
            result = check(
                path if text is None else text,
                installation.stages,
                installation,
                policies.by_name,
                file=str(path),
                overrides=overrides,
                environments=environments,
            )
        problems = (*result.problems, *_file_warnings(path, result), *policies.problems)
        broken = any(problem.severity == "error" for problem in policies.problems)
        return CheckResult(None if broken else result.plan, problems)

    def _names(self) -> list[str]:
        return [entry.name for entry in self.entries()]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    paths = [path for suffix in SUFFIXES for path in sorted(folder.glob(f"*{suffix}"))]
    return [path for path in paths if path.name not in FILE_NAMES and path.is_file()]


def _file_warnings(path: Path, result: CheckResult) -> list[Problem]:
    warnings = []
    twin = path.with_suffix(SUFFIXES[1] if path.suffix == SUFFIXES[0] else SUFFIXES[0])
    if twin.is_file():
        message = f"{twin.name} beside it has the same name; by name, {path.stem}.yaml is found"
        warnings.append(Problem.at(Place(str(path)), "MKG082", message, (), "remove or rename one of them"))
    if result.plan and result.plan.name != path.stem:
        message = f"the pipeline is found as {path.stem!r}, but its runs are recorded as {result.plan.name!r}"
        warnings.append(Problem.at(Place(str(path)), "MKG081", message, ("name",), "give both one name"))
    return warnings


def load_plan(
    name_or_path: str | os.PathLike[str],
    *,
    installation: Installation,
    folders: Sequence[Path] = (),
    overrides: Mapping[str, Any] | None = None,
    environments: Environments | None = None,
    text: str | None = None,
) -> Plan:
    """Find a pipeline, check it and return its plan.

    Args:
        name_or_path: a pipeline's name, or the path of its file.
        installation: every door.
        folders: where to look before the shipped pipelines.
        overrides: ``stage.field`` to the value that takes the place of the file's.
        environments: where stages may run besides this process; only ``process`` unless given.
        text: an earlier content of the file, to be taken for it; the file need not be there.

    Raises:
        PipelineNotFound: no pipeline has this name.
        PipelineInvalid: the file has errors; ``problems`` holds them and the warnings.
    """
    result = Catalog(folders).check(name_or_path, installation, overrides, environments, text)
    if result.plan is None:
        raise PipelineInvalid(os.fspath(name_or_path), result.problems)
    return result.plan
