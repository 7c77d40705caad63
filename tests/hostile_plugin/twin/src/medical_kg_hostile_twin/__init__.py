"""Stage types under names that are taken."""

from __future__ import annotations

from typing import Any

from medical_kg import NoConfig, Stage, StageContext, StageMetadata


class Chunk(Stage[NoConfig]):
    """Takes the name of a built-in."""

    metadata = StageMetadata(stage_type="chunk", version="1.0", description="Takes a name.")

    def run(self, ctx: StageContext, **reads: Any) -> None:
        """Do nothing."""


class Twice(Stage[NoConfig]):
    """Takes the name of another package's."""

    metadata = StageMetadata(stage_type="twice", version="1.0", description="Takes a name.")

    def run(self, ctx: StageContext, **reads: Any) -> None:
        """Do nothing."""
