"""Driving batches: leases, takeover, owners."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from support import DIAMOND, Whisper, make_workspace

from medical_kg.orchestration import api, runner
from medical_kg.orchestration.contract.errors import BatchHeld, StaleGeneration, TransientError
from medical_kg.orchestration.runner import PlainEngine, beating, drain, held, is_dead, owner_name
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, DIAMOND)


def first_batch(workspace: Workspace) -> Any:
    submission = open_submission(workspace, "diamond")
    return workspace.ledger.batches(submission.id)[0]


def test_a_held_batch_is_given_to_nobody_else(workspace: Workspace) -> None:
    """While a process holds a batch, another owner's claim is refused."""
    with held(workspace.ledger, first_batch(workspace)) as batch, pytest.raises(BatchHeld):
        workspace.ledger.claim(batch.id, "somebody", lease_seconds=1)


def test_the_lease_is_kept_alive(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long stage does not lose its batch: the lease is extended while the block runs, and not after it."""
    beats, beaten = list[str](), threading.Event()

    def beat(batch_id: str, generation: int, *, lease_seconds: float) -> None:
        beats.append(batch_id)
        if len(beats) == 3:
            beaten.set()

    monkeypatch.setattr(workspace.ledger, "heartbeat", beat)
    with held(workspace.ledger, first_batch(workspace), 0.06) as batch:
        assert beaten.wait(10)
    count = len(beats)
    assert set(beats) == {batch.id}
    assert not beaten.wait(0) or len(beats) == count


def test_a_heartbeat_that_fails_for_now_is_tried_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A busy database does not end the heartbeat; being taken over does."""
    errors: list[Exception] = [StaleGeneration("b", 1, 2), TransientError("busy")]
    ended = threading.Event()

    def beat(*_: Any, **__: Any) -> None:
        error = errors.pop()
        if not errors:
            ended.set()
        raise error

    monkeypatch.setattr(workspace.ledger, "heartbeat", beat)
    with beating(workspace.ledger, first_batch(workspace), 0.03):
        assert ended.wait(10)
    assert "could not be extended: busy" in caplog.text


def test_the_batch_of_a_dead_process_is_taken_over_at_once(workspace: Workspace) -> None:
    """A lease whose process is gone does not have to run out first."""
    batch = first_batch(workspace)
    gone = subprocess.run(
        [sys.executable, "-c", "from medical_kg.orchestration.runner import owner_name; print(owner_name())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    workspace.ledger.claim(batch.id, gone, lease_seconds=3600)
    drain(workspace, batch.submission_id, PlainEngine())
    assert workspace.ledger.submission(batch.submission_id).status == "completed"


def test_the_batch_of_a_living_process_is_left_alone(workspace: Workspace) -> None:
    """A batch that a running process holds is not touched."""
    batch = first_batch(workspace)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = f"{socket.gethostname()}:{process.pid}:{runner._birth(process.pid)}"
        workspace.ledger.claim(batch.id, owner, lease_seconds=3600)
        drain(workspace, batch.submission_id, PlainEngine())
        assert workspace.ledger.batch(batch.id).status == "running"
        process.communicate(b"\n")


def test_owners_are_known_by_host_process_and_birth() -> None:
    """This process is alive; a process id that was used again, or another host's, is told apart."""
    mine = owner_name()
    host, pid, birth = mine.split(":")
    assert (host, pid) == (socket.gethostname(), str(os.getpid()))
    assert not is_dead(mine)
    assert is_dead(f"{host}:{pid}:{int(birth) - 1}")
    assert not is_dead(f"elsewhere:{pid}:1")
    assert not is_dead("dagster:4a1f-7")


def test_without_the_kernels_word_a_process_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no /proc, a signal of no effect tells whether a process is there."""
    monkeypatch.setattr(runner, "PROC", Path("/nowhere"))
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert runner._birth(os.getpid()) == "alive"
    assert runner._birth(process.pid) == "gone"
    monkeypatch.setattr(os, "kill", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert runner._birth(1) == "alive"


def test_an_error_of_the_ledger_ends_the_run(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the batch was taken over, whoever drives it hears of it, and its stages are not run on."""
    batch = first_batch(workspace)
    ran: list[str] = []

    def lost(run: Any, name: str) -> None:
        ran.append(name)
        raise StaleGeneration(run.batch.id, 1, 2)

    monkeypatch.setattr(runner, "execute_stage", lost)
    with pytest.raises(StaleGeneration):
        drain(workspace, batch.submission_id, PlainEngine())
    assert ran == ["feed"]


def test_instances_are_shared_between_batches_and_closed_in_the_end(tmp_path: Path) -> None:
    """A stage is opened once for all batches of a submission, and closed when the last is done."""
    log: list[str] = []

    class Logged(Whisper):
        def open(self, ctx: Any) -> None:
            log.append("open")

        def close(self) -> None:
            log.append("close")

    api.submit(make_workspace(tmp_path, DIAMOND, whisper=Logged), "diamond", engine="plain")
    assert log == ["open", "close"]
