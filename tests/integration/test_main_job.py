"""The main job, whole: real documents, both engines, a kill in the middle, a second run."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterEventType

from medical_kg.orchestration.api import EngineName, Report, submit
from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.telemetry.events import Event, Events, StageCompleted
from medical_kg.orchestration.workspace import Workspace

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
EXPECTED = json.loads((Path(__file__).resolve().parents[1] / "data" / "expected_counts.json").read_text())
HASHING = {"chunk.embedder": "hashing", "embed.embedder": "hashing"}

# What is known stands in the tables of index and graph: not in FTS5's own segments, not in the counter of changes.
CONTENT = ("index_", "graph_")
INTERNAL = ("index_text_", "index_meta")


def content(database: Path) -> dict[str, list[Any]]:
    """Every row of index and graph, by table; the ledger and the roots' versions aside."""
    with closing(sqlite3.connect(database)) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        kept = [name for name in sorted(tables) if name.startswith(CONTENT) and not name.startswith(INTERNAL)]
        assert len(kept) > 5
        return {name: sorted(connection.execute(f"select * from {name}").fetchall(), key=repr) for name in kept}


def run(folder: Path, source: Path, engine: EngineName, **overrides: Any) -> tuple[Report, dict[str, list[Any]]]:
    workspace = Workspace(folder)
    try:
        overrides = {**HASHING, **overrides}
        report = submit(workspace, "auto", input=source, engine=engine, overrides=overrides, full_refresh=True)
    finally:
        workspace.close()
    return report, content(folder / "medical-kg.db")


def totals(report: Report) -> dict[str, Any]:
    return {stage.stage: (dict(stage.counts), stage.dead_letters) for stage in report.stages}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, dict[str, list[Any]]]:
    """The samples run once without interruption, by the plain engine."""
    return run(tmp_path_factory.mktemp("whole"), SAMPLES, "plain")


def test_every_sample_is_indexed_and_in_the_graph(whole: tuple[Report, dict[str, list[Any]]]) -> None:
    """Each of the bundled documents is parsed, valid, indexed and in the graph, with no dead letter."""
    report, rows = whole
    assert report.submission.status == "completed"
    assert report.dead_letters == 0
    documents = totals(report)["parse"][0]["documents"]
    assert documents == totals(report)["index"][0]["documents"] > 15
    # No two of them are records of one work.
    assert {name for name, found in rows.items() if not found} == {"graph_same"}


def test_both_engines_write_the_same_rows(whole: tuple[Report, dict[str, list[Any]]], tmp_path: Path) -> None:
    """Dagster and the plain runner leave equal counts, index and graph (scenario 17)."""
    report, rows = run(tmp_path, SAMPLES, "dagster")
    assert totals(report) == totals(whole[0])
    assert rows == whole[1]


def test_a_second_run_leaves_every_row_as_it_was(whole: tuple[Report, dict[str, list[Any]]], tmp_path: Path) -> None:
    """Running the same input again is a new submission and changes no row of index or graph."""
    first, before = run(tmp_path, SAMPLES, "plain")
    second, after = run(tmp_path, SAMPLES, "plain")
    assert first.submission.id != second.submission.id
    assert before == after == whole[1]


def test_small_batches_give_the_same_rows_as_one(whole: tuple[Report, dict[str, list[Any]]], tmp_path: Path) -> None:
    """How the input is cut into batches changes nothing in index and graph."""
    text = (Path(__file__).resolve().parents[2] / "src/medical_kg/pipelines/auto.yaml").read_text()
    (tmp_path / "auto.yaml").write_text(text.replace("stages:", "batch_size: 7\nstages:", 1))
    workspace = Workspace(tmp_path / "w")
    report = submit(workspace, str(tmp_path / "auto.yaml"), input=SAMPLES, engine="plain", overrides=HASHING)
    workspace.close()
    assert len(report.batches) == 3
    assert content(tmp_path / "w" / "medical-kg.db") == whole[1]


RUN = """
import sys
from pathlib import Path
from medical_kg.orchestration.api import submit
from medical_kg.orchestration.workspace import Workspace
overrides = {"chunk.embedder": "hashing", "embed.embedder": "hashing"}
asked = {"input": sys.argv[2], "engine": sys.argv[3], "overrides": overrides, "full_refresh": True}
submit(Workspace(Path(sys.argv[1])), "auto", **asked)
"""


def stages_done(database: Path) -> Iterator[str]:
    if database.exists():
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            try:
                found = connection.execute("select stage from stage_results where status = 'completed'").fetchall()
            except sqlite3.OperationalError:
                return  # the schema is being made
            yield from (stage for (stage,) in found)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_a_killed_run_goes_on_where_it_was(
    whole: tuple[Report, dict[str, list[Any]]], tmp_path: Path, engine: EngineName
) -> None:
    """Killed after chunk, the run is resumed in a new process: finished stages are reused, all rows equal (16)."""
    database = tmp_path / "medical-kg.db"
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), str(SAMPLES), engine])
    deadline = time.monotonic() + 120
    while "chunk" not in set(stages_done(database)):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = set(stages_done(database))
    assert finished >= {"ingest", "parse", "ir_validation", "chunk"}
    assert "index" not in finished, "the kill came too late to prove anything"

    report, rows = run(tmp_path, SAMPLES, engine)
    workspace = Workspace(tmp_path)
    history = [(entry.stage, entry.event) for entry in workspace.ledger.history(report.submission.id)]
    workspace.close()
    assert len(report.batches) == 1
    assert report.submission.status == "completed"
    for stage in finished:
        assert history.count((stage, "stage completed")) == 1
        assert history.count((stage, "stage reused")) == 1
    assert rows == whole[1]
    assert totals(report) == totals(whole[0])


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["ctgov/bulk", "jats", "pubmed"])
def test_real_documents_come_through_in_full(shared_data: Path, tmp_path: Path, folder: str) -> None:
    """Every record an independent script counts is parsed, indexed and in the graph; the rest is dead-lettered."""
    expected = EXPECTED[folder]
    report, rows = run(tmp_path, shared_data / folder, "plain")
    counts = {stage.stage: dict(stage.counts) for stage in report.stages}
    assert report.submission.status == "completed"
    assert counts["parse"]["documents"] == counts["index"]["documents"] == expected["unique"]
    assert report.dead_letters == len(expected["rejected"])
    assert {name for name, found in rows.items() if not found} <= {"graph_same"}


def test_ledger_dagster_and_events_tell_the_same_figures(tmp_path: Path) -> None:
    """Counts, dead letters and retries of each stage are equal in the ledger, on Dagster's run page and in the events."""
    told: list[Event] = []
    workspace = Workspace(tmp_path)
    report = submit(workspace, "auto", input=SAMPLES, engine="dagster", overrides=HASHING, events=Events([told.append]))
    run_id = report.batches[0].run_id
    assert run_id is not None
    with open_instance(workspace) as instance:
        records = instance.all_logs(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION)
    workspace.close()
    events = [record.dagster_event for record in records if record.dagster_event is not None]
    shown = {
        event.step_key: {
            name: value.value
            for name, value in event.step_materialization_data.materialization.metadata.items()
            if isinstance(value.value, float)
        }
        for event in events
    }
    kept = {
        stage.stage: {**stage.counts, "dead_letters": stage.dead_letters, "retries": stage.retries}
        for stage in report.stages
    }
    completed = {
        event.stage: {**event.counts, "dead_letters": event.dead_letters, "retries": event.retries}
        for event in told
        if isinstance(event, StageCompleted)
    }
    assert len(kept) == 8
    assert kept == shown == completed
