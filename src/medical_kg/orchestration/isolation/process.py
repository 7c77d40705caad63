"""A worker process as the engine holds it: started, asked, watched, ended."""

from __future__ import annotations

import functools
import importlib.util
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import EnvironmentBroken, MedicalKGError
from medical_kg.orchestration.isolation.channel import PROTOCOL, Channel, Message

if TYPE_CHECKING:
    from typing import BinaryIO

BOOTSTRAP = Path(__file__).parents[1] / "worker" / "bootstrap.py"
"""What a worker runs: a file and not a module, since the worker may have no medical-kg yet."""
START_SECONDS = 60.0
"""How long a worker may take to start, and to load a stage type."""
CLOSE_SECONDS = 5.0
"""How long a worker may take to close its stage before it is killed."""
PROBE, PROBE_ANSWER = "print(20 + 22)", "42"
"""What only Python answers so; to a shell it is an error of syntax."""
SHORT_WAIT = 0.002
LOOK_SECONDS = 0.05
"""How often a worker is looked at whose time or memory is limited."""
MEMORY_EXIT = 71
"""How a worker ends when its memory limit is used up: it cannot go on as if nothing was."""
TAIL_LINES, LINE_BYTES = 8, 2000
"""How much of what a worker printed is kept for messages."""
LENT = ("medical_kg", "packaging", "stamina", "tenacity")
"""Packages of the engine that a worker gets where it has none of its own: all without compiled parts."""
NOT_INHERITED = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
"""Variables that say where the engine's modules are, which is not where the worker's are."""

STATM = "/proc/{}/statm"

logger = logging.getLogger("medical_kg.worker")


class Died(MedicalKGError):
    """A worker has ended; who asked it says what that means. ``how`` says how, ready for a message; ``timeout`` that it was for the time limit."""

    def __init__(self, how: str, *, timeout: bool = False) -> None:
        """Keep how it ended."""
        self.how, self.timeout = how, timeout
        super().__init__(how)


@functools.cache
def check_python(environment: str, python: Path) -> None:
    """Refuse what is no Python before it is given a program: a shell would run each of its lines as a command.

    Raises:
        EnvironmentBroken: there is no such file, it cannot be run, or it does not answer as Python would.
    """
    if not python.exists():
        raise EnvironmentBroken(environment, f"there is no interpreter {python}")
    try:
        done = subprocess.run(  # noqa: S603  # an interpreter that the operator's settings name
            [str(python), "-c", PROBE], capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        said = f"it did not answer within {START_SECONDS:.0f} s"
    except OSError as error:
        raise EnvironmentBroken(environment, f"{python} cannot be run: {error.strerror or error}") from error
    else:
        if done.returncode == 0 and done.stdout.strip() == PROBE_ANSWER:
            return
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        said = "; ".join([f"it ended with exit code {done.returncode}", *(f"its last words: {line}" for line in last)])
    raise EnvironmentBroken(environment, f"{python} is no Python that works: asked to print a sum, {said}")


class Worker:
    """One worker process.

    Args:
        environment: its environment's name, for messages.
        python: the interpreter.
        own: whether that is the engine's own, so that its module path is the worker's too.
        memory_mb: the limit of its memory, in MiB.
        root: the workspace.

    Raises:
        EnvironmentBroken: it does not start; the message says why.
    """

    def __init__(self, environment: str, python: Path, *, own: bool, memory_mb: int | None, root: Path | None) -> None:
        """Start the process and wait until it says that it is there."""
        self.environment, self._memory_mb = environment, memory_mb
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._killed_for = ""
        self._start(python, {"path": sys.path if own else None, "root": root and str(root), "memory_mb": memory_mb})
        try:
            self._greet()
        except BaseException:
            self.kill()
            raise

    def _start(self, python: Path, told: Mapping[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        told = {**told, "lent": {name: _folder(name) for name in LENT}}
        command = [str(python), str(BOOTSTRAP), str(theirs.fileno()), str(lifeline), json.dumps(told)]
        environ = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self._channel = Channel(ours)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # an interpreter that the operator's settings name
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), lifeline),
                env=environ,
                # Ctrl-C is for the engine, which then ends its workers; and its children are ended with it.
                start_new_session=True,
            )
        except OSError as error:
            self._channel.close()
            os.close(self._lifeline)
            raise EnvironmentBroken(self.environment, f"{python} cannot be run: {error.strerror or error}") from error
        finally:
            theirs.close()
            os.close(lifeline)
        self._reader = threading.Thread(target=self._listen, name=f"worker-{self._process.pid}", daemon=True)
        self._reader.start()

    def _greet(self) -> None:
        try:
            hello = self._next(time.monotonic() + START_SECONDS, lambda: None)
        except Died as death:
            raise EnvironmentBroken(self.environment, f"its worker did not start: {death.how}") from death
        if hello.get("protocol") != PROTOCOL:
            has, ours = hello.get("release"), importlib.import_module("medical_kg").__version__
            reason = f"it has medical-kg {has}, whose workers this one, {ours}, cannot use; install {ours} there"
            raise EnvironmentBroken(self.environment, reason)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(
        self,
        message: Mapping[str, Any],
        fds: Sequence[int] = (),
        *,
        hear: Callable[[Message], Message | None] = lambda _: None,
        overdue: Callable[[], str | None] = lambda: None,
        watched: bool = False,
    ) -> Message:
        """Send a request and return its answer, the first message with ``done``.

        Args:
            message: the request.
            fds: open files to send along.
            hear: told of each message before the answer; what it returns is sent back.
            overdue: says which time limit is used up, if one is; asked now and then.
            watched: a limit is given by ``overdue``; otherwise loading is meant, which has the usual time.

        Raises:
            Died: the worker has ended, or was ended at a limit.
        """
        deadline = None if watched else time.monotonic() + START_SECONDS
        with suppress(OSError):  # it has ended: that shows below
            self._channel.send(message, fds)
        while "done" not in (said := self._next(deadline, overdue)):
            answer = hear(said)
            if answer is not None:
                with suppress(OSError):
                    self._channel.send(answer)
        return said

    def _next(self, deadline: float | None, overdue: Callable[[], str | None]) -> Message:
        while not self._channel.arrives(LOOK_SECONDS):
            if deadline is not None and time.monotonic() > deadline:
                self._kill_for(f"it did not answer within {START_SECONDS:.0f} s", timeout=True)
            if reason := overdue():
                self._kill_for(reason, timeout=True)
            if self._memory_mb is not None and _resident(self.pid) > self._memory_mb * 1024 * 1024:
                self._kill_for(_memory(self._memory_mb, self.environment), timeout=False)
        received = self._channel.receive()
        if received is None:
            raise self._death()
        return received[0]

    def _kill_for(self, reason: str, *, timeout: bool) -> None:
        self.kill()
        raise Died(f"{reason}{self._said()}", timeout=timeout)

    def _death(self) -> Died:
        # Its exit code stands by now: files are closed after that.
        self.kill()
        code = self._process.returncode
        if code == MEMORY_EXIT and self._memory_mb is not None:
            return Died(_memory(self._memory_mb, self.environment) + self._said())
        return Died(f"it ended {_ending(code)}{self._said()}")

    def _said(self) -> str:
        self._reader.join(1)
        lines = [line for line in self._tail if line.strip()]
        return f"; its last words: {' | '.join(lines)}" if lines else ""

    def _listen(self) -> None:
        stream: BinaryIO = self._process.stdout  # type: ignore[assignment]  # opened as a pipe of bytes
        with stream:
            while line := stream.readline(LINE_BYTES):
                text = line.decode(errors="replace").rstrip()
                self._tail.append(text)
                logger.info("%s", text, extra={"worker": self.environment})

    def close(self) -> None:
        """Let the worker close its stage and end; one that takes too long is killed."""
        with suppress(OSError):
            self._channel.send({"do": "close"})
        deadline = time.monotonic() + CLOSE_SECONDS
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(SHORT_WAIT)
        self.kill()

    def _has_ended(self) -> bool:
        # Not asked for its exit code yet: until then its number, and so its group's, cannot be another's.
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def stop(self) -> None:
        """End the process, from another thread than the one that uses the worker, which will see that it has died."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End the worker and whatever it started, now, and let go of it."""
        self.stop()
        self._process.wait()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        self._reader.join(1)
        self._channel.close()


def _folder(package: str) -> str:
    spec = importlib.util.find_spec(package)
    assert spec is not None  # noqa: S101  # what this distribution requires
    return next(iter(spec.submodule_search_locations or ()))


def _memory(limit: int, environment: str) -> str:
    return f"it used up memory_mb={limit} of environment {environment!r}"


def _ending(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def _resident(pid: int) -> int:
    """Return the bytes of memory that a process has in use; 0 where the system does not say."""
    try:
        with open(STATM.format(pid), encoding="ascii") as file:  # noqa: PTH123  # asked many times a second
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
