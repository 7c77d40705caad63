"""Listing 50 plugin distributions with provenance and compatibility, against importlib.metadata's bare list of names.

Each figure is the first listing of a fresh process that has imported what it lists with, since what it reads is kept.
Garbage of the imports is collected before, or a collection that they caused would fall into one figure and not the other.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row

DISTRIBUTIONS = 50
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
CHILD = """
import gc, importlib.metadata, sys, time
{code}
sys.path[:] = [{folder!r}]
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


def install(folder: Path) -> None:
    """Write the metadata of the distributions, two stage types each."""
    for number in range(DISTRIBUTIONS):
        info = folder / f"plugin_{number}-1.{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(METADATA.format(number=number))
        (info / "RECORD").write_text("")
        lines = f"[medical_kg.orchestration.stages]\na{number} = p{number}:A\nb{number} = p{number}:B\n"
        (info / "entry_points.txt").write_text(lines)


def listing(code: str, folder: Path) -> float:
    """Return the CPU seconds of the first listing in a fresh process."""
    child = CHILD.format(code=code, folder=str(folder), entries=2 * DISTRIBUTIONS)
    done = subprocess.run([sys.executable, "-c", child], check=True, capture_output=True, text=True)
    return float(done.stdout)


def rows() -> Iterator[Row]:
    """Measure both, taking turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder)
        figures = [(listing(OURS, folder), listing(FLOOR, folder)) for _ in range(REPEATS)]
    ours, floor = (statistics.median(column) for column in zip(*figures, strict=True))
    yield Row(
        f"list {DISTRIBUTIONS} plugin distributions with provenance, importing none",
        f"{ours * 1e3:.1f} ms ({ours / floor:.2f} x)",
        f"{floor * 1e3:.1f} ms importlib.metadata.entry_points()",
        f"{ALLOWED:.0f} x",
        ours <= ALLOWED * floor,
    )
