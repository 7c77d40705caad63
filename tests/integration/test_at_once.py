"""Several at once: two runs of one input, and a database that somebody else holds."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

Running = Callable[..., Any]

IMPATIENT = """
from medical_kg.orchestration.contract import database
database.BUSY_TIMEOUT_SECONDS = 1
from medical_kg.cli import main
main()
"""


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_two_runs_of_the_same_input_do_its_work_once(kg: Any, running: Running, rows_of_few: Any, engine: str) -> None:
    """Started together, one does the work; the other ends with 0 or, while it is held, 3. Nothing is done twice."""
    with (
        running(kg.start(*kg.auto, "--engine", engine)) as first,
        running(kg.start(*kg.auto, "--engine", engine)) as second,
    ):
        said = [process.communicate(timeout=120)[1] for process in (first, second)]
        codes = {first.returncode, second.returncode}
    assert 0 in codes, said
    assert codes <= {0, 3}, said
    assert not any("Error" in text or "Traceback" in text for text in said), said
    submissions = kg.json("submissions", "list")
    # Where one was done before the other began, that is a second submission; never two at work on one.
    assert [one["status"] for one in submissions] == ["completed"] * len(submissions)
    completed = [stage for stage, event in kg.events() if event == "stage completed"]
    assert len(completed) == 8 * len(submissions)
    assert kg.rows() == rows_of_few


def test_a_batch_that_is_held_is_named(kg: Any, running: Running) -> None:
    """While a run is at work, the same command says who holds the batch and until when, and ends with 3."""
    with running(kg.start(*kg.auto, "--engine", "dagster")) as process:
        kg.wait_for(process, "ingest")
        process.send_signal(signal.SIGSTOP)  # stopped, so that it surely is at work, and holds its lease
        done = kg(*kg.auto, "--engine", "plain")
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=120) == 0
    assert done.returncode == 3, done.stderr
    assert "is held by" in done.stderr
    assert f":{process.pid}:" in done.stderr


def test_a_database_that_is_held_for_a_moment_is_waited_for(kg: Any, running: Running, rows_of_few: Any) -> None:
    """Another process that writes for a moment makes a run wait, not fail."""
    kg.root.mkdir()
    with closing(sqlite3.connect(kg.database, isolation_level=None)) as other:
        other.execute("pragma journal_mode=wal")
        other.execute("begin immediate")
        with running(kg.start(*kg.auto, "--engine", "plain")) as process:
            time.sleep(3)
            assert process.poll() is None
            other.execute("commit")
            assert process.wait(timeout=120) == 0
    assert kg.rows() == rows_of_few


@pytest.mark.slow
def test_a_database_that_stays_held_is_told(kg: Any, refused: Callable[..., str], goes_on: Any) -> None:
    """Held for longer than the busy timeout, the database is named with what to do; then the same command completes."""
    kg.root.mkdir()
    with closing(sqlite3.connect(kg.database, isolation_level=None)) as other:
        other.execute("pragma journal_mode=wal")
        other.execute("begin immediate")
        assert "another process has held it" in refused(kg(*kg.auto, "--engine", "plain", script=IMPATIENT), 1)
        other.execute("commit")
    goes_on(kg, "--engine", "plain")
