"""The same input again: nothing has changed, or one document in 500."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import documents
from benchmarks.measure import Row, cpu
from medical_kg.orchestration.api import submit
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing.harness import opened_stage

DOCUMENTS, FEW = 10_000, 20
CHANGED = 500
PAGE = 2000
BUDGET = 20e-6
HASHING = {"chunk.embedder": "hashing", "embed.embedder": "hashing"}


def rows() -> Iterator[Row]:
    """Measure a run of unchanged documents, and one where some have changed, beside reading them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few, source = documents.write(folder / "few", FEW), documents.write(folder / "input", DOCUMENTS)
        for one in (few, source):
            _run(folder / f"kg-{one.name}", one)
        read = cpu(lambda: _read(source), 3)
        alone = cpu(lambda: _run(folder / "kg-few", few), 3)
        ours = cpu(lambda: _run(folder / "kg-input", source), 3)
        yield _row("unchanged documents again", ours - alone, read)
        # What the changed ones cost is no cost of the unchanged ones.
        fresh = cpu(lambda: _run(folder / "kg-fresh", few), 1)
        for number in range(0, DOCUMENTS, CHANGED):
            file = source / f"{number:06}.txt"
            file.write_text(file.read_text(encoding="utf-8") + "Changed.\n", encoding="utf-8")
        ours = cpu(lambda: _run(folder / "kg-input", source), 1)
        yield _row(f"documents again, one in {CHANGED} changed", ours - fresh, read)


def _row(what: str, ours: float, read: float) -> Row:
    engine = (ours - read) / DOCUMENTS
    return Row(
        f"{DOCUMENTS:,} {what}",
        f"{engine * 1e6:.1f} µs per document, {ours / DOCUMENTS * 1e6:.1f} µs with reading it",
        f"{read / DOCUMENTS * 1e6:.1f} µs to read it",
        f"{BUDGET * 1e6:.0f} µs more than reading",
        engine <= BUDGET,
    )


def _read(source: Path) -> None:
    """Pull every page from the source, with no engine around."""
    installation = Installation()
    asked = {"input": {"input": str(source)}, "services": {"plugins": installation}}
    with opened_stage(installation.stages.get("ingest").cls, {"adapter": "auto"}, **asked) as stage:
        cursor = stage.pull(None, PAGE).cursor
        while cursor is not None:
            cursor = stage.pull(cursor, PAGE).cursor


def _run(root: Path, source: Path) -> None:
    workspace = Workspace(root)
    report = submit(workspace, "auto", input=source, engine="plain", overrides=HASHING)
    workspace.close()
    if report.submission.status != "completed":
        raise RuntimeError(f"the measured run ended as {report.submission.status}: {report.errors}")
