"""What the engine adds to each call of an item stage: isolation, checks and counting, without codecs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmarks.measure import Row, cpu
from medical_kg import NoConfig, Stage, StageContext, StageMetadata, StateKey
from medical_kg.orchestration.execution.calling import call, count
from medical_kg.orchestration.resilience import Guard, Policy

ITEMS = 100_000
ALLOWED = 2.5


class Item(BaseModel):
    """A small record."""

    model_config = ConfigDict(frozen=True)

    id: str


GIVEN: StateKey[list[Item]] = StateKey("given", list[Item], id="id", root="id")
TAKEN: StateKey[list[Item]] = StateKey("taken", list[Item], id="id", root="id")


class Pass(Stage[NoConfig]):
    """Gives each item back."""

    metadata = StageMetadata(
        stage_type="pass", version="1", description="Passes.", reads=(GIVEN,), writes=(TAKEN,), mode="item"
    )

    def process(self, ctx: StageContext, item: Any, **reads: Any) -> Any:
        """Do next to nothing."""
        return item


def rows() -> Iterator[Row]:
    """Measure the item loop against a plain one."""
    items = [Item(id=str(number)) for number in range(ITEMS)]
    stage = Pass(NoConfig())
    logger = logging.LoggerAdapter(logging.getLogger("bench"), {})
    ctx = StageContext("p", "pass", "s", "b", "t", NoConfig(), logger)
    floor = cpu(lambda: [stage.process(ctx, item) for item in items]) / ITEMS * 1e6
    for name, policy in (
        ("no policy", Policy()),
        ("retries and a timeout", Policy(max_attempts=3, timeout_seconds=30)),
    ):
        guard = Guard(policy, ctx, lambda *_: None, lambda: 0.5)

        def ours(guard: Guard = guard) -> None:
            count(stage.metadata, call(stage, ctx, guard, {"given": items}).output)

        added = cpu(ours) / ITEMS * 1e6 - floor
        yield Row(
            f"engine per stage and item, {name}",
            f"{added:.2f} us",
            f"{floor:.2f} us plain call",
            f"{ALLOWED} us",
            added <= ALLOWED,
        )
