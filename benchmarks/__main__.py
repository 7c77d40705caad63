"""Run every benchmark, or those named: ``python -m benchmarks [engine cli …]``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import platform
import sys

import benchmarks


def main(wanted: list[str]) -> None:
    """Print each row as it is measured."""
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}; CPU time, medians")
    names = [module.name.removeprefix("bench_") for module in pkgutil.iter_modules(benchmarks.__path__)]
    known = [name for name in names if importlib.util.find_spec(f"benchmarks.bench_{name}")]
    for name in wanted or known:
        if name not in known:
            sys.exit(f"no benchmark is named {name!r}; there are {', '.join(known)}")
        for row in importlib.import_module(f"benchmarks.bench_{name}").rows():
            print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
