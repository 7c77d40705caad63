"""Configs that misbehave when they are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from medical_kg_hostile.making import OddError, Whole, metadata


class Interrupting(BaseModel):
    """Cannot be checked."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> Any:
        raise KeyboardInterrupt("in a validator")


class InterruptsInValidator(Whole):
    """Raises what Ctrl-C raises while its config is checked."""

    metadata = metadata("interrupts-in-validator", config_model=Interrupting)


class RaisesInConfigure(Whole):
    """Raises what is no Exception while its config is completed."""

    metadata = metadata("raises-in-configure")

    @classmethod
    def configure(cls, config: Any, *, stage: str, conditions: Mapping[str, Any]) -> Any:
        """Fail."""
        raise OddError("in configure()")
