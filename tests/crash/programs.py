"""Starting, killing and awaiting programs, each a fork of one process that has imported medical-kg (``dying``)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DYING = Path(__file__).with_name("dying.py")
PATIENCE_SECONDS = 300
"""When a program is given up that does not end; nothing else is measured by the clock."""


@dataclass(frozen=True)
class Ended:
    """How a program ended: with a code, negative for a signal, and what it said."""

    words: Sequence[str]
    code: int
    said: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Program:
    """A program that has been started."""

    def __init__(self, words: Sequence[str], said: Path) -> None:
        """Nothing is known of it yet."""
        self.words, self._said = words, said
        self.started, self.ended = threading.Event(), threading.Event()
        self.pid, self.code = 0, 0

    def kill(self) -> None:
        """Kill it and its group, if it is still there."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def kill_after(self, seconds: float) -> None:
        """Kill it after a while, unless it ends before."""
        if not self.ended.wait(seconds):
            self.kill()

    def end(self) -> Ended:
        """Wait for its end."""
        if not self.ended.wait(PATIENCE_SECONDS):
            self.kill()
            return Ended(self.words, 1, f"did not end within {PATIENCE_SECONDS} s: {self.said()}")
        return Ended(self.words, self.code, self.said())

    def said(self) -> str:
        """What it has said by now."""
        return self._said.read_text(encoding="utf-8", errors="replace")


class Programs:
    """Makes programs; to be closed."""

    def __init__(self) -> None:
        """Start the process that they are forked from."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MEDICAL_KG"))}
        self._server = subprocess.Popen(
            [sys.executable, DYING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ours
        )
        self._asked: list[Program] = []
        self._running: dict[int, Program] = {}
        self._lock = threading.Lock()
        assert self._server.stdout is not None
        assert json.loads(self._server.stdout.readline()) == {"ready": 1}
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def start(self, folder: Path, said: Path, words: Sequence[str], orders: Mapping[str, Any]) -> Program:
        """Start one in a folder; what it says goes into a file."""
        program = Program(words, said)
        request = {"folder": str(folder), "said": str(said), "words": list(words), "orders": dict(orders)}
        assert self._server.stdin is not None
        with self._lock:
            self._asked.append(program)
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
        assert program.started.wait(PATIENCE_SECONDS)
        return program

    def _hear(self) -> None:
        assert self._server.stdout is not None
        for fact in map(json.loads, self._server.stdout):
            if "code" in fact:
                program = self._running.pop(fact["pid"])
                program.code = fact["code"]
                program.ended.set()
            else:
                program = self._asked.pop(0)
                program.pid = fact["pid"]
                self._running[program.pid] = program
                program.started.set()

    def close(self) -> None:
        """Kill what still runs, and end."""
        for program in list(self._running.values()):
            program.kill()
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._hearing.join()
        self._server.stdout.close()
