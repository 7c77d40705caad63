"""The base of the records and configs of medical-kg."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Model(BaseModel):
    """A frozen pydantic model that refuses unknown fields; its validator is built when first used, not on import."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def plainly(message: str) -> str:
    """Return what a validator of ours said, without the words that pydantic puts before it."""
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def problems_in(error: ValidationError, whole: str = "") -> str:
    """Return what is wrong with which field, on one line; ``whole`` names what has the fields."""
    found = ((".".join(map(str, one["loc"])) or whole, plainly(one["msg"])) for one in error.errors())
    return "; ".join(f"{where}: {said}" if where else said for where, said in found)
