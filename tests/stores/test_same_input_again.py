"""The same folder again and again, through pipeline ``auto`` and the real stores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import medical_kg
from medical_kg.orchestration.api import submit
from medical_kg.orchestration.contract.database import open_engine, reading
from medical_kg.orchestration.workspace import Workspace

HASHING = {"chunk.embedder": "hashing", "embed.embedder": "hashing"}
TABLES = (
    "index_documents",
    "index_identifiers",
    "index_chunks",
    "index_vectors",
    "graph_statements",
    "graph_nodes",
    "graph_identifiers",
    "graph_edges",
)
SHIPPED = Path(medical_kg.__file__).parent / "pipelines"
NAMES = "abcde"
UNREADABLE = b"\0\1\2\xff" * 10


def workspace(folder: Path, url: str) -> Workspace:
    folder.mkdir(parents=True)
    (folder / "medical_kg.toml").write_text(f'[workspace]\ndatabase_url = "{url}"\n', encoding="utf-8")
    # Without PDFs no process of its own is needed, which would take most of the time.
    auto = (SHIPPED / "auto.yaml").read_text(encoding="utf-8").replace("environment: limited, ", "")
    (folder / "auto.yaml").write_text(auto, encoding="utf-8")
    shutil.copy(SHIPPED / "resilience.yaml", folder)
    return Workspace(folder)


def run(place: Workspace, source: Path, **more: Any) -> None:
    more = {"max_removed": "100%", **more}
    report = submit(place, str(place.root / "auto.yaml"), input=source, engine="plain", overrides=HASHING, **more)
    assert report.submission.status == "completed", report.errors


def rows(url: str, tables: tuple[str, ...] = TABLES) -> dict[str, list[Any]]:
    """All rows of index and graph."""
    engine = open_engine(url)
    with reading(engine) as connection:
        found = {
            table: sorted(map(repr, connection.exec_driver_sql(f"SELECT * FROM {table}").all())) for table in tables
        }
    engine.dispose()
    return found


def text(name: str, version: int) -> str:
    return f"Document {name}\n\nVersion {version} of it speaks of aspirin and of {name * 3}.\n"


EDIT = st.tuples(st.sampled_from(NAMES), st.sampled_from(["write", "write", "remove", "break"]), st.integers(0, 2))
RUNS = st.lists(st.lists(EDIT, max_size=4), min_size=1, max_size=4)


class Folder:
    """A folder of documents, and what a run of it has to leave: what fails keeps what a run before it left."""

    def __init__(self, folder: Path) -> None:
        self.path, self.good = folder / "in", folder / "good"
        self.readable: set[str] = set()
        for path in (self.path, self.good):
            path.mkdir()
            # One that always stays: an empty input is an error.
            (path / "z.txt").write_text(text("z", 0), encoding="utf-8")

    def edit(self, name: str, what: str, version: int) -> None:
        file = self.path / f"{name}.txt"
        if what == "write":
            file.write_text(text(name, version), encoding="utf-8")
        elif what == "remove":
            file.unlink(missing_ok=True)
        elif name in self.readable and file.exists():
            # One that no run could read yet may hold any record that is gone, so that none would be removed.
            file.write_bytes(UNREADABLE)

    def ran(self) -> None:
        """Note what the run that was just made has found."""
        for gone in {file.name for file in self.good.iterdir()} - {file.name for file in self.path.iterdir()}:
            (self.good / gone).unlink()
        read = [file for file in self.path.iterdir() if file.read_bytes() != UNREADABLE]
        self.readable = {file.stem for file in read}
        for file in read:
            shutil.copy(file, self.good)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS)
@example(runs=[[("e", "write", 2)], [("e", "write", 0), ("e", "break", 0)]])
def test_any_edits_and_runs_end_as_a_fresh_run_does(
    runs: list[list[tuple[str, str, int]]], tmp_path: Path, new_url: Callable[[], str]
) -> None:
    """Added, changed, removed and unreadable documents, in any order: index and graph equal a fresh run's, row by row."""
    shutil.rmtree(tmp_path / "case", ignore_errors=True)
    (tmp_path / "case").mkdir()
    folder, url, fresh = Folder(tmp_path / "case"), new_url(), new_url()
    place = workspace(tmp_path / "case" / "kg", url)
    for edits in runs:
        for edit in edits:
            folder.edit(*edit)
        run(place, folder.path)
        folder.ran()
    place.close()
    other = workspace(tmp_path / "case" / "fresh", fresh)
    run(other, folder.good)
    other.close()
    assert rows(url) == rows(fresh)
