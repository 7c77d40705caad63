"""Listing plugin distributions with provenance and compatibility, against importlib.metadata's bare list of names.

Each figure is the first listing of a fresh process that has imported what it lists with, since what it reads is kept.
Garbage of the imports is collected before, or a collection that they caused would fall into one figure and not the other.

Beside it stand, from the same turns, what stevedore, pluggy and catalogue take to give the same plugins by their public
ways; those import every plugin. Ours and the floor list five broken distributions too; pluggy and catalogue would give
up at the first, so the three get as many sound ones instead.
"""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row

COUNTS = (50, 200)
BROKEN = 5
REPEATS = 15
ALLOWED = 2.0

FLOOR = """
import importlib.metadata
def listed():
    return list(importlib.metadata.entry_points(group="medical_kg.orchestration.stages"))
"""
OURS = """
from medical_kg.orchestration.registry import Installation
def listed():
    return [(str(claim.origin), claim.origin.name, claim.status) for claim in Installation().stages.claims()]
"""
PEERS = {
    "stevedore": """
from stevedore import ExtensionManager
def listed():
    return ExtensionManager("medical_kg.orchestration.stages").names()
""",
    "pluggy": """
import pluggy
def listed():
    manager = pluggy.PluginManager("medical_kg")
    manager.load_setuptools_entrypoints("medical_kg.orchestration.stages")
    return manager.list_plugin_distinfo()
""",
    "catalogue": """
import catalogue, importlib.metadata
def listed():
    catalogue.AVAILABLE_ENTRY_POINTS = importlib.metadata.entry_points()  # which it does when it is imported
    return catalogue.Registry(("medical_kg.orchestration.stages",), entry_points=True).get_all()
""",
}
CHILD = """
import gc, importlib.metadata, sys, time
{code}
sys.path[:] = [{folder!r}, *(path for path in sys.path if path and "packages" not in path)]
gc.collect()
start = time.process_time()
found = listed()
end = time.process_time()
assert len(found) == {entries}, len(found)
print(end - start)
"""
METADATA = """\
Metadata-Version: 2.4
Name: plugin-{number}
Version: 1.{number}
Summary: A plugin made for a measurement.
Requires-Python: >=3.11
Requires-Dist: medical-kg<1,>=0.1
Requires-Dist: lxml>=5

A description of some length.
"""


def install(folder: Path, count: int, broken: int) -> None:
    """Write the distributions, two stage types in one module each; some lack their METADATA."""
    for number in range(count):
        info = folder / f"plugin_{number}-1.{number}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(METADATA.format(number=number))
        (info / "RECORD").write_text("")
        lines = f"[medical_kg.orchestration.stages]\na{number} = p{number}:A\nb{number} = p{number}:B\n"
        (info / "entry_points.txt").write_text(lines)
        (folder / f"p{number}.py").write_text("class A: pass\nclass B: pass\n")
        if number < broken:
            (info / "METADATA").unlink()


def listing(code: str, folder: Path, count: int) -> float:
    """Return the CPU seconds of the first listing in a fresh process."""
    child = CHILD.format(code=code, folder=str(folder), entries=2 * count)
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}  # stevedore keeps a cache of its own
    done = subprocess.run([sys.executable, "-c", child], check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def row(count: int, top: Path) -> Row:
    """Measure all, taking turns."""
    mixed, sound = top / f"mixed-{count}", top / f"sound-{count}"
    install(mixed, count, BROKEN)
    install(sound, count, 0)
    there = [name for name in PEERS if _version(name)]
    figures: dict[str, list[float]] = {name: [] for name in ("ours", "floor", *there)}
    for _ in range(REPEATS):
        figures["ours"].append(listing(OURS, mixed, count))
        figures["floor"].append(listing(FLOOR, mixed, count))
        for name in there:
            figures[name].append(listing(PEERS[name], sound, count))
    taken = {name: statistics.median(column) for name, column in figures.items()}
    ours, floor = taken["ours"], taken["floor"]
    beside = [f"{name} {_version(name)} {taken[name] * 1e3:.1f} ms" for name in there]
    beside += [f"{name} is not installed (make bench installs it)" for name in PEERS if name not in there]
    return Row(
        f"list {count} plugin distributions, {BROKEN} of them broken, with provenance, importing none",
        f"{ours * 1e3:.1f} ms ({ours / floor:.2f} x)",
        f"{floor * 1e3:.1f} ms importlib.metadata.entry_points(); beside it {', '.join(beside)}",
        f"{ALLOWED:.0f} x",
        ours <= ALLOWED * floor,
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def rows() -> Iterator[Row]:
    """Measure each number of distributions."""
    with tempfile.TemporaryDirectory() as name:
        for count in COUNTS:
            yield row(count, Path(name))
