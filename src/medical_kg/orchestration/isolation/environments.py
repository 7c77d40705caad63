"""Environments: the interpreters and limits that stages may be run with, and the workers in them."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from medical_kg.orchestration.contract.errors import EnvironmentBroken, PluginBroken, PluginConflict, PluginNotFound
from medical_kg.orchestration.contract.model import Model
from medical_kg.orchestration.isolation.process import Died, Worker, check_python
from medical_kg.orchestration.isolation.remote import RemoteStageType, rebuild, retell

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import NamedCondition
    from medical_kg.orchestration.isolation.judging import Verdict

PROCESS = "process"
"""An environment that is always there: a process of the engine's own interpreter."""
LIMITED = "limited"
"""The same for what may eat memory, such as foreign files: ``LIMITED_MB`` unless the settings say otherwise."""
LIMITED_MB = 2048
ALWAYS = (LIMITED, PROCESS)


class Environment(Model):
    """Table ``[environments.NAME]``: with what a stage that names it is run.

    ``python`` is an interpreter or the folder of a virtual environment, relative to the settings file; the engine's own
    unless given. ``memory_mb`` (MiB) is what the worker process may use. ``timeout_seconds`` is how long one call may
    take before the worker is killed; unless given, the policy's ``timeout_seconds`` and half a second to notice it.
    """

    python: Path | None = None
    memory_mb: int | None = Field(default=None, strict=True, ge=64, le=1_048_576)
    timeout_seconds: float | None = Field(default=None, strict=True, gt=0, le=86_400, allow_inf_nan=False)


class Host:
    """One environment as found: it starts workers, keeps idle ones, and asks them about stage types."""

    def __init__(self, name: str, environment: Environment, folder: Path, root: Path | None) -> None:
        """Find the interpreter; nothing is started."""
        self.name, self.environment, self.root = name, environment, root
        self.python, self.own = _interpreter(environment.python, folder)
        self._idle: list[Worker] = []
        self._known: dict[str, RemoteStageType] = {}
        self._lock = threading.Lock()
        # Also when it is forgotten or the program ends: a worker must not be left behind.
        self.close = weakref.finalize(self, _close, self._idle)

    def take(self) -> Worker:
        """Return an idle worker that has no stage open, or a new one.

        Raises:
            EnvironmentBroken: none can be started.
        """
        with self._lock:
            if self._idle:
                return self._idle.pop()
        if not self.own:
            check_python(self.name, self.python)
        return Worker(self.name, self.python, own=self.own, memory_mb=self.environment.memory_mb, root=self.root)

    @contextmanager
    def _lent(self) -> Iterator[Worker]:
        worker = self.take()
        try:
            yield worker
        except BaseException:
            worker.kill()
            raise
        with self._lock:
            if self.close.alive:
                self._idle.append(worker)
                return
        worker.close()

    def describe(self, stage_type: str) -> RemoteStageType:
        """Return a stage type as the environment has it.

        Raises:
            EnvironmentBroken: no worker can be had, or it does not survive loading the type.
            PluginNotFound, PluginConflict, PluginBroken: as a registry would say, of that environment.
        """
        if stage_type not in self._known:
            said = self._ask({"do": "describe", "type": stage_type}, f"loading stage type {stage_type!r}")
            if error := said.get("error"):
                raise _error(error)
            self._known[stage_type] = rebuild(said["type"], self)
        return self._known[stage_type]

    def judge(
        self, type_: RemoteStageType, given: Mapping[str, Any], *, stage: str, conditions: Mapping[str, NamedCondition]
    ) -> Verdict:
        """Return what the stage type says of a config.

        Raises:
            EnvironmentBroken: no worker can be had, or it does not survive.
        """
        told = {name: condition.model_dump(mode="json") for name, condition in conditions.items()}
        asked = {"do": "judge", "type": asked_type(type_), "given": given, "stage": stage, "conditions": told}
        return retell(self._ask(asked, f"checking the config of stage {stage!r}")["verdict"], given)

    def _ask(self, message: Mapping[str, Any], what: str) -> Mapping[str, Any]:
        try:
            with self._lent() as worker:
                return worker.ask(message)
        except Died as death:
            raise EnvironmentBroken(self.name, f"its worker did not survive {what}: {death.how}") from death


def asked_type(type_: RemoteStageType) -> str:
    """Return the name by which a worker finds the type again: with its distribution, so that it is the same one."""
    return f"{type_.origin.distribution}:{type_.name}"


class Environments:
    """The environments that pipelines may name.

    Args:
        settings: the tables ``[environments.*]``.
        folder: what relative interpreters are relative to.
        root: the workspace, whose settings the workers use too.
    """

    def __init__(
        self, settings: Mapping[str, Environment] | None = None, *, folder: Path | None = None, root: Path | None = None
    ) -> None:
        """Keep the settings; nothing is started."""
        self._settings = {PROCESS: Environment(), LIMITED: Environment(), **(settings or {})}
        limited = self._settings[LIMITED]
        self._settings[LIMITED] = limited.model_copy(update={"memory_mb": limited.memory_mb or LIMITED_MB})
        self._folder, self._root = folder or Path(), root
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()

    def names(self) -> tuple[str, ...]:
        """Return the names that a pipeline may use, sorted."""
        return tuple(sorted(self._settings))

    def host(self, name: str) -> Host:
        """Return an environment; raises ``KeyError``."""
        with self._lock:
            if name not in self._hosts:
                self._hosts[name] = Host(name, self._settings[name], self._folder, self._root)
            return self._hosts[name]

    def close(self) -> None:
        """End the idle workers."""
        with self._lock:
            hosts = list(self._hosts.values())
            self._hosts.clear()
        for host in hosts:
            host.close()


def _close(idle: list[Worker]) -> None:
    while idle:
        idle.pop().close()


def _interpreter(given: Path | None, folder: Path) -> tuple[Path, bool]:
    """Return an interpreter's path, and whether it is the engine's own."""
    ours = Path(sys.executable)
    if given is None:
        return ours, True
    # Absolute, but links are kept: a virtual environment's interpreter is a link that must be called by its own name.
    path = Path(os.path.abspath(folder / given.expanduser()))  # noqa: PTH100  # resolve() would follow links
    python = path / "bin" / "python" if path.is_dir() else path
    return python, python == ours


def _error(said: Mapping[str, Any]) -> PluginNotFound | PluginConflict | PluginBroken:
    kinds: dict[str, Any] = {kind.__name__: kind for kind in (PluginNotFound, PluginConflict, PluginBroken)}
    return kinds[said["kind"]](*said["facts"])  # type: ignore[no-any-return]  # looked up by name
