"""Peak memory of a long submission against a ten times shorter one: batches, not the corpus, must decide it.

With MEDICAL_KG_BENCH_DOCUMENTS=100000 at the size that the design names, in batches of the default size.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import documents
from benchmarks.measure import Row, python

MANY = int(os.environ.get("MEDICAL_KG_BENCH_DOCUMENTS", "20000"))
FEW = MANY // 10
ALLOWED = 1.1
BATCH = min(2_000, FEW // 4)
"""So that the shorter one has several batches, too."""

CODE = """
from pathlib import Path
from medical_kg.orchestration.api import submit
from medical_kg.orchestration.workspace import Workspace
overrides = {{"chunk.embedder": "hashing", "embed.embedder": "hashing"}}
report = submit(Workspace(Path({root!r})), {pipeline!r}, input={source!r}, engine="dagster", overrides=overrides)
assert report.submission.status == "completed", report.errors
# Not ru_maxrss, which a process inherits from the one that started it.
print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])
"""


def rows() -> Iterator[Row]:
    """Measure peak resident memory of two processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few, many = (_peak(folder, count) for count in (FEW, MANY))
    yield Row(
        f"memory at {MANY:,} documents against {FEW:,}, batches of {BATCH}",
        f"{many / 1024:.0f} MiB ({many / few:.2f} x)",
        f"{few / 1024:.0f} MiB",
        f"{ALLOWED} x",
        many <= ALLOWED * few,
    )


def _peak(folder: Path, count: int) -> int:
    from medical_kg.orchestration.pipeline.catalog import shipped_folder

    source = documents.write(folder / f"input-{count}", count)
    text = (shipped_folder() / "auto.yaml").read_text(encoding="utf-8")
    pipeline = folder / "auto.yaml"
    pipeline.write_text(text.replace("stages:", f"batch_size: {BATCH}\nstages:", 1), encoding="utf-8")
    code = CODE.format(root=str(folder / f"work-{count}"), pipeline=str(pipeline), source=str(source))
    done = subprocess.run(python(code), check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])
