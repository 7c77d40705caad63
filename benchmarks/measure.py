"""How figures are taken: CPU time, medians, and a floor measured in the same run."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the report: what, our figure, the floor's, and what the design allows."""

    what: str
    ours: str
    floor: str
    budget: str
    kept: bool

    def __str__(self) -> str:
        """Return the line as printed."""
        figures = (("ours", self.ours), ("floor", self.floor), ("budget", self.budget))
        told = " | ".join(f"{name} {figure}" for name, figure in figures if figure)
        return f"{'ok ' if self.kept else 'OVER'} {self.what}\n     {told}"


def cpu(function: Callable[[], object], repeats: int = 5) -> float:
    """Return the median CPU seconds (this process, all threads) of calling the function."""
    figures = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        figures.append(time.process_time() - start)
    return statistics.median(figures)


def child_cpu(arguments: list[str], repeats: int = 7) -> float:
    """Return the median CPU seconds of a whole process, in an environment without pytest's or coverage's hooks."""
    figures = []
    for _ in range(repeats):
        before = os.times()
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = os.times()
        figures.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(figures)


def python(code: str) -> list[str]:
    """Return the command that runs this code in a process of its own."""
    return [sys.executable, "-c", code]
