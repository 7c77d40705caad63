"""What the conformance suite is told of a stage type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medical_kg.orchestration.contract import Stage


@dataclass(frozen=True)
class StageCase:
    """A stage type with a config and input that it can work on.

    Args:
        stage_type: the stage class, or a decorated function.
        config: its config as a pipeline would write it.
        reads: a value per key it reads (optional reads too: the rules leave them out by turns). In item mode give at
            least two items, all of which it can process.
        bad_item: item mode: an item of the first read that the stage must reject; the rule of isolation needs it.
        more: further keywords of ``run_stage``, e.g. ``{"services": {"http": FakeHttp(…)}}``. A stage that needs a
            workspace gets a new folder for each run unless one is given.
        repeatable: False where equal input need not give equal values, as with a sampled model: ids and roots are
            compared then, values are not. A stage that claims ``cacheable`` is held to its claim all the same.
    """

    stage_type: type[Stage[Any]]
    config: Mapping[str, Any] = field(default_factory=dict)
    reads: Mapping[str, Any] = field(default_factory=dict)
    bad_item: Any = None
    more: Mapping[str, Any] = field(default_factory=dict)
    repeatable: bool = True

    def __str__(self) -> str:
        """Return the stage type's name."""
        return f"stage type {self.stage_type.metadata.stage_type!r}"
