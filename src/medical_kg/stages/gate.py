"""``gate``: holds a batch until a condition over signals comes true, without holding a worker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import Field

from medical_kg import ConditionRef, Model, NamedCondition, Stage, StageContext, StageMetadata, Waiting
from medical_kg.orchestration.contract.errors import UsageError, near

if TYPE_CHECKING:
    from collections.abc import Mapping


class GateConfig(Model):
    """``gate`` names one of the pipeline's conditions; without it the stage's own name tells."""

    gate: ConditionRef | None = Field(default=None, description="what is waited for")


class GateStage(Stage[GateConfig]):
    """Lets a batch pass once its condition holds, or once its time is up and the condition says to continue."""

    metadata = StageMetadata(
        stage_type="gate",
        version="1.0.0",
        description="Waits until a condition over signals holds.",
        config_model=GateConfig,
        needs=("signals",),
    )

    @classmethod
    def configure(cls, config: GateConfig, *, stage: str, conditions: Mapping[str, NamedCondition]) -> GateConfig:
        """Complete a missing ``gate``: the condition named like the stage, else the only one there is.

        ``gate_pdf_ir_ready``, ``gate-pdf-ir-ready`` and ``pdf_ir_ready`` all mean the condition ``pdf_ir_ready``.

        Raises:
            ValueError: no condition is meant without doubt; the message lists them.
        """
        if config.gate is not None:
            return config
        named = [name for name in conditions if _plain(name) == _plain(stage)]
        for candidates in (named, list(conditions)):
            if len(candidates) == 1:
                return config.model_copy(update={"gate": ConditionRef(candidates[0])})
        listed = ", ".join(sorted(conditions)) or "none; add one under gates"
        msg = f"cannot tell which condition stage {stage!r} waits for; set gate to one of the pipeline's: {listed}"
        raise ValueError(msg)

    def run(self, ctx: StageContext, **reads: Any) -> Waiting | None:
        """Return nothing once the batch may pass, else what it waits for."""
        del reads
        named = self._condition(ctx)
        if ctx.signals.holds(named.condition):
            ctx.logger.info("condition %s holds: %s", named.name, named.condition)
            return None
        if ctx.timed_out:
            ctx.logger.warning("condition %s did not hold in time; going on as it says", named.name)
            return None
        return _waiting(named)

    def _condition(self, ctx: StageContext) -> NamedCondition:
        name = self.config.gate
        if name is None or name not in ctx.conditions:
            hint = near(name or "", ctx.conditions)
            raise UsageError(f"stage {ctx.stage!r}: the pipeline has no condition {name!r} under gates; {hint}")
        return ctx.conditions[name]


def _plain(name: str) -> str:
    return name.replace("-", "_").removeprefix("gate_")


def _waiting(named: NamedCondition) -> Waiting:
    seconds = named.timeout_seconds
    deadline = None if seconds is None else timedelta(seconds=seconds)
    return Waiting(named.condition, deadline=deadline, on_timeout=named.on_timeout)
