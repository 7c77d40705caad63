"""How what is wrong with a model is told."""

from __future__ import annotations

import pytest
from pydantic import ValidationError, field_validator, model_validator

from medical_kg.orchestration.contract.model import Model, problems_in


class Range(Model):
    low: int = 0
    high: int = 0

    @field_validator("low")
    @classmethod
    def _is_even(cls, low: int) -> int:
        if low % 2:
            raise ValueError("must be even")
        return low

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"low": 1, "up": 2}, "low: must be even; up: Extra inputs are not permitted"),
        ({"low": 2}, "range: low must not be above high"),
    ],
)
def test_problems_are_told_by_field_in_plain_words(given: dict[str, int], said: str) -> None:
    """Without what pydantic puts before the words of a validator; a problem of the whole is told of the whole."""
    with pytest.raises(ValidationError) as caught:
        Range.model_validate(given)
    assert problems_in(caught.value, "range") == said
    assert problems_in(caught.value).endswith(said.removeprefix("range: "))
