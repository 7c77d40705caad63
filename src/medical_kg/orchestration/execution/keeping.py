"""Asking a stage that keeps things outside of the engine what it keeps of an input record, or to forget it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import ContractError, EnvironmentBroken, MedicalKGError, StageError
from medical_kg.orchestration.contract.foreign import identified, said
from medical_kg.orchestration.execution.isolated import request_of
from medical_kg.orchestration.interruption import watched
from medical_kg.orchestration.isolation import RemoteStageType
from medical_kg.orchestration.isolation.errors import rebuilt
from medical_kg.orchestration.isolation.process import Died
from medical_kg.orchestration.resilience import Guard

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StageContext
    from medical_kg.orchestration.execution.batch import BatchRun
    from medical_kg.orchestration.pipeline.plan import PlannedStage

NAMES = "roots_named"


def ask_keeper(run: BatchRun, planned: PlannedStage, method: str, argument: str) -> Any:
    """Call ``kept``, ``forget`` or ``roots_named`` of a stage, under its policy, wherever it lives.

    Raises:
        ContractError: its answer is not what the contract says.
        MedicalKGError: it could not be asked, or whatever it raised.
    """
    with watched() as watch:
        try:
            return _ask(run, planned, method, argument)
        except MedicalKGError:
            raise
        except BaseException as error:
            watch.check()
            raise StageError(f"{method}() of stage type {planned.type.name!r} failed: {said(error)}") from error


def _ask(run: BatchRun, planned: PlannedStage, method: str, argument: str) -> Any:
    ctx = run.context(planned)
    if isinstance(planned.type, RemoteStageType):
        return _ask_elsewhere(run, planned, ctx, method, argument)
    guard = Guard(planned.policy, ctx, lambda *_: None, run.draw)
    with run.instances.use(planned, ctx, guard) as stage:
        answer = guard(getattr(stage, method), ctx, argument)
    return checked(planned, method, plain(method, answer))


def _ask_elsewhere(run: BatchRun, planned: PlannedStage, ctx: StageContext, method: str, argument: str) -> Any:
    assert isinstance(planned.type, RemoteStageType)  # noqa: S101  # the caller has looked
    request = request_of("ask", planned.type, planned, ctx) | {"method": method, "argument": argument}
    try:
        with run.instances.worker(planned) as worker:
            answer = worker.ask(request)
    except Died as death:
        raise EnvironmentBroken(
            planned.type.environment, f"its worker did not survive {method}(): {death.how}"
        ) from death
    if error := answer.get("error"):
        raise rebuilt(error)
    return checked(planned, method, answer["value"])


def plain(method: str, answer: Any) -> Any:
    """Return an answer as JSON can hold it, as far as it is what the contract says."""
    if method == NAMES:
        return [identified(one) for one in answer]
    return {str(name): number for name, number in answer.items()} if isinstance(answer, Mapping) else answer


def checked(planned: PlannedStage, method: str, answer: Any) -> Any:
    """Refuse an answer that is not what the contract says."""
    fits = isinstance(answer, list) if method == NAMES else _is_counts(answer)
    if not fits:
        what = f"its {method}() must return named whole numbers, not {answer!r:.80}"
        raise ContractError(f"stage type {planned.type.name!r}", what)
    return answer


def _is_counts(answer: Any) -> bool:
    return isinstance(answer, Mapping) and all(type(number) is int and number >= 0 for number in answer.values())
