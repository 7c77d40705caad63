"""The base of the records and configs of medical-kg."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A frozen pydantic model that refuses unknown fields; its validator is built when first used, not on import."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
