"""Stage types have no meaning to the engine: under other names they give the same results, with the engine unchanged."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from medical_kg.orchestration import Workspace, submit
from medical_kg.orchestration.ledger.tables import METADATA
from medical_kg.orchestration.registry import STAGES, Installation

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "medical_kg"
PREFIX = "x-"
HASHING = {"chunk.embedder": "hashing", "embed.embedder": "hashing"}

pytestmark = pytest.mark.slow


def renamed_installation(folder: Path) -> Installation:
    """A distribution that brings all built-in plugins, its stage types under other names; ours is not seen."""
    points = importlib.metadata.distribution("medical-kg").entry_points
    modules = ["import dataclasses", "import importlib"]
    doors: dict[str, list[str]] = {}
    for point in (point for point in points if point.group.startswith("medical_kg.")):
        if point.group == STAGES:
            module, _, name = point.value.partition(":")
            new = f"dataclasses.replace(base.metadata, stage_type={PREFIX + point.name!r})"
            modules += [f"base = getattr(importlib.import_module({module!r}), {name!r})"]
            modules += [f"{name} = type({name!r}, (base,), {{'metadata': {new}, '__module__': __name__}})"]
            doors.setdefault(point.group, []).append(f"{PREFIX}{point.name} = renamed_pack:{name}")
        else:
            doors.setdefault(point.group, []).append(f"{point.name} = {point.value}")
    (folder / "modules").mkdir()
    (folder / "modules" / "renamed_pack.py").write_text("\n".join(modules), encoding="utf-8")
    info = folder / "metadata" / "renamed_pack-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: renamed-pack\nVersion: 1.0\n", encoding="utf-8")
    lines = [line for door, entries in doors.items() for line in (f"[{door}]", *entries, "")]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return Installation(path=[str(folder / "metadata")])


def renamed_pipeline(folder: Path) -> Path:
    """The shipped main pipeline, its types under the other names."""
    pipeline = yaml.safe_load((PACKAGE / "pipelines" / "auto.yaml").read_text(encoding="utf-8"))
    for stage in pipeline["stages"]:
        stage["type"] = PREFIX + stage["type"]
        stage.pop("environment", None)  # a worker process knows what is installed, not what this test makes up
    (folder / "resilience.yaml").write_bytes((PACKAGE / "pipelines" / "resilience.yaml").read_bytes())
    path = folder / "auto.yaml"
    path.write_text(yaml.safe_dump(pipeline), encoding="utf-8")
    return path


def run(workspace: Workspace, pipeline: str) -> list[str]:
    """Run over the samples and return the stage types that ran; branches run side by side, so in no order."""
    report = submit(workspace, pipeline, input=ROOT / "samples", overrides=HASHING, engine="plain")
    workspace.close()
    assert report.submission.status == "completed", report.errors
    return sorted(stage.stage_type for stage in report.stages)


def stored(workspace: Workspace) -> dict[str, list[str]]:
    """Every row of index and graph, by table."""
    with closing(sqlite3.connect(workspace.root / "medical-kg.db")) as database:
        names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        ours = sorted(names - set(METADATA.tables) - {"alembic_version"})
        return {name: sorted(repr(row) for row in database.execute(f'SELECT * FROM "{name}"')) for name in ours}


def digest(folder: Path) -> str:
    """The sha256 over every file of a folder, caches left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in files)).hexdigest()


def test_renamed_stage_types_give_equal_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every built-in stage type and its use renamed, index and graph are equal row for row."""
    engine = digest(PACKAGE / "orchestration")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    installation = renamed_installation(tmp_path)
    assert all(name.startswith(PREFIX) for name in installation.stages.names())
    usual, renamed = Workspace(tmp_path / "usual"), Workspace(tmp_path / "renamed", installation=installation)

    types = run(usual, "auto")
    assert run(renamed, str(renamed_pipeline(tmp_path))) == [PREFIX + name for name in types]

    before, after = stored(usual), stored(renamed)
    assert {"index_chunks", "index_vectors", "graph_nodes", "graph_edges"} <= {
        name for name, rows in before.items() if rows
    }
    # An edge names the stage that found it.
    after["graph_edges"] = [row.replace("'x-extract ", "'extract ") for row in after["graph_edges"]]
    assert after == before
    assert digest(PACKAGE / "orchestration") == engine
