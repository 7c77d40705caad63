"""Installed distributions as folders of a test: metadata and modules as an installer would leave them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAGES = "medical_kg.orchestration.stages"

STAGE = """
from pathlib import Path
from medical_kg import Stage, StageMetadata

with (Path(__file__).parent / "imported.txt").open("a") as file:
    print(__name__, file=file)


class Plugin(Stage):
    metadata = StageMetadata(stage_type={name!r}, version="1.0", description="Made for a test.")

    def run(self, ctx):
        return None
"""


def distribution(
    folder: Path,
    name: str,
    entries: dict[str, str] | str,
    *,
    version: str = "1.0",
    requires: tuple[str, ...] = (),
    door: str = STAGES,
) -> Path:
    """Write the metadata of a distribution and return its folder; ``entries`` as a mapping or as the file's text."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    lines = ["Metadata-Version: 2.3", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {line}" for line in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n\nName: not this one\n", encoding="utf-8")
    text = entries
    if not isinstance(text, str):
        text = f"[{door}]\n" + "".join(f"{entry} = {value}\n" for entry, value in text.items())
    (info / "entry_points.txt").write_text(text, encoding="utf-8")
    return info


def module(folder: Path, name: str, source: str) -> None:
    """Write a module; each import of it adds its name to ``imported.txt``."""
    trace = 'from pathlib import Path\nwith (Path(__file__).parent / "imported.txt").open("a") as file:\n'
    trace += "    print(__name__, file=file)\n"
    (folder / f"{name}.py").write_text(trace + source, encoding="utf-8")


def stage_plugin(folder: Path, stage_type: str, *, name: str = "", version: str = "1.0", **more: object) -> None:
    """Write a distribution with one good stage type, in a module named like the distribution."""
    name = name or f"dist-{stage_type}"
    module_name = name.replace("-", "_")
    (folder / f"{module_name}.py").write_text(STAGE.format(name=stage_type), encoding="utf-8")
    distribution(folder, name, {stage_type: f"{module_name}:Plugin"}, version=version, **more)  # type: ignore[arg-type]


def imported(folder: Path) -> list[str]:
    """The modules of the folder that were executed, in order."""
    trace = folder / "imported.txt"
    return trace.read_text(encoding="utf-8").split() if trace.exists() else []


@contextmanager
def importable(folder: Path) -> Iterator[Path]:
    """Put a folder on ``sys.path`` and forget its modules afterwards."""
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
