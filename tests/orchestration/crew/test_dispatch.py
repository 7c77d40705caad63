"""Giving out what is ready, in this process: everything once, or watching; what goes wrong with one stops no other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import DIAMOND, GATED, Shout, make_workspace, of_earlier_release

from medical_kg.orchestration import api, ready
from medical_kg.orchestration.contract.errors import (
    BatchHeld,
    PipelineInvalid,
    StorageError,
    TransientError,
    UsageError,
    WorkerDied,
)
from medical_kg.orchestration.crew import Dispatcher, dispatch
from medical_kg.orchestration.crew.hands import Ended
from medical_kg.orchestration.ledger.contract import Batch
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.telemetry.events import BatchSettled, Event, Events
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock

EVERY = 0.01
PATIENCE_SECONDS = 120
"""When a test gives up; no test measures time."""

BROKEN = DIAMOND.replace("type: feed", "type: fed").replace("name: diamond", "name: other")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, DIAMOND, DIAMOND.replace("name: diamond", "name: other"), clock=FakeClock())


def opened(workspace: Workspace, pipeline: str, **asked: Any) -> str:
    return open_submission(workspace, pipeline, **asked).id


def status(workspace: Workspace, ident: str) -> str:
    return workspace.ledger.submission(ident).status


class Watching:
    """``ready.watch`` in a thread, with what it says and the statuses of the batches that it settled."""

    def __init__(self, workspace: Workspace, one: str | None = None) -> None:
        self.said: list[str] = []
        self.settled: list[str] = []
        self._changed = threading.Condition()
        self.stop = threading.Event()
        events = Events([self._hear])
        more: dict[str, Any] = {
            "every": EVERY,
            "engine": "plain",
            "events": events,
            "say": self._say,
            "stop": self.stop,
        }
        self.thread = threading.Thread(target=ready.watch, args=(workspace, one), kwargs=more, daemon=True)
        self.thread.start()

    def _hear(self, event: Event) -> None:
        if isinstance(event, BatchSettled):
            with self._changed:
                self.settled.append(event.status)
                self._changed.notify_all()

    def _say(self, text: str) -> None:
        with self._changed:
            self.said.append(text)
            self._changed.notify_all()

    def until(self, reached: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(reached, PATIENCE_SECONDS), (self.said, self.settled)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()


def test_everything_that_is_ready_is_run_once(workspace: Workspace) -> None:
    """Ready batches of every submission are run, and those they open; what is finished or has failed is not touched."""
    done = api.submit(workspace, "diamond", engine="plain", limit=1).submission.id
    idents = [opened(workspace, name) for name in ("diamond", "other")]
    ran = ready.resume_all(workspace, engine="plain")
    assert {report.submission.id: report.submission.status for report in ran.reports} == dict.fromkeys(
        idents, "completed"
    )
    assert ran.problems == {}
    assert done not in {report.submission.id for report in ran.reports}
    assert ready.resume_all(workspace, engine="plain") == ready.Ran((), {})


def test_a_submission_that_cannot_be_run_stops_no_other(workspace: Workspace, tmp_path: Path) -> None:
    """With one pipeline's file no longer valid, the others are run, and the problem is reported."""
    bad, good = of_earlier_release(workspace, opened(workspace, "other")), opened(workspace, "diamond")
    (tmp_path / "pipelines" / "other.yaml").write_text(BROKEN)
    ran = ready.resume_all(workspace, engine="plain")
    assert (status(workspace, good), status(workspace, bad)) == ("completed", "pending")
    assert [(ident, type(error)) for ident, error in ran.problems.items()] == [(bad, PipelineInvalid)]


def test_an_invalid_file_is_told_once_and_tried_again(workspace: Workspace, tmp_path: Path) -> None:
    """While watching, an invalid file is told once, others go on, and once it is mended its submission goes on too."""
    bad, good = of_earlier_release(workspace, opened(workspace, "other")), opened(workspace, "diamond")
    file = tmp_path / "pipelines" / "other.yaml"
    file.write_text(BROKEN)
    watching = Watching(workspace)
    watching.until(lambda: watching.settled == ["completed"] * 3 and len(watching.said) == 1)
    assert status(workspace, good) == "completed"
    (said,) = watching.said
    assert said.startswith(f"submission {bad} cannot go on for now: ")
    assert "'fed'" in said
    mended = tmp_path / "mended.yaml"
    mended.write_text(BROKEN.replace("type: fed", "type: feed"))
    mended.replace(file)  # in one step: a file that is half written would be another problem
    watching.until(lambda: len(watching.settled) == 6)
    watching.end()
    assert status(workspace, bad) == "completed"
    assert watching.said == [said, f"submission {bad} goes on"]


def test_a_failing_batch_stops_no_other(tmp_path: Path) -> None:
    """While watching, a failed batch stays failed, and other submissions are run before and after it."""

    class Failing(Shout):
        def process(self, ctx: Any, item: Any, **reads: Any) -> Any:
            raise StorageError("no room")

    failing = DIAMOND.replace("name: diamond", "name: failing").replace("bad: [w3]", "number: 7")
    workspace = make_workspace(tmp_path, failing, GATED, shout=Failing)
    bad, good = opened(workspace, "failing"), opened(workspace, "gated")
    watching = Watching(workspace)
    watching.until(lambda: sorted(watching.settled) == ["failed"] * 3 + ["waiting"])
    later = opened(workspace, "gated", limit=7)
    watching.until(lambda: watching.settled.count("waiting") == 2)
    watching.end()
    assert [status(workspace, one) for one in (bad, good, later)] == ["failed", "waiting", "waiting"]
    assert watching.said == []


def test_a_signal_and_a_deadline_wake_a_batch(tmp_path: Path) -> None:
    """While watching, what waits is run when its signal comes, and when its time is over."""
    clock = FakeClock()
    workspace = make_workspace(tmp_path, GATED, clock=clock)
    told, late = opened(workspace, "gated"), opened(workspace, "gated", limit=7)
    watching = Watching(workspace)
    watching.until(lambda: watching.settled == ["waiting"] * 2)
    api.signal(workspace, told, "open")
    watching.until(lambda: watching.settled[2:] == ["completed"])
    clock.sleep(101)
    watching.until(lambda: watching.settled[3:] == ["failed"])
    watching.end()
    assert (status(workspace, told), status(workspace, late)) == ("completed", "failed")


def test_a_batch_that_is_held_is_taken_when_its_lease_ends(workspace: Workspace) -> None:
    """Another's batch is left alone while its lease runs, and taken over afterwards, without a word."""
    ident = opened(workspace, "diamond")
    workspace.ledger.claim(f"{ident}-0001", "elsewhere:1:1", lease_seconds=60)
    other = opened(workspace, "other")
    watching = Watching(workspace)
    watching.until(lambda: len(watching.settled) == 3)
    assert status(workspace, ident) == "running"
    workspace.clock.sleep(61)
    watching.until(lambda: len(watching.settled) == 6)
    watching.end()
    assert (status(workspace, ident), status(workspace, other), watching.said) == ("completed", "completed", [])


def test_watching_one_submission_ends_with_it(workspace: Workspace) -> None:
    """Of one submission failed batches are run again, others are left alone, and it ends when nothing more can come."""
    ident, other = opened(workspace, "diamond"), opened(workspace, "other")
    watching = Watching(workspace, ident[:8])
    watching.thread.join(PATIENCE_SECONDS)
    assert (status(workspace, ident), status(workspace, other)) == ("completed", "pending")


def test_failed_batches_are_run_again_where_one_submission_is_named(tmp_path: Path) -> None:
    """``watch`` of one submission begins with what has failed, as ``resume`` does; without an id it is left alone."""
    room = threading.Event()

    class Full(Shout):
        def process(self, ctx: Any, item: Any, **reads: Any) -> Any:
            if not room.is_set():
                raise StorageError("no room")
            return super().process(ctx, item, **reads)

    workspace = make_workspace(tmp_path, DIAMOND.replace("bad: [w3]", "number: 7"), shout=Full)
    ident = api.submit(workspace, "diamond", engine="plain").submission.id
    assert status(workspace, ident) == "failed"
    room.set()
    assert ready.resume_all(workspace, engine="plain").reports == ()
    ready.watch(workspace, ident, every=EVERY, engine="plain")
    assert status(workspace, ident) == "completed"


@pytest.mark.parametrize("every", [0, -1, float("inf"), float("nan")])
def test_how_often_must_be_a_time(workspace: Workspace, every: float) -> None:
    """A watch that would never or always look is refused."""
    with pytest.raises(UsageError, match="every must be a number of seconds"):
        ready.watch(workspace, every=every)


def test_there_is_at_least_one_worker(workspace: Workspace) -> None:
    """No worker would do no work, for ever."""
    with pytest.raises(UsageError, match="workers must be"):
        ready.resume_all(workspace, workers=0)


class Scripted:
    """Hands that answer each batch by the next of some errors (None: it was settled)."""

    def __init__(self, workspace: Workspace, *errors: Exception | None) -> None:
        self.errors, self.batch = list(errors), list[Batch]()
        self._workspace = workspace

    def free(self) -> bool:
        return not self.batch

    def give(self, batch: Batch) -> None:
        self.batch.append(batch)

    def wait(self, seconds: float | None) -> list[Ended]:
        if not self.batch:
            return []
        batch, error = self.batch.pop(), self.errors.pop(0)
        if error is None:
            self._workspace.ledger.cancel(batch.submission_id, "test")
        return [Ended(batch, error)]


def test_a_batch_that_somebody_was_quicker_to_take_is_tried_again(workspace: Workspace) -> None:
    """As long as it is ready: on a server's database a row that is being changed looks like a held batch."""
    ident = opened(workspace, "diamond")
    hands = Scripted(workspace, BatchHeld("held"), BatchHeld("held"), None)
    dispatcher = Dispatcher(workspace.ledger, hands, say=lambda _: pytest.fail("nothing is wrong"))
    dispatcher.once()
    assert (list(dispatcher.ran), dispatcher.problems, hands.errors) == ([ident], {}, [])


def test_a_batch_that_ends_its_processes_is_given_up(workspace: Workspace) -> None:
    """Another process goes on with what one left when it died, but not for ever."""
    ident, said = opened(workspace, "diamond"), list[str]()
    deaths = [WorkerDied(f"death {number}") for number in range(1, 9)]
    dispatcher = Dispatcher(workspace.ledger, Scripted(workspace, *deaths), say=said.append)
    dispatcher.once()
    assert dispatcher.problems == {ident: deaths[dispatch.DEATHS - 1]}
    assert said == ["death 1; another goes on with it", "death 2; another goes on with it"]


class Listed:
    """A ledger of which a dispatcher sees the batches that are ready, and hands that end them in the order that is written.

    Args:
        batch: what the others are copies of.
        ends: which batch ends next, and how; one that is settled is ready no more.
    """

    def __init__(self, batch: Batch, count: int, *ends: tuple[int, Exception | None]) -> None:
        self.listed = [
            batch.model_copy(update={"id": f"{number}", "ordinal": number}) for number in range(1, count + 1)
        ]
        self.ends, self.given = list(ends), list[int]()

    def ready(self, **_: object) -> list[Batch]:
        return list(self.listed)

    def running(self, **_: object) -> list[Batch]:
        return []

    def free(self) -> bool:
        return len(self.given) < 2

    def give(self, batch: Batch) -> None:
        self.given.append(batch.ordinal)

    def wait(self, seconds: float | None) -> list[Ended]:
        ordinal, error = self.ends.pop(0)
        self.given.remove(ordinal)
        (batch,) = (one for one in self.listed if one.ordinal == ordinal)
        if error is None:
            self.listed.remove(batch)
        return [Ended(batch, error)]


@pytest.mark.parametrize("last", [2, 3])
def test_a_batch_that_was_given_up_stays_a_problem(workspace: Workspace, last: int) -> None:
    """Whatever ends last, the others of its submission go on, and what was given up is told in the end."""
    ident = opened(workspace, "diamond")
    deaths = [WorkerDied(f"death {number}") for number in range(1, dispatch.DEATHS + 1)]
    dies: list[tuple[int, Exception | None]] = [(1, death) for death in deaths]
    dies.insert(last, (2, None))
    listed: Any = Listed(workspace.ledger.batch(f"{ident}-0001"), 4, *dies, (3, None), (4, None))
    dispatcher = Dispatcher(listed, listed, say=lambda _: None)
    dispatcher.once()
    assert dispatcher.problems == {ident: deaths[-1]}
    assert [batch.ordinal for batch in listed.listed] == [1]


def test_what_was_at_work_before_a_problem_does_not_end_it(workspace: Workspace) -> None:
    """A batch that was given out before its submission was put aside may end well without a word on what is in the way."""
    ident = opened(workspace, "diamond")
    problem = StorageError("full")
    listed: Any = Listed(workspace.ledger.batch(f"{ident}-0001"), 3, (1, problem), (2, None))
    dispatcher = Dispatcher(listed, listed, say=lambda _: None)
    dispatcher.once()
    assert dispatcher.problems == {ident: problem}
    assert [batch.ordinal for batch in listed.listed] == [1, 3]


def test_a_problem_is_told_again_only_when_it_is_another(workspace: Workspace) -> None:
    """The same words are said once, other words again, and when it is over that is said."""
    ident, said = opened(workspace, "diamond"), list[str]()
    hands = Scripted(workspace, StorageError("full"), StorageError("full"), StorageError("broken"), None)
    dispatcher = Dispatcher(workspace.ledger, hands, say=said.append)
    dispatcher.watch(0.001, lambda: bool(hands.errors))
    prefix = f"submission {ident} cannot go on for now: "
    assert said == [f"{prefix}full", f"{prefix}broken", f"submission {ident} goes on"]


def test_a_busy_database_is_waited_for(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """While watching, a database that cannot be asked for now is told once, and when it can be again."""
    ident, said, ready = opened(workspace, "diamond"), list[str](), workspace.ledger.ready
    busy = [TransientError("it is locked"), TransientError("it is locked")]

    def answer(**asked: Any) -> list[Batch]:
        if busy:
            raise busy.pop()
        return ready(**asked)

    monkeypatch.setattr(workspace.ledger, "ready", answer)
    hands = Scripted(workspace, None)
    dispatcher = Dispatcher(workspace.ledger, hands, say=said.append)
    dispatcher.watch(0.001, lambda: bool(hands.errors))
    assert said == ["it is locked; it is waited for", "the database can be used again"]
    assert list(dispatcher.ran) == [ident]
    busy.append(TransientError("it is locked"))
    with pytest.raises(TransientError):
        dispatcher.once()


def test_a_submission_behind_many_that_cannot_go_on_is_found(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However many ready batches are left aside, those behind them are run."""
    monkeypatch.setattr(dispatch, "FIRST_LOOK", 2)
    bad = [of_earlier_release(workspace, opened(workspace, "other", limit=number)) for number in range(1, 7)]
    workspace.clock.sleep(1)
    good = opened(workspace, "diamond")
    (tmp_path / "pipelines" / "other.yaml").write_text(BROKEN)
    ran = ready.resume_all(workspace, engine="plain")
    assert status(workspace, good) == "completed"
    assert sorted(ran.problems) == sorted(bad)


def test_the_batch_of_a_dead_process_is_ready_at_once(workspace: Workspace) -> None:
    """A batch whose process was killed is taken over before its lease ends, whatever submission it is of."""
    ident = opened(workspace, "diamond")
    workspace.ledger.claim(f"{ident}-0001", f"{socket.gethostname()}:1:0", lease_seconds=3600)
    (report,) = ready.resume_all(workspace, engine="plain").reports
    assert report.submission.status == "completed"


def test_plans_and_stages_are_kept_between_batches(tmp_path: Path) -> None:
    """A stage is opened once for all submissions of a process, and closed in the end; a changed file counts at once."""
    log: list[str] = []

    class Logged(Shout):
        def open(self, ctx: Any) -> None:
            log.append(f"open {self.config.number}")

        def close(self) -> None:
            log.append(f"close {self.config.number}")

    workspace = make_workspace(tmp_path, DIAMOND, shout=Logged)
    for limit in (1, 2):
        opened(workspace, "diamond", limit=limit)
    ready.resume_all(workspace, engine="plain")
    assert log == ["open 3", "close 3"]
    ident = opened(workspace, "diamond")
    (tmp_path / "pipelines" / "diamond.yaml").write_text(DIAMOND.replace("bad: [w3]", "number: 9"))
    ready.resume_all(workspace, engine="plain")
    assert log[2:] == ["open 9", "close 9"]
    assert status(workspace, ident) == "completed"
