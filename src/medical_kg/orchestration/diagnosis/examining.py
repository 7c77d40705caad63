"""Trying plugins in a process apart: one for all that behave, a new one after each that ends or hangs it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import PluginError

if TYPE_CHECKING:
    from medical_kg.orchestration.discovery import Claim
    from medical_kg.orchestration.registry import Installation

LIMIT = 30.0
"""Seconds that the import of one plugin may take."""

STARTING = 60.0
"""Seconds until the examining process, which imports only our own modules, has started."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of trying a plugin: why it cannot be loaded, its side effects, seconds and traceback."""

    wrong: str = ""
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    detail: str = ""


def examine_all(installation: Installation, claims: Sequence[Claim], timeout_seconds: float) -> dict[int, Examined]:
    """Try to load each plugin and return what came of it, by the claim's ``id``; those made in code are left out."""
    left = [claim for claim in claims if claim.found_in is not None or claim.loaded_source is not None]
    found: dict[int, Examined] = {}
    while left:
        for examined in _round(installation, left, timeout_seconds):
            found[id(left.pop(0))] = examined
    return found


def _round(installation: Installation, claims: Sequence[Claim], timeout_seconds: float) -> Iterator[Examined]:
    """Give what came of the claims, in order, up to the first that ends the process; at least one."""
    with _process(installation, claims) as (process, channel):
        lines = _Lines(channel)
        if lines.next(STARTING) is None:
            raise PluginError(f"the process that tries the plugins did not start; it {_ended(process)}")
        for _ in tuple(claims):
            line = lines.next(timeout_seconds)
            if line is None:
                hangs = lines.is_open
                yield Examined(_late(timeout_seconds) if hangs else f"its import {_ended(process)}")
                return
            yield _examined(line)


def _examined(line: bytes) -> Examined:
    told: dict[str, Any] = json.loads(line)
    return Examined(**{**told, "notes": tuple(told["notes"])})


def _late(timeout_seconds: float) -> str:
    return f"its import takes longer than {timeout_seconds:g} s"


def _ended(process: subprocess.Popen[bytes]) -> str:
    """Say how the process ended; it is killed if it only closed its files."""
    try:
        code = process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return "closed the files of the process"
    if code < 0:
        return f"killed the process: {signal.strsignal(-code)} ({signal.Signals(-code).name})"
    return f"ended the process with exit code {code}"


@contextmanager
def _process(installation: Installation, claims: Sequence[Claim]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start the examining program in a session of its own; nothing of it is left afterwards."""
    asked = {
        "settings": installation.settings.model_dump(mode="json"),
        "folder": str(installation.folder),
        "path": installation.path,
        "sys_path": sys.path,
        "plugins": [[claim.origin.door, f"{claim.origin.distribution}:{claim.origin.name}"] for claim in claims],
    }
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", "medical_kg.orchestration.diagnosis.examiner", str(writing)]
    process = subprocess.Popen(  # noqa: S603  # our own program
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writing,),
        start_new_session=True,
        # Otherwise pydantic asks every distribution for plugins of its own, and falls over one that is damaged.
        env={"PYDANTIC_DISABLE_PLUGINS": "__all__", **os.environ},
    )
    try:
        os.close(writing)
        assert process.stdin is not None  # noqa: S101  # a pipe was asked for
        # One that has ended already says why by how it ended, and reads nothing.
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps(asked).encode())
        yield process, reading
    finally:
        os.close(reading)
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # the session is the process's own, with whatever a plugin started
    process.wait()


class _Lines:
    """Lines of a pipe, each within a time."""

    def __init__(self, channel: int) -> None:
        self._channel, self._read = channel, b""
        self.is_open = True

    def next(self, seconds: float) -> bytes | None:
        """Return the next line, or None when there is none in time or the pipe has been closed."""
        until = time.monotonic() + seconds
        while b"\n" not in self._read:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._channel], [], [], left)[0]:
                return None
            if not (more := os.read(self._channel, 65_536)):
                self.is_open = False
                return None
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line
