"""The command line as a whole process, against importing the libraries it is made of."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.measure import Row, child_cpu, python

ALLOWED = 1.3


def rows() -> Iterator[Row]:
    """Measure the two commands that people type most."""
    floor = child_cpu(
        python("import typer, rich.console, rich.table, pydantic\nclass Model(pydantic.BaseModel): field: int")
    )
    for words in (["plugins", "list"], ["pipelines", "check", "auto"]):
        ours = child_cpu([sys.executable, "-m", "medical_kg", *words])
        yield Row(
            f"medical-kg {' '.join(words)}, whole process",
            f"{ours:.3f} s ({ours / floor:.2f} x)",
            f"{floor:.3f} s importing typer, rich and pydantic, one model made",
            f"{ALLOWED} x",
            ours <= ALLOWED * floor,
        )
