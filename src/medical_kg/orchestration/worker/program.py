"""The worker's life: say hello, answer requests one after the other, end when told to or when the engine is gone."""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg import __version__
from medical_kg.orchestration.contract import NamedCondition
from medical_kg.orchestration.contract.errors import PluginBroken, PluginConflict, PluginNotFound
from medical_kg.orchestration.execution.fingerprint import plain_config
from medical_kg.orchestration.isolation.channel import PROTOCOL, Channel, Message
from medical_kg.orchestration.isolation.errors import told
from medical_kg.orchestration.isolation.judging import judge
from medical_kg.orchestration.isolation.logs import Forward
from medical_kg.orchestration.isolation.process import MEMORY_EXIT
from medical_kg.orchestration.isolation.remote import describe, tell
from medical_kg.orchestration.worker.running import Runner
from medical_kg.orchestration.workspace import Workspace

if TYPE_CHECKING:
    from medical_kg.orchestration.registry import StageType

F_SETSIG = 10
"""Linux: which signal tells of a change; Python has no name for it."""

Answer = Mapping[str, Any]


def serve(channel_fd: int, lifeline: int, settings: Mapping[str, Any]) -> None:
    """Serve the engine at the other end of the channel until it says enough, or is gone."""
    _hang_on(lifeline)
    memory_mb = settings["memory_mb"]
    channel = Channel(socket.socket(fileno=channel_fd))
    program = Program(channel, Path(settings["root"] or "."), limited=memory_mb is not None)
    channel.send({"protocol": PROTOCOL, "release": __version__, "python": sys.version.split()[0]})
    if memory_mb is not None:
        _limit_memory(memory_mb)
    while (received := channel.receive()) is not None and program.answer(*received):
        pass


def _hang_on(lifeline: int) -> None:
    """End this process and its children when the lifeline is cut, whatever the plugin is doing.

    The kernel sends the signal where it can, since code that holds the interpreter's lock would keep a thread waiting.
    """
    threading.Thread(target=_wait_for_end, args=(lifeline,), daemon=True).start()
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _wait_for_end(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _limit_memory(megabytes: int) -> None:
    """Refuse more private memory than this; what the kernel does not refuse, the engine sees and ends."""
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    # macOS refuses some limits; then the engine's watching must do.
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (megabytes * 1024 * 1024,) * 2)


class Program:
    """Answers requests.

    Args:
        channel: to the engine.
        root: the workspace; its settings say which plugins may be used.
        limited: memory is limited, so running out of it ends the process.
    """

    def __init__(self, channel: Channel, root: Path, *, limited: bool = False) -> None:
        """Read the workspace's settings."""
        self._channel, self._limited = channel, limited
        self._workspace = Workspace(root)
        self._runner = Runner(self._workspace, channel, out_of_memory=self._out_of_memory if limited else None)
        logging.getLogger().addHandler(Forward(channel))

    def answer(self, request: Message, fds: list[int]) -> bool:
        """Answer a request; False when it was the last."""
        if request["do"] == "close":
            self._runner.close()
            return False
        answers: Mapping[str, Callable[[Message, list[int]], Answer]] = {
            "describe": self._describe,
            "judge": self._judge,
            "run": self._run,
            "ask": self._ask,
        }
        try:
            answer = answers[request["do"]](request, fds)
        except MemoryError as error:
            if self._limited:
                self._out_of_memory()
            answer = {"error": told(error)}
        except BaseException as error:  # noqa: BLE001  # a plugin may raise anything; the engine is told
            answer = {"error": told(error)}
        finally:
            for fd in fds:
                os.close(fd)
        self._channel.send({"done": True, **answer})
        return True

    def _describe(self, request: Message, fds: list[int]) -> Answer:
        del fds
        try:
            return {"type": describe(self._type(request["type"]))}
        except PluginNotFound as error:
            facts = [error.door, error.name, error.reason, error.advice]
            return {"error": {"kind": "PluginNotFound", "facts": facts}}
        except PluginConflict as error:
            return {"error": {"kind": "PluginConflict", "facts": [error.door, error.name, list(error.claims)]}}
        except PluginBroken as error:
            facts = [error.door, error.name, error.provenance, error.reason, error.detail]
            return {"error": {"kind": "PluginBroken", "facts": facts}}

    def _judge(self, request: Message, fds: list[int]) -> Answer:
        del fds
        conditions = {name: NamedCondition.model_validate(one) for name, one in request["conditions"].items()}
        verdict = judge(
            self._type(request["type"]),
            request["given"],
            stage=request["stage"],
            conditions=conditions,
            installation=self._workspace.installation,
        )
        # As the engine keeps configs: a digest stands for each secret.
        return {"verdict": tell(verdict, None if verdict.config is None else plain_config(verdict.config))}

    def _run(self, request: Message, fds: list[int]) -> Answer:
        return self._runner.run(self._type(request["type"]), request, fds)

    def _ask(self, request: Message, fds: list[int]) -> Answer:
        del fds
        return self._runner.ask(self._type(request["type"]), request)

    def _type(self, name: str) -> StageType:
        return self._workspace.installation.stages.get(name)

    def _out_of_memory(self) -> None:
        os._exit(MEMORY_EXIT)
