"""Stage instances of this process: opened once per (type, config), used by one thread at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from medical_kg.orchestration.contract.errors import StageError
from medical_kg.orchestration.contract.foreign import said, trace_of
from medical_kg.orchestration.interruption import watched

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Stage, StageContext
    from medical_kg.orchestration.isolation import RemoteStageType
    from medical_kg.orchestration.isolation.process import Worker
    from medical_kg.orchestration.pipeline.plan import PlannedStage
    from medical_kg.orchestration.resilience import Guard

logger = logging.getLogger(__name__)


class Instances:
    """Keeps open stage instances between uses."""

    def __init__(self) -> None:
        """Start with none."""
        self._idle: dict[tuple[str, str], list[Stage[Any]]] = {}
        self._workers: dict[tuple[str, ...], list[Worker]] = {}
        self._busy: set[Worker] = set()
        self._closed = False
        self._lock = threading.Lock()

    @contextmanager
    def use(self, planned: PlannedStage, ctx: StageContext, guard: Guard) -> Iterator[Stage[Any]]:
        """Give an open instance; a new one's ``open`` is called under the stage's policy.

        An instance whose use raised is closed and not used again.
        """
        key = (f"{planned.type.origin}/{planned.type.name}", planned.config.model_dump_json())
        with self._lock:
            idle = self._idle.setdefault(key, [])
            stage = idle.pop() if idle else None
        if stage is None:
            # A config of its own: the plan's is part of fingerprints, and of other stages' of this type.
            stage = planned.type.cls(planned.config.model_copy(deep=True))
            guard(stage.open, ctx)
        try:
            yield stage
        except BaseException:
            _close(stage)
            raise
        with self._lock:
            idle.append(stage)

    @contextmanager
    def worker(self, planned: PlannedStage) -> Iterator[Worker]:
        """Give a worker process in the stage's environment that has, or will have, this stage open.

        One whose use raised is ended and not used again.

        Raises:
            EnvironmentBroken: none can be started.
        """
        host = cast("RemoteStageType", planned.type).host
        key = (host.name, f"{planned.type.origin}/{planned.type.name}", planned.config.model_dump_json())
        with self._lock:
            idle = self._workers.setdefault(key, [])
            worker = idle.pop() if idle else None
        if worker is None:
            worker = host.take()
        try:
            self._lend(worker)
            yield worker
        except BaseException:
            worker.kill()
            raise
        finally:
            self._busy.discard(worker)
        with self._lock:
            idle.append(worker)

    def _lend(self, worker: Worker) -> None:
        with self._lock:
            if self._closed:
                raise StageError("the run has been stopped")
            self._busy.add(worker)

    def close(self) -> None:
        """Close every instance; one that raises is reported and the rest goes on. Workers still at work are killed."""
        with self._lock:
            self._closed = True
            stages = [stage for idle in self._idle.values() for stage in idle]
            workers = [worker for idle in self._workers.values() for worker in idle]
            busy = list(self._busy)
            self._idle.clear()
            self._workers.clear()
        for one in busy:
            one.stop()
        for stage in stages:
            _close(stage)
        for worker in workers:
            worker.close()


def _close(stage: Stage[Any]) -> None:
    with watched() as watch:
        try:
            stage.close()
        except BaseException as error:  # noqa: BLE001  # a plugin may raise anything; the others are to be closed
            watch.check()
            name = type(stage).metadata.stage_type
            logger.error(  # noqa: TRY400  # its traceback is told in bounded, printable text
                "close() of stage type %r failed: %s\n%s", name, said(error), trace_of(error)
            )
