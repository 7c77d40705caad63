"""Several processes that run whole batches: side by side, killed, interrupted, and left alone by who started them."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration import api
from medical_kg.orchestration.contract.errors import PipelineInvalid, RecordNotFound, WorkerDied
from medical_kg.orchestration.crew import Crew, hand, processes
from medical_kg.orchestration.crew.messages import event_of, plain
from medical_kg.orchestration.isolation.channel import Channel
from medical_kg.orchestration.runner import is_dead
from medical_kg.orchestration.telemetry.events import BatchSettled, Event, Events, StageCompleted
from medical_kg.orchestration.workspace import Workspace

PATIENCE_SECONDS = 120
"""When a test gives up; no test measures time."""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_two_batches_are_run_at_a_time(acting: Any, engine: str) -> None:
    """The second batch opens when the first one's pull is committed, and both are at work at once, in two processes."""
    heard: list[Event] = []
    report = acting.run("meet", engine=engine, events=Events([heard.append]))
    assert (report.submission.status, len(report.batches)) == ("completed", 4)
    assert {stage.stage: dict(stage.counts) for stage in report.stages} == {"feed": {"numbers": 4}, "act": {"acted": 4}}
    entries = Workspace(acting.root).ledger.history(report.submission.id)
    assert len({entry.actor for entry in entries if entry.event == "running"}) == 2
    assert len([event for event in heard if isinstance(event, BatchSettled)]) == 4
    completed = [(event.batch_id, event.stage) for event in heard if isinstance(event, StageCompleted)]
    assert len(completed) == len(set(completed)) == 8


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_a_killed_worker_loses_nothing(acting: Any, engine: str, caplog: pytest.LogCaptureFixture) -> None:
    """Another process goes on with the batch of a killed one at once; nothing is done twice, and it is told."""
    report = acting.run("die_once", engine=engine)
    assert report.submission.status == "completed"
    assert (acting.folder / "died").exists()
    assert "ended by SIGKILL while it ran batch" in caplog.text
    entries = Workspace(acting.root).ledger.history(report.submission.id)
    done = [(entry.batch_id, entry.stage) for entry in entries if entry.event == "stage completed"]
    assert len(done) == len(set(done)) == 8


@pytest.mark.slow
def test_a_batch_that_kills_its_workers_is_an_error(acting: Any) -> None:
    """A batch that ends one process after the other is given up and named; the other batches are done."""
    with pytest.raises(WorkerDied, match=r"ended by SIGKILL while it ran batch s\w+-0002"):
        acting.run("die")
    ledger = Workspace(acting.root).ledger
    (submission,) = ledger.submissions()
    found = {batch.ordinal: batch.status for batch in ledger.batches(submission.id)}
    assert found == {1: "completed", 2: "running", 3: "completed", 4: "completed"}


@pytest.mark.slow
def test_an_error_in_a_worker_is_raised_as_it_was(acting: Any) -> None:
    """What stops a worker's batch is raised where the workers were asked for, under its own class."""
    with pytest.raises(PipelineInvalid, match=r"acts\.yaml"):
        acting.run("spoil", workers=3)


def test_what_workers_log_and_print_is_shown(
    acting: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Log records come to the log of who asked, with their ids; what is printed goes where it would go anyway."""
    report = acting.run("speak")
    said = {record.getMessage(): record for record in caplog.records if record.name == "medical_kg.stage.act"}
    assert set(said) == {f"batch {number} speaks" for number in range(4)}
    assert vars(said["batch 2 speaks"])["batch_id"] == report.batches[2].id
    assert "batch 3 prints" in capfd.readouterr().out


def test_as_many_processes_as_there_are_batches(acting: Any) -> None:
    """A process is started when there is a batch for it: one batch, one process."""
    workspace = acting.does("")
    ident = api.open_submission(workspace, "acts", overrides={"feed.batches": 1}).id
    with Crew(workspace, 5, engine="plain") as crew:
        crew.give(workspace.ledger.batches(ident)[0])
        while not (ended := crew.wait(None)):
            pass
        assert [(one.batch.submission_id, one.error) for one in ended] == [(ident, None)]
        assert len(crew._hands) == 1
        assert crew.free()
    assert crew.wait(0) == []


@pytest.mark.slow
def test_an_idle_worker_that_dies_is_told_and_replaced(acting: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A process that dies with nothing to do costs nothing but a line in the log."""
    workspace = acting.does("")
    ident = api.open_submission(workspace, "acts", overrides={"feed.batches": 1}).id
    with Crew(workspace, 1, engine="plain") as crew:
        batch = workspace.ledger.batches(ident)[0]
        crew.give(batch)
        while not crew.wait(None):
            pass
        (idle,) = crew._hands
        os.kill(idle.pid, signal.SIGTERM)
        while crew._hands:
            assert crew.wait(None) == []
        assert "ended with exit code 130 while it had nothing to do" in caplog.text
        crew.give(batch)
        while not (ended := crew.wait(None)):
            pass
        assert "completed" in str(ended[0].error)


RUN = """
import sys
from pathlib import Path
from medical_kg.orchestration import api
from medical_kg.orchestration.workspace import Workspace
api.submit(Workspace(Path(sys.argv[1])), "acts", engine=sys.argv[2], workers=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "engine"),
    [(signal.SIGINT, "plain"), (signal.SIGINT, "dagster"), (signal.SIGKILL, "plain")],
    ids=["interrupted-plain", "interrupted-dagster", "killed"],
)
def test_workers_end_with_who_started_them(acting: Any, engine: str, number: signal.Signals) -> None:
    """After Ctrl-C, and when the process that started them is killed, no worker is left; the next run goes on."""
    ledger = acting.does("hang").ledger
    command = [sys.executable, "-c", RUN, str(acting.root), engine]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        await_files(process, *(acting.folder / f"met-{one}" for one in range(2)))
        (submission,) = ledger.submissions()
        owners = [str(batch.lease_owner) for batch in ledger.running(submission_id=submission.id)]
        process.send_signal(number)
        process.wait(PATIENCE_SECONDS)
    assert len(owners) == 2
    until = time.monotonic() + PATIENCE_SECONDS
    while not all(map(is_dead, owners)):
        assert time.monotonic() < until
        time.sleep(0.05)
    if number == signal.SIGINT:
        assert {batch.status for batch in ledger.batches(submission.id)} == {"pending"}
    acting.does("")
    report = api.resume(Workspace(acting.root), submission.id, engine=engine)  # type: ignore[arg-type]
    assert report.submission.status == "completed"


def await_files(process: subprocess.Popen[Any], *files: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not all(file.exists() for file in files):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_worker_that_does_not_end_is_killed(acting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not give its batch up in time is killed, so that the program can end."""
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    workspace = acting.does("hang")
    ident = api.open_submission(workspace, "acts").id
    crew = Crew(workspace, 1, engine="plain")
    crew.give(workspace.ledger.batches(ident)[0])
    while not (acting.folder / "met-0").exists():
        crew.wait(0.05)
    (stopped,) = crew._hands
    os.kill(stopped.pid, signal.SIGSTOP)
    crew.__exit__(KeyboardInterrupt)
    assert stopped.has_ended()


def test_a_worker_serves_until_it_is_told_to_end(acting: Any) -> None:
    """It tells events and log records, how each batch ended, and what went wrong; then it lets go of everything."""
    workspace = acting.does("speak")
    ident = api.open_submission(workspace, "acts", overrides={"feed.batches": 1}).id
    ours, theirs = socket.socketpair()
    channel, said = Channel(ours), list[Any]()

    def ask() -> None:
        for batch in (f"{ident}-0001", "s-no-0001", None):
            channel.send({"batch": batch})
            while batch and "done" not in (answer := (channel.receive() or ({},))[0]):
                said.append(answer)
            if batch:
                said.append(answer)

    thread = threading.Thread(target=ask)
    thread.start()
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    settings = {"root": str(acting.root), "engine": "plain", "levels": {"medical_kg": logging.INFO}}
    try:
        hand.serve(theirs.detach(), json.loads(json.dumps(settings)))
    finally:
        thread.join()
        channel.close()
        for number, handler in former.items():
            signal.signal(number, handler)
    kinds = [type(event_of(one["event"])).__name__ for one in said if "event" in one]
    assert (kinds[0], kinds[-1]) == ("BatchStarted", "BatchSettled")
    assert any(one["log"]["msg"] == "batch 0 speaks" for one in said if "log" in one)
    done = [one for one in said if "done" in one]
    assert done[0] == {"done": f"{ident}-0001"}
    assert done[1]["error"]["kind"] == RecordNotFound.__name__


def test_events_come_as_they_were() -> None:
    """An event that is sent and told again is equal to the first, and of the same class."""
    event = StageCompleted(
        submission_id="s", batch_id="b", at=1.5, stage="x", stage_type="y", counts={"a": 2.0}, dead_letters=1
    )
    again = event_of(json.loads(json.dumps(plain(event))))
    assert again == event
    assert type(again) is StageCompleted
