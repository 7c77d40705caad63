"""Stage types of made-up packages, which the wrong files beside use: right ones, and ones with a defect each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from medical_kg import ConditionRef, Model, NoConfig, PluginName, Stage, StageMetadata, StateKey
from medical_kg.documents.keys import DOCUMENTS


class Row(BaseModel):
    id: str


TABLE: StateKey[dict[str, int]] = StateKey("acme_table", dict[str, int])
ROWS: StateKey[list[Row]] = StateKey("acme_rows", list[Row], id="id", merge="append")
COUNT: StateKey[int] = StateKey("acme_count", int)
COUNT_AS_TEXT: StateKey[str] = StateKey("acme_count", str)


class Window(Model):
    size: int = Field(default=10, ge=1)
    shape: Literal["round", "square"] = "round"


class ScoreConfig(Model):
    """Every kind of field: nested, listed, by key, chosen, required, naming plugins and conditions."""

    model: str
    weight: float = Field(default=1.0, ge=0, le=1)
    strict: bool = False
    window: Window = Window()
    windows: list[Window] = Field(default_factory=list)
    by_name: dict[str, Window] = Field(default_factory=dict)
    either: int | list[int] = 1
    sources: list[Annotated[str, PluginName("medical_kg.sources")]] = Field(default_factory=list)
    waits: tuple[ConditionRef, ...] = ()


class CrashConfig(Model):
    mood: str = "calm"

    @field_validator("mood")
    @classmethod
    def _explode(cls, mood: str) -> str:
        if mood == "exit":
            raise SystemExit(3)
        if mood == "angry":
            raise KeyError("model")
        return mood


def made(
    name: str, config: type[Model] = NoConfig, configure: Callable[..., Any] | None = None, **more: Any
) -> type[Stage[Any]]:
    metadata = StageMetadata(
        stage_type=name, version="1.0", description=f"The type {name}.", config_model=config, **more
    )
    attributes: dict[str, Any] = {"metadata": metadata, "run": lambda self, ctx, **reads: None}
    if configure is not None:
        attributes["configure"] = classmethod(configure)
    return type(name.title(), (Stage,), attributes)


Score = made("score", ScoreConfig, reads=(DOCUMENTS,))
Left = made("left", reads=(DOCUMENTS,), writes=(TABLE,))
Join = made("join", reads=(TABLE,))
Note = made("note", reads=(DOCUMENTS,), writes=(ROWS,))
Count = made("count", reads=(DOCUMENTS,), writes=(COUNT,))
Shout = made("shout", reads=(COUNT_AS_TEXT,))
Gpu = made("gpu", needs=("gpu", "htp"))
Night = made("night", default_policy="night-shift")
Crash = made("crash", CrashConfig)
Twice = made("twice")
Other = made("other")
NotAStage = 5


def _recurse(cls: Any, config: Any, **more: Any) -> Any:
    return cls.configure(config, **more)


Recurse = made("recurse", configure=_recurse)
Nothing = made("nothing", configure=lambda cls, config, **more: None)

ACME = ("score", "left", "join", "note", "count", "shout", "gpu", "night", "crash", "recurse", "nothing", "twice")
ENTRIES = {
    "acme": {
        **{name: f"acme:{name.title()}" for name in ACME},
        "absent": "acme:NotThere",
        "moved": "acme_moved:Stage",
        "number": "acme:NotAStage",
        "misnamed": "acme:Other",
    },
    "beta": {"twice": "acme:Twice"},
}
"""Distributions, and the entry points of each behind the stage door."""
