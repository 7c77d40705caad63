"""Writing a new stage: checked first, nothing overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from medical_kg.orchestration.contract.errors import StorageError, UsageError
from medical_kg.orchestration.contract.metadata import Mode
from medical_kg.scaffold.naming import camel, checked_keys, checked_type
from medical_kg.scaffold.render import StageSource, fill
from medical_kg.scaffold.slots import Slots, slots_for
from medical_kg.scaffold.source import Imports, parted

if TYPE_CHECKING:
    from medical_kg.orchestration.registry import Installation
    from medical_kg.scaffold.pipelines import LeadIn

SETTINGS = "medical_kg.toml"


@dataclass(frozen=True, slots=True)
class NewStage:
    """What was written, and what to do next.

    Attributes:
        folder: the package's folder, or the one that the module was put in.
        files: every file, below the folder.
        commands: what to type next.
        settings: the lines to add to ``medical_kg.toml``, for a local module.
        notes: what is worth knowing.
    """

    folder: Path
    files: tuple[Path, ...]
    commands: tuple[str, ...]
    settings: str = ""
    notes: tuple[str, ...] = ()


def new_stage(  # one argument per question that the command line asks
    name: str,
    *,
    mode: Mode = "item",
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    into: Path | None = None,
    local: bool = False,
    home: Path | None = None,
    installation: Installation | None = None,
) -> NewStage:
    """Write a package with a new stage type that installs, passes its tests, and can be used in a pipeline.

    Args:
        name: the stage type; the package is called ``medical-kg-NAME``.
        mode: how the engine calls it.
        reads: names of state keys; those that installed stage types use are imported, the others defined.
        writes: as ``reads``.
        into: the folder to make the package in; the present one unless given.
        local: write one module instead, for ``[plugins.local.stages]`` of the settings in ``home``.
        home: the folder of the settings that will name the local module; ``into`` unless given.
        installation: what is installed; found unless given.

    Raises:
        UsageError: a name is wrong, the keys do not fit the mode, or something is there already.
        StorageError: the folder cannot be written.
    """
    from medical_kg.orchestration.registry import Installation

    plan = _Plan.of(name, mode, tuple(reads), tuple(writes), installation or Installation())
    folder = Path() if into is None else into
    if local:
        packages = _below(folder, home)
        module = f"{plan.module}_stage"
        root = home if home and packages else folder
        files = _write(root, _marks(root, packages) | {"/".join([*packages, f"{module}.py"]): plan.stage.render()})
        dotted = ".".join([*packages, module])
        text = fill("local.toml.txt", stage_type=name, module=dotted, camel=camel(name))
        return NewStage(root, files, (f"medical-kg plugins show {name}",), text, plan.notes(local=True))
    package = folder / plan.distribution
    if package.exists():
        raise UsageError(f"{package} is there already and was left alone; remove it, or choose another name or --into")
    files = _write(package, plan.files())
    return NewStage(package, files, plan.commands(package), notes=plan.notes(local=False))


def _below(folder: Path, home: Path | None) -> tuple[str, ...]:
    """Return the names of packages that lead from the settings' folder to a module's; none where it is the same.

    Raises:
        UsageError: no import leads there.
    """
    if home is None:
        return ()
    inside, top = folder.resolve(), home.resolve()
    parts = inside.relative_to(top).parts if inside.is_relative_to(top) else ("..",)
    if not all(part.isidentifier() for part in parts):
        raise UsageError(
            f"no module in {folder} can be imported from {home}, where the settings are; choose another --into"
        )
    return parts


def _marks(root: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the files, still to be written, that make packages of folders."""
    names = ["/".join([*packages[: depth + 1], "__init__.py"]) for depth in range(len(packages))]
    return {name: "" for name in names if not (root / name).exists()}


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that is decided before the first file is written."""

    name: str
    stage: StageSource
    installation: Installation
    unread: Sequence[str]
    way: LeadIn | None

    @classmethod
    def of(
        cls, name: str, mode: Mode, reads: tuple[str, ...], writes: tuple[str, ...], installation: Installation
    ) -> _Plan:
        """Check what was asked for.

        Raises:
            UsageError: it cannot be done.
        """
        from medical_kg.orchestration.pipeline import Catalog
        from medical_kg.scaffold.known import KnownKeys
        from medical_kg.scaffold.pipelines import lead_in

        checked_type(name)
        if mode not in get_args(Mode):
            raise UsageError(f"--mode must be {', '.join(get_args(Mode))}, not {mode!r}")
        reads, writes = checked_keys(reads, "--reads"), checked_keys(writes, "--writes")
        _refuse_unfit(mode, reads, writes)
        known = KnownKeys(installation) if (*reads, *writes) else None
        taken = (f"{camel(name)}Stage", f"{camel(name)}Config")
        slots = slots_for(reads, writes, known, taken, gives_text=mode == "stream")
        _refuse_unfit_slots(mode, slots)
        way = lead_in(reads, installation, Catalog())
        return cls(name, StageSource(name, mode, slots), installation, known.unread if known else (), way)

    @property
    def distribution(self) -> str:
        return f"medical-kg-{self.name}"

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def claims(self) -> list[str]:
        """Who has a stage type of this name already."""
        claims = self.installation.stages.claims()
        return [str(claim.origin) for claim in claims if claim.origin.name == self.name]

    def files(self) -> dict[str, str]:
        from medical_kg.scaffold.pipelines import pipeline_source
        from medical_kg.scaffold.suite import SuiteSource

        package, reads = f"medical_kg_{self.module}", [slot.name for slot in self.stage.slots.reads]
        reference = f"{self.distribution}:{self.name}" if self.claims else self.name
        return {
            "pyproject.toml": self._project(package),
            "README.md": self._readme(package),
            f"src/{package}/__init__.py": self._init(package),
            f"src/{package}/py.typed": "",
            f"src/{package}/stage.py": self.stage.render(),
            f"tests/test_{self.module}.py": SuiteSource(self.stage, package).render(),
            f"pipelines/{self.name}.yaml": pipeline_source(self.name, reference, self.stage.summary, self.way, reads),
        }

    def _project(self, package: str) -> str:
        known = {slot.known.distribution for slot in self.stage.slots.all() if slot.known is not None}
        requirements = [_own_requirement(), *sorted(known - {"", "medical-kg", "local", "in-code"})]
        return fill(
            "pyproject.toml.txt",
            distribution=self.distribution,
            stage_type=self.name,
            package=package,
            camel=self.stage.camel,
            requirements=", ".join(f'"{one}"' for one in requirements),
        )

    def _readme(self, package: str) -> str:
        check = f"    medical-kg pipelines check pipelines/{self.name}.yaml\n"
        return fill(
            "readme.md.txt",
            distribution=self.distribution,
            stage_type=self.name,
            package=package,
            summary=self.stage.summary,
            test_module=f"test_{self.module}",
            use=check if self.way else "",
        )

    def _init(self, package: str) -> str:
        own = [f"{self.stage.camel}Config", f"{self.stage.camel}Stage"]
        for slot in self.stage.slots.new():
            own += [slot.constant, slot.item]
        imports = Imports(package)
        imports.add(f"{package}.stage", *own)
        # As ruff sorts it: constants, then classes.
        names = sorted(own, key=lambda one: (not one.isupper(), one))
        exports = parted("__all__ = [", [f'"{one}"' for one in names], "]")
        return fill("init.py.txt", stage_type=self.name, imports=imports.render(), exports=exports)

    def commands(self, package: Path) -> tuple[str, ...]:
        """Return what to type next."""
        import shlex

        pipeline = f"pipelines/{self.name}.yaml"
        reference = f"{self.distribution}:{self.name}" if self.claims else self.name
        return (
            f"cd {shlex.quote(str(package))}",
            "python -m pip install --editable '.[test]'",
            "python -m pytest",
            f"medical-kg plugins show {reference}",
            *([f"medical-kg pipelines check {pipeline}"] if self.way else []),
        )

    def notes(self, *, local: bool) -> tuple[str, ...]:
        """Return what is worth knowing."""
        notes = []
        if claims := self.claims:
            mine = "local" if local else self.distribution
            notes.append(
                f"{self.name!r} is also a stage type of {' and '.join(claims)}: once this one is installed, write "
                f'{mine}:{self.name} in pipelines, or set [plugins.prefer] "{self.name}" = "{mine}" in {SETTINGS}'
            )
        new = [slot.name for slot in self.stage.slots.reads if slot.known is None]
        if new:
            notes.append(f"no installed stage type uses {', '.join(new)}: a new state key was made to read")
        if self.way is None and not local:
            notes.append("no installed pipeline has all that it reads, so its own pipeline lacks the stages before it")
        if self.unread and self.stage.slots.new():
            notes.append(f"not looked at for state keys, as they cannot be loaded: {', '.join(self.unread)}")
        return tuple(notes)


def _refuse_unfit(mode: Mode, reads: Sequence[str], writes: Sequence[str]) -> None:
    if mode == "item" and not reads:
        raise UsageError("an item stage is called for each record of what it reads first: name it with --reads")
    if mode == "stream" and reads:
        raise UsageError("a stream stage feeds the pipeline, so it reads nothing: leave --reads out")
    if mode == "stream" and not writes:
        raise UsageError("a stream stage feeds the pipeline: name what it gives with --writes")


def _refuse_unfit_slots(mode: Mode, slots: Slots) -> None:
    if mode == "item" and not slots.reads[0].has_id:
        first = slots.reads[0]
        lacks = f"{first.name!r} is no list whose records have an id"
        raise UsageError(f"{lacks}; name another state key first in --reads, or use --mode batch")
    if mode != "batch" and (single := [slot.name for slot in slots.writes if not slot.is_list]):
        raise UsageError(f"{single[0]!r} is a single value of a whole batch; write it with --mode batch")


def _own_requirement() -> str:
    from medical_kg import __version__

    major, minor, *_ = (int(part) for part in __version__.split(".")[:2])
    below = f"{major}.{minor + 1}" if major == 0 else str(major + 1)
    return f"medical-kg>={major}.{minor},<{below}"


def _write(folder: Path, files: Mapping[str, str]) -> tuple[Path, ...]:
    """Write new files; none is overwritten."""
    paths = {folder / name: text for name, text in files.items()}
    if there := [str(path) for path in paths if path.exists()]:
        raise UsageError(f"{', '.join(there)} is there already and was left alone; move it, or choose another name")
    try:
        for path, text in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise StorageError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from error
    return tuple(path.relative_to(folder) for path in paths)
