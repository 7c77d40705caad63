"""Making stage types: what each of them needs besides its misbehaviour."""

from __future__ import annotations

from typing import Any

from medical_kg_bystander import GIVEN, Word

from medical_kg import NoConfig, Stage, StageContext, StageMetadata, StateKey

TAKEN: StateKey[list[Word]] = StateKey("taken", list[Word], id="id", root="id")
MORE: StateKey[list[Word]] = StateKey("more", list[Word], id="id", root="id")
BAD = "w2"


class OddError(BaseException):
    """What is no Exception escapes most guards."""


def metadata(name: str, **more: Any) -> StageMetadata:
    """Return the metadata of a stage that reads and writes words."""
    values = {"version": "1.0", "description": f"Misbehaves: {name}.", "reads": (GIVEN,), "writes": (TAKEN,)}
    return StageMetadata(stage_type=name, **{**values, **more})


class Items(Stage[NoConfig]):
    """Gives each word back, and on the bad one misbehaves."""

    metadata = metadata("items", mode="item")

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Any:
        """Work on a word."""
        return self.misbehave(item) if item.id == BAD else item

    def misbehave(self, item: Word) -> Any:
        """Do what should not be done."""
        raise NotImplementedError


class Whole(Stage[NoConfig]):
    """Gives the words back."""

    metadata = metadata("whole")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Work on all words."""
        return reads["given"]
