"""Stages called directly: in this process, once, with no time limit, and with their errors let out where that is asked."""

from __future__ import annotations

import copy
from bdb import BdbQuit
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from medical_kg.orchestration.contract.errors import PluginError, UsageError
from medical_kg.orchestration.isolation import Environments, RemoteStageType
from medical_kg.orchestration.resilience import Guard

if TYPE_CHECKING:
    from medical_kg.orchestration.execution import Outcome
    from medical_kg.orchestration.isolation.environments import Host
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
    from medical_kg.orchestration.registry import Installation
    from medical_kg.orchestration.workspace import Workspace

T = TypeVar("T")


class Escaped(UsageError):
    """Carries an error of a stage past the containment of items, which lets errors of the request pass."""

    def __init__(self, error: BaseException) -> None:
        """Keep the error."""
        self.error = error
        super().__init__(str(error))


class DirectGuard(Guard):
    """Calls once, whatever the policy says; that the debugger was quit ends the run."""

    lets_out: ClassVar[tuple[type[BaseException], ...]] = (BdbQuit,)

    def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call the function and return what it returns."""
        self.attempts += 1
        self._ctx.start_call(None)
        try:
            return function(*args, **kwargs)
        except self.lets_out as error:
            raise Escaped(error) from error


class RaisingGuard(DirectGuard):
    """Lets every error out."""

    lets_out = (Exception,)


def let_out(outcome: Outcome, *, raise_errors: bool) -> None:
    """Raise what a stage's failure is to be raised as.

    Raises:
        BdbQuit: the debugger was quit.
        BaseException: what the stage raised, if errors are to be raised.
    """
    error = outcome.error
    if isinstance(error, Escaped):
        raise error.error
    cause = error
    while cause is not None:
        if isinstance(cause, BdbQuit):
            raise cause
        cause = cause.__cause__
    if raise_errors and error is not None:
        raise error


def planned_here(workspace: Workspace, load: Callable[[Workspace], Plan]) -> Plan:
    """Return a plan in which stages run in this process, also those that name an environment, where it can import them.

    Args:
        workspace: where the plan is looked for.
        load: loads it.
    """
    workspace.ledger.running()  # opens it, so that the copy has the same one
    view = copy.copy(workspace)
    view.environments = _Here(workspace.environments, workspace.installation)
    return load(view)


def check_here(planned: PlannedStage) -> None:
    """Refuse a stage that this process cannot import.

    Raises:
        UsageError: it says which environment has the stage.
    """
    if isinstance(planned.type, RemoteStageType):
        raise UsageError(
            f"stage {planned.name!r} runs in environment {planned.type.environment!r}, and its type {planned.type.name!r} "
            f"cannot be imported in this process; install its package beside medical-kg here, debug with that environment's "
            "own interpreter, or end before it with --until"
        )


class _Here(Environments):
    """Environments whose stage types are those of this process, where it has them."""

    def __init__(self, real: Environments, installation: Installation) -> None:
        super().__init__()
        self._real, self._installation = real, installation

    def names(self) -> tuple[str, ...]:
        return self._real.names()

    def host(self, name: str) -> Host:
        return cast("Host", _Ours(self._real.host(name), self._installation))


class _Ours:
    """Describes stage types as this process has them, else as the environment does."""

    def __init__(self, real: Host, installation: Installation) -> None:
        self._real, self._installation = real, installation

    def describe(self, stage_type: str) -> Any:
        try:
            return self._installation.stages.get(stage_type)
        except PluginError:
            return self._real.describe(stage_type)
