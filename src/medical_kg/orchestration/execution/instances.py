"""Stage instances of this process: opened once per (type, config), used by one thread at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Stage, StageContext
    from medical_kg.orchestration.pipeline.plan import PlannedStage
    from medical_kg.orchestration.resilience import Guard

logger = logging.getLogger(__name__)


class Instances:
    """Keeps open stage instances between uses."""

    def __init__(self) -> None:
        """Start with none."""
        self._idle: dict[tuple[str, str], list[Stage[Any]]] = {}
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
            stage = planned.type.cls(planned.config)
            guard(stage.open, ctx)
        try:
            yield stage
        except BaseException:
            _close(stage)
            raise
        with self._lock:
            idle.append(stage)

    def close(self) -> None:
        """Close every instance; one that raises is reported and the rest goes on."""
        with self._lock:
            stages = [stage for idle in self._idle.values() for stage in idle]
            self._idle.clear()
        for stage in stages:
            _close(stage)


def _close(stage: Stage[Any]) -> None:
    try:
        stage.close()
    except Exception:
        logger.exception("close() of stage type %r failed", stage.metadata.stage_type)
