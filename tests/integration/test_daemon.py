"""Dagster's own daemon over a workspace, with kill -9 of it, of a run worker, and of both: nothing lost, nothing twice."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 420
WAITING = 3
"""The exit code of a run that waits for a signal."""
LOCATION = "medical_kg.orchestration.dagster.location"

SETTINGS = """
[workspace]
lease_seconds = 15
[plugins.local.stages]
hold = "hold:HoldStage"
"""

HOLD = '''
"""A stage that tells its process id, and lingers while it is told to."""
import os
import time
from pathlib import Path

from medical_kg import Stage, StageMetadata

HERE = Path(__file__).parent


class HoldStage(Stage):
    metadata = StageMetadata(stage_type="hold", version="1.0", description="Lingers.")

    def run(self, ctx):
        (HERE / "worker").write_text(str(os.getpid()))
        while (HERE / "linger").exists():
            time.sleep(0.05)
'''

GATED = """
name: gated
version: "1"
stages:
  - {name: ingest, type: ingest, config: {adapter: auto}}
  - {name: gate_ready, type: gate, depends_on: [ingest]}
  - {name: parse, type: parse, depends_on: [gate_ready]}
  - {name: chunk, type: chunk, depends_on: [parse], config: {embedder: hashing}}
  - {name: embed, type: embed, depends_on: [chunk], config: {embedder: hashing}}
  - {name: index, type: index, depends_on: [embed]}
  - {name: hold, type: hold, depends_on: [index]}
  - {name: extract, type: extract, depends_on: [parse, hold]}
  - {name: kg, type: knowledge-graph, depends_on: [extract]}
gates:
  - {name: ready, resume_stage: parse, condition: {field: converted, equals: "yes"}}
"""


SUBMIT = """
import sys
from pathlib import Path

from medical_kg.orchestration.dagster.instance import dagster_home
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.workspace import Workspace

workspace = Workspace(Path(sys.argv[1]))
dagster_home(workspace)
print(open_submission(workspace, "gated", input=sys.argv[2]).id)
"""


def until(fact: Callable[[], Any], what: str) -> Any:
    """Return what a fact gives as soon as it gives something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := fact()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.1)
    return found


class Site:
    """A workspace in a folder, and the daemon that works on it."""

    def __init__(self, kg: Any) -> None:
        self.kg, self.folder = kg, kg.folder
        (kg.root / "pipelines").mkdir(parents=True)
        (kg.root / "pipelines" / "gated.yaml").write_text(GATED)
        (kg.folder / "medical_kg.toml").write_text(SETTINGS)
        (kg.folder / "hold.py").write_text(HOLD)
        self.home = kg.root / "dagster"
        self.daemon: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []

    def start(self) -> None:
        """Start a daemon: it starts a code server, which starts a process for each run."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DAGSTER"))}
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-m", LOCATION],
            cwd=self.folder,
            env={**ours, "DAGSTER_HOME": str(self.home), "MEDICAL_KG_WORKSPACE": str(self.kg.root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._groups.append(self.daemon.pid)

    def kill_daemon(self) -> None:
        """Kill -9 the daemon; its code server finds out by itself."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def kill_worker(self) -> None:
        """Kill -9 the process of the run that lingers in its stage."""
        os.kill(self.worker(), signal.SIGKILL)
        (self.folder / "worker").unlink()

    def worker(self) -> int:
        place = self.folder / "worker"
        return int(until(lambda: place.exists() and place.read_text(), "a run reaches the stage `hold`"))

    def close(self) -> None:
        for group in self._groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.daemon is not None:
            self.daemon.wait()

    def submit(self, source: Path) -> str:
        """Put a submission into the ledger, for the daemon to find."""
        done = subprocess.run(
            [sys.executable, "-c", SUBMIT, str(self.kg.root), str(source)], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def tell(self, submission: str) -> None:
        assert self.kg("submissions", "signal", submission, "converted", "yes").returncode == 0

    def comes_to(self, submission: str, status: str) -> None:
        query = f"select status from submissions where id = '{submission}'"
        until(lambda: self.kg.ask(query) == [(status,)], f"submission {submission} is {status}")

    def history(self, submission: str, event: str) -> Any:
        query = f"select stage, actor from history where submission_id = '{submission}' and event = '{event}'"
        return self.kg.ask(f"{query} order by id")

    def runs(self, submission: str) -> list[str]:
        """The states of the submission's Dagster runs, in the order they were made."""
        with closing(sqlite3.connect(self.home / "history" / "runs.db")) as connection:
            query = (
                "select status from runs where run_id in (select run_id from run_tags where key = 'medical_kg/submission'"
                " and value = ?) order by id"
            )
            return [status for (status,) in connection.execute(query, (submission,))]


@pytest.fixture
def site(kg: Any) -> Iterator[Site]:
    opened = Site(kg)
    yield opened
    opened.close()


@pytest.mark.long
def test_whatever_is_killed_one_run_goes_on(site: Site, few: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Daemon, run worker and both are killed, before and after the signal and in phase two: each batch goes on once."""
    linger = site.folder / "linger"
    first = site.submit(few)
    site.start()
    site.comes_to(first, "waiting")

    site.kill_daemon()  # before the signal
    site.tell(first)
    linger.touch()
    site.start()
    site.worker()

    site.kill_worker()  # in phase two; another run takes the batch over
    site.worker()
    site.kill_worker()  # both, in phase two
    site.kill_daemon()
    linger.unlink()
    other = site.folder / "other"
    other.mkdir()
    shutil.copy(max(few.glob("*")), other)
    site.start()
    site.comes_to(first, "completed")

    second = site.submit(other)
    site.comes_to(second, "waiting")
    site.tell(second)
    until(lambda: len(site.history(second, "launched")) == 2, "the told batch is launched")
    site.kill_daemon()  # after the signal, while its run is on its way
    site.start()
    site.comes_to(second, "completed")

    until(lambda: not any("STARTED" in site.runs(one) for one in (first, second)), "runs end")
    finished = [site.runs(one) for one in (first, second)]
    assert Counter(finished[0]) == {"SUCCESS": 2, "FAILURE": 2}
    assert Counter(finished[1])["SUCCESS"] == 2
    for submission in (first, second):
        stages = Counter(stage for stage, _ in site.history(submission, "stage completed"))
        assert stages == Counter(("ingest", "gate_ready", "parse", "chunk", "embed", "index", "hold", "extract", "kg"))
    assert len(site.history(first, "running")) == 4
    assert len(site.history(second, "running")) == 2
    assert site.kg.rows() == uninterrupted(site, few, tmp_path_factory.mktemp("plain"))


def uninterrupted(site: Site, source: Path, folder: Path) -> Any:
    """What the same pipeline leaves in index and graph when nothing is killed."""
    plain = Site(type(site.kg)(folder, source))
    assert plain.kg("run", "gated", "--input", source, "--engine", "plain").returncode == WAITING
    (submission,) = plain.kg.json("submissions", "list")
    plain.tell(submission["id"])
    assert plain.kg("submissions", "resume", submission["id"], "--engine", "plain").returncode == 0
    return plain.kg.rows()
