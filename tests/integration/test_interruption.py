"""Interrupting a run: Ctrl-C and SIGTERM end it with one line and 130, SIGKILL without; the same command completes."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterRunStatus

from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.workspace import Workspace

Running = Callable[..., Any]

HELD = """
name: held
version: "1"
stages:
  - {name: ingest, type: ingest, config: {adapter: auto}}
  - {name: parse, type: parse, depends_on: [ingest]}
  - {name: hold, type: hold, depends_on: [parse]}
  - {name: beside, type: hold, depends_on: [parse]}
"""

HOLD = """
import pathlib, time
from medical_kg import NoConfig, Stage, StageMetadata

class HoldStage(Stage[NoConfig]):
    metadata = StageMetadata(stage_type="hold", version="1.0.0", description="Stays until it is let go.")

    def run(self, ctx):
        while not pathlib.Path("let go").exists():
            pathlib.Path("at " + ctx.stage).touch()
            time.sleep(0.05)
"""


@pytest.fixture
def hold(kg: Any) -> dict[str, str]:
    """A pipeline whose last stages stay until they are let go; returns the environment that has its package."""
    info = kg.folder / "site" / "hold_kit-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hold-kit\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medical_kg.orchestration.stages]\nhold = hold_kit:HoldStage\n")
    (kg.folder / "site" / "hold_kit.py").write_text(HOLD)
    (kg.folder / "held.yaml").write_text(HELD)
    return {"PYTHONPATH": str(kg.folder / "site")}


def await_files(process: Any, *paths: Path, how_many: int = 1) -> None:
    """Return as soon as so many of the files are there."""
    deadline = time.monotonic() + 120
    while sum(path.exists() for path in paths) < how_many:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def dagster_runs(kg: Any) -> list[DagsterRunStatus]:
    """How Dagster's runs ended, the oldest first."""
    workspace = Workspace(kg.root)
    with open_instance(workspace) as instance:
        runs = instance.get_runs()
    workspace.close()
    return [run.status for run in reversed(list(runs))]


@pytest.mark.parametrize("engine", ["plain", "dagster"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interrupted_run_is_given_up_at_once(
    kg: Any, hold: dict[str, str], running: Running, engine: str, number: int
) -> None:
    """One line, code 130, the batch free at once even while parallel stages are still at work; nothing is repeated."""
    words = ("run", "held.yaml", "--input", kg.source, "--engine", engine)
    with running(kg.start(*words, environment=hold)) as process:
        # The plain engine runs them side by side, Dagster in one process one after the other.
        at = [kg.folder / "at hold", kg.folder / "at beside"]
        await_files(process, *at, how_many=2 if engine == "plain" else 1)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, "Traceback" in err) == (130, "", False)
    assert err.splitlines()[-1] == "interrupted"
    (submission,) = kg.json("submissions", "list")
    assert submission["status"] == "pending"
    assert f"submissions resume {submission['id']}" in err

    (kg.folder / "let go").touch()
    again = kg(*words, environment=hold)
    assert again.returncode == 0, again.stderr
    events = Counter(kg.events())
    assert [events[stage, "stage completed"] for stage in ("ingest", "parse", "hold", "beside")] == [1, 1, 1, 1]
    assert events["parse", "stage reused"] == 1
    if engine == "dagster":
        assert dagster_runs(kg) == [DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS]


@pytest.mark.parametrize(
    ("engine", "after"), [("plain", "ingest"), ("plain", "ir_validation"), ("plain", "extract"), ("dagster", "extract")]
)
def test_ctrl_c_between_two_stages(kg: Any, running: Running, goes_on: Any, engine: str, after: str) -> None:
    """Wherever Ctrl-C comes, also between two ops of Dagster, the run stops and can be gone on with."""
    with running(kg.start(*kg.auto, "--engine", engine)) as process:
        kg.wait_for(process, after)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, "Traceback" in err) == (130, "", False), err
    assert err.splitlines()[-1] == "interrupted"
    assert len(kg.finished()) < 8
    goes_on(kg, "--engine", engine)


LOST = """
import os, signal, time, medical_kg.cli as cli
class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
class Stuck:
    def __get__(self, *_):
        Closing()
        time.sleep(60)
from medical_kg.cli.state import State
State.print_json = Stuck()
cli.main()
"""


def test_ctrl_c_is_not_lost_where_python_cannot_raise(kg: Any) -> None:
    """What comes while an object is torn down, where Python lets no exception through, ends the program all the same."""
    done = kg("plugins", "list", "--json", script=LOST)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.2, 0.4])
def test_ctrl_c_while_it_starts(kg: Any, running: Running, seconds: float) -> None:
    """Before anything has begun, Ctrl-C is one line and 130 too, whatever is being imported."""
    script = "import sys, medical_kg.cli as cli\nprint('up', flush=True)\ncli.main()"
    with running(kg.start(*kg.auto, script=script)) as process:
        assert process.stdout.readline() == "up\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in err) == (130, False), err
    assert err.splitlines()[-1] == "interrupted"


def kill(process: Any) -> None:
    """Kill a program and leave it lying, as a parent that has not noticed: a zombie is dead, and its batch is free."""
    os.killpg(process.pid, signal.SIGKILL)
    while Path(f"/proc/{process.pid}").exists() and b") Z " not in Path(f"/proc/{process.pid}/stat").read_bytes():
        time.sleep(0.001)


DIES_AT_COMMIT = """
import os, signal
from medical_kg.cli import main
from medical_kg.orchestration.ledger.sql import SqlLedger
commit = SqlLedger.commit
def dying(self, record, *rest, **more):
    if record.stage == "index":
        os.kill(os.getpid(), signal.SIGKILL)
    return commit(self, record, *rest, **more)
SqlLedger.commit = dying
main()
"""


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_a_kill_between_the_write_and_the_commit(kg: Any, goes_on: Any, engine: str) -> None:
    """What a stage wrote but did not commit is written again, replacing itself: no row is doubled or missing."""
    done = kg(*kg.auto, "--engine", engine, script=DIES_AT_COMMIT)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "index" not in kg.finished()
    goes_on(kg, "--engine", engine)
    if engine == "dagster":
        assert dagster_runs(kg) == [DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS]


DIES_AT_FIRST_OP = """
import os, signal
from medical_kg.cli import main
from medical_kg.orchestration.dagster import attach
attach.driven = lambda context: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def test_a_kill_before_the_first_op(kg: Any, goes_on: Any) -> None:
    """A Dagster run that dies before it has done anything is known to the ledger, and reported failed."""
    assert kg(*kg.auto, "--engine", "dagster", script=DIES_AT_FIRST_OP).returncode == -signal.SIGKILL
    goes_on(kg, "--engine", "dagster")
    assert dagster_runs(kg) == [DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS]


@pytest.mark.parametrize("milliseconds", [0, 5, 20, 80])
def test_a_kill_while_the_database_is_made(kg: Any, goes_on: Any, running: Running, milliseconds: int) -> None:
    """A workspace that was killed at its very beginning opens cleanly."""
    with running(kg.start(*kg.auto, "--engine", "plain")) as process:
        await_files(process, kg.database)
        time.sleep(milliseconds / 1000)
        kill(process)
    goes_on(kg, "--engine", "plain")
