"""A whole batch on Dagster, against the same functions in a plain loop."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import documents
from benchmarks.measure import Row, cpu
from medical_kg.orchestration.api import EngineName, submit
from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.workspace import Workspace

DOCUMENTS = 1000
REPEATS = 3
FIXED, PER_DOCUMENT = 0.4, 0.0002
ALLOWED_WITH_MODEL = 1.05


def rows() -> Iterator[Row]:
    """Measure both engines with the hashing embedder, and Dagster with the real one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = documents.write(folder / "input", DOCUMENTS)
        _run(folder / "warm", documents.write(folder / "few", 2), "dagster", "hashing")
        _run(folder / "warm-model", folder / "few", "plain", "minilm")
        yield from _with_hashing(folder, source)
        yield _with_model(folder, source)


def _with_hashing(folder: Path, source: Path) -> Iterator[Row]:
    floor = _median(folder, "floor", lambda root: documents.plain_loop(source, root, "hashing"))
    allowed = FIXED + PER_DOCUMENT * DOCUMENTS
    engines: tuple[EngineName, ...] = ("dagster", "plain")
    for engine in engines:
        for number in range(REPEATS):
            _make(folder / f"{engine}-{number}")
        ours = _median(folder, engine, lambda root, engine=engine: _run(root, source, engine, "hashing"))
        yield Row(
            f"a batch of {DOCUMENTS:,} documents, {engine}, hashing embedder",
            f"{ours:.2f} s, {ours - floor:.2f} s more",
            f"{floor:.2f} s plain loop",
            f"{allowed:.2f} s more",
            ours - floor <= allowed,
        )


def _with_model(folder: Path, source: Path) -> Row:
    floor = cpu(partial(documents.plain_loop, source, folder / "floor-model", "minilm"), 1)
    ours = cpu(partial(_run, folder / "dagster-model", source, "dagster", "minilm"), 1)
    return Row(
        f"the same with the ONNX embedder, {DOCUMENTS:,} documents",
        f"{ours:.1f} s ({ours / floor:.3f} x)",
        f"{floor:.1f} s plain loop",
        f"{ALLOWED_WITH_MODEL} x",
        ours <= ALLOWED_WITH_MODEL * floor,
    )


def _median(folder: Path, name: str, function: object) -> float:
    numbers = iter(range(100))
    return cpu(lambda: function(folder / f"{name}-{next(numbers)}"), REPEATS)  # type: ignore[operator]


def _make(root: Path) -> None:
    """Make a workspace's databases, which is once per workspace and not per batch."""
    workspace = Workspace(root)
    workspace.ledger.close()
    open_instance(workspace).dispose()


def _run(root: Path, source: Path, engine: EngineName, embedder: str) -> None:
    overrides = {"chunk.embedder": embedder, "embed.embedder": embedder}
    workspace = Workspace(root)
    report = submit(workspace, "auto", input=source, engine=engine, overrides=overrides)
    workspace.close()
    if report.submission.status != "completed":
        raise RuntimeError(f"the measured run ended as {report.submission.status}: {report.errors}")
