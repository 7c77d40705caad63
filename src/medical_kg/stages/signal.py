"""``signal``: tells a named fact, so that a waiting stage or another pipeline can go on."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from medical_kg import Model, Stage, StageContext, StageMetadata


class SignalConfig(Model):
    """What to tell and to whom.

    ``signal`` is the name a condition's ``field`` asks for (``ledger.X`` is another spelling of ``X``). Without
    ``pipeline`` the stage's own submission is told, with it every unfinished submission of that pipeline.
    """

    signal: str = Field(min_length=1, description="the name a condition's field asks for")
    value: Any = Field(default=True, description="what is told")
    pipeline: str | None = Field(
        default=None, min_length=1, description="tells every unfinished submission of this pipeline instead of its own"
    )

    @field_validator("signal")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return name.removeprefix("ledger.")


class SignalStage(Stage[SignalConfig]):
    """Tells a signal when the batch reaches it. Telling again the same changes nothing."""

    metadata = StageMetadata(
        stage_type="signal",
        version="1.0.0",
        description="Tells a signal to its own submission or to those of another pipeline.",
        config_model=SignalConfig,
        needs=("signals",),
    )

    def run(self, ctx: StageContext, **reads: Any) -> None:
        """Tell the signal; the log says how many submissions heard it."""
        del reads
        config = self.config
        told = ctx.signals.tell(config.signal, config.value, pipeline=config.pipeline)
        audience = "this submission" if config.pipeline is None else f"pipeline {config.pipeline!r}"
        if told:
            ctx.logger.info("told %s to %s: %d submission(s)", config.signal, audience, told)
        else:
            ctx.logger.warning(
                "told %s to %s, but no unfinished submission is there to hear it", config.signal, audience
            )
