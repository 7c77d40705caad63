"""Worker processes that run whole batches, as whoever started them holds them."""

from __future__ import annotations

import json
import logging
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from medical_kg.orchestration.contract.errors import UsageError, WorkerDied
from medical_kg.orchestration.crew.hands import Ended, OwnHands
from medical_kg.orchestration.crew.messages import event_of
from medical_kg.orchestration.isolation.channel import Channel, Message
from medical_kg.orchestration.isolation.errors import rebuilt
from medical_kg.orchestration.isolation.logs import log
from medical_kg.orchestration.telemetry.events import Events, StageCompleted

if TYPE_CHECKING:
    from medical_kg.orchestration.crew.driver import EngineName
    from medical_kg.orchestration.ledger.contract import Batch
    from medical_kg.orchestration.workspace import Workspace

logger = logging.getLogger(__name__)

PROGRAM = (
    "import json, sys; told = json.loads(sys.argv[2]); sys.path[:] = told['path']; "
    "from medical_kg.orchestration.crew.hand import serve; serve(int(sys.argv[1]), told)"
)
CLOSE_SECONDS = 30.0
"""How long a worker may take to close its stages."""
GRACE_SECONDS = 10.0
"""How long a worker may take to give its batch up before it is killed."""
LOOK_SECONDS = 0.05
LOGGERS = ("medical_kg", "medical_kg.orchestration.registry")

Heard = queue.SimpleQueue[tuple["Hand", Message | None]]


class Hand:
    """One worker process; what it says is put into a queue, None when it has ended."""

    def __init__(self, settings: str, heard: Heard) -> None:
        """Start the process."""
        self.batch: Batch | None = None
        ours, theirs = socket.socketpair()
        with theirs:
            self._channel = Channel(ours)
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and program
                [sys.executable, "-c", PROGRAM, str(theirs.fileno()), settings],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Ctrl-C is for the process that started it, which then ends its workers.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._listen, args=(heard,), name=f"hand-{self.pid}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def _listen(self, heard: Heard) -> None:
        while (received := self._channel.receive()) is not None:
            heard.put((self, received[0]))
        heard.put((self, None))

    def say(self, batch: Batch | None) -> None:
        """Give it a batch; None ends it."""
        self.batch = batch
        with suppress(OSError):  # it has ended, which is heard
            self._channel.send({"batch": batch and batch.id})

    def interrupt(self) -> None:
        """Let it give its batch up and end."""
        self._process.send_signal(signal.SIGINT)

    def has_ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    def let_go(self) -> str:
        """Wait for its end, which must be near, and return in words how that was."""
        code = self._process.wait()
        self._reader.join()
        self._channel.close()
        return f"with exit code {code}" if code >= 0 else f"by {_name(-code)}"

    def kill(self) -> None:
        """End it now."""
        self._process.kill()


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Crew:
    """Runs up to ``size`` batches at a time, each in a process of its own; a process is started when there is a batch for it.

    The processes open the workspace anew, from its folder and settings. A batch whose process ends before it is done is
    given back with ``WorkerDied``; what was committed of it stays.
    """

    def __init__(self, workspace: Workspace, size: int, *, engine: EngineName, events: Events | None = None) -> None:
        """Start nothing yet."""
        levels = {name: logging.getLogger(name).getEffectiveLevel() for name in LOGGERS}
        told: dict[str, Any] = {"path": sys.path, "root": str(workspace.root), "engine": engine, "levels": levels}
        self._settings, self._size, self._events = json.dumps(told), size, events or Events()
        self._heard: Heard = queue.SimpleQueue()
        self._hands: list[Hand] = []

    def __enter__(self) -> Self:
        """End the processes at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the processes end; after an error or Ctrl-C they give up their batches first. What is too slow is killed."""
        for hand in self._hands:
            if kind is None:
                hand.say(None)
            else:
                hand.interrupt()
        try:
            self._await_ends(CLOSE_SECONDS if kind is None else GRACE_SECONDS)
        finally:
            for hand in self._hands:
                hand.kill()
                hand.let_go()
            self._hear_the_rest()

    def _await_ends(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not all(hand.has_ended() for hand in self._hands) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def _hear_the_rest(self) -> None:
        with suppress(queue.Empty):
            while True:
                _, said = self._heard.get_nowait()
                self._pass_on(said or {})

    def free(self) -> bool:
        """See ``Hands.free``."""
        return len(self._hands) < self._size or any(hand.batch is None for hand in self._hands)

    def give(self, batch: Batch) -> None:
        """See ``Hands.give``."""
        hand = next((hand for hand in self._hands if hand.batch is None), None)
        if hand is None:
            hand = Hand(self._settings, self._heard)
            self._hands.append(hand)
        hand.say(batch)

    def wait(self, seconds: float | None) -> list[Ended]:
        """See ``Hands.wait``: a stage that has completed may have opened the next batch."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                hand, said = self._heard.get(timeout=left)
            except queue.Empty:
                return []
            if said is None:
                return self._bury(hand)
            if "done" in said:
                batch, hand.batch = hand.batch, None
                error = rebuilt(said["error"]) if "error" in said else None
                return [Ended(batch, error)] if batch is not None else []
            if self._pass_on(said):
                return []

    def _pass_on(self, said: Message) -> bool:
        """Tell what a process tells; return whether it may have made something ready."""
        if "log" in said:
            log(said["log"])
        if "event" not in said:
            return False
        event = event_of(said["event"])
        self._events.emit(event)
        return isinstance(event, StageCompleted)

    def _bury(self, hand: Hand) -> list[Ended]:
        how = hand.let_go()
        self._hands.remove(hand)
        if hand.batch is None:
            logger.warning("worker process %d ended %s while it had nothing to do", hand.pid, how)
            return []
        died = WorkerDied(f"worker process {hand.pid} ended {how} while it ran batch {hand.batch.id}")
        return [Ended(hand.batch, died)]


def hire(
    workspace: Workspace,
    workers: int,
    *,
    engine: EngineName,
    events: Events | None,
    stop: threading.Event | None = None,
) -> OwnHands | Crew:
    """Return who runs batches: this process itself for one worker, else so many processes; ``stop`` ends a wait early.

    Raises:
        UsageError: there can be no such number of workers.
    """
    if workers < 1:
        raise UsageError(f"workers must be a whole number from 1, not {workers!r}")
    if workers == 1:
        return OwnHands(workspace, engine=engine, events=events, stop=stop)
    return Crew(workspace, workers, engine=engine, events=events)
