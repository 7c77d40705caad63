"""How values reach their readers: shared where they cannot be changed, else each has its own."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from support import Word, open_run, plan, planned

from medical_kg import NoConfig, Page, Stage, StageMetadata, StateKey
from medical_kg.orchestration.execution import execute_stage
from medical_kg.orchestration.execution.sharing import handing, may_share


class Color(enum.Enum):
    RED = 1


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Leaf(Frozen):
    id: str
    at: datetime | None = None
    color: Color = Color.RED
    kind: Literal["a", "b"] = "a"
    size: Annotated[int, Field(ge=0)] = 0


class Tree(Frozen):
    leaves: tuple[Leaf, ...] = ()
    below: tuple[Tree, ...] = ()


class Loose(Frozen):
    id: str
    notes: dict[str, Any]
    leaf: Leaf | None = None


class Open(BaseModel):
    id: str


class Extra(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Private(Frozen):
    _cache: dict[str, str] = PrivateAttr(default_factory=dict)


class Nested(Frozen):
    loose: Loose


@dataclass(frozen=True)
class FrozenClass:
    id: str
    leaf: Leaf


@dataclass
class OpenClass:
    id: str


@dataclass(frozen=True)
class Unknown:
    id: Nowhere  # type: ignore[name-defined]  # noqa: F821  # that is the point


class Pair(NamedTuple):
    one: str


class Vector(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    vector: np.ndarray


@pytest.mark.parametrize("fixed", [str, int, Leaf, Tree, FrozenClass, tuple[Leaf, ...], frozenset[str], Leaf | None])
def test_what_cannot_be_changed_is_shared(fixed: Any) -> None:
    """Frozen records of fixed parts, however deep, are given to every reader as they are."""
    assert may_share(fixed)


@pytest.mark.parametrize(
    "loose",
    [Loose, Open, Extra, Private, Nested, OpenClass, Unknown, Pair, Vector, dict, list[str], Any, Mapping[str, str]],
)
def test_what_can_be_changed_is_not_shared(loose: Any) -> None:
    """One part that can be changed, or that cannot be told, is enough."""
    assert not may_share(loose)


def test_an_annotation_that_cannot_be_hashed_is_not_shared() -> None:
    """What cannot be looked up cannot be told either."""
    assert not may_share(Annotated[str, {}])


def test_of_a_model_only_its_loose_fields_are_copied() -> None:
    """Each reader has dicts, lists and arrays of its own; the rest is the same objects."""
    key: StateKey[list[Loose]] = StateKey("loose", list[Loose], id="id")
    given = [Loose(id="a", notes={"x": [1, {"y": {1, 2}}], "n": None, "f": 0.5, "t": True}, leaf=Leaf(id="l"))]
    hand = handing(key)
    assert hand is not None
    (copy,) = hand(given)
    assert copy == given[0]
    assert copy.leaf is given[0].leaf
    copy.notes["x"][1]["y"].add(3)
    assert given[0].notes["x"] == [1, {"y": {1, 2}}]


def test_an_empty_dict_is_copied_too() -> None:
    """What is empty can be filled."""
    hand = handing(StateKey("one", Loose))
    given = Loose(id="a", notes={})
    assert hand is not None
    hand(given).notes["x"] = 1
    assert given.notes == {}


def test_an_array_is_copied() -> None:
    """A vector that one reader normalises in place stays what it was for the next."""
    hand = handing(StateKey("vectors", list[Vector]))
    given = [Vector(vector=np.ones(3))]
    assert hand is not None
    hand(given)[0].vector[:] = 0
    assert given[0].vector.tolist() == [1, 1, 1]


def test_a_class_that_is_not_frozen_is_copied_whole() -> None:
    """A model whose fields may be set is another object for each reader, though its parts are the same."""
    hand = handing(StateKey("open", list[Open], id="id"))
    given = [Open(id="a")]
    assert hand is not None
    hand(given)[0].id = "b"
    assert given[0].id == "a"


@pytest.mark.parametrize("type_", [dict[str, str], OpenClass, Extra, Private, Nested])
def test_what_cannot_be_copied_with_profit_is_decoded_anew(type_: Any) -> None:
    """Plain data and models within models come from the checkpoint for each reader."""
    assert handing(StateKey("key", list[type_])) is None


RAW: StateKey[list[dict[str, str]]] = StateKey("raw", list[dict[str, str]], id=lambda item: item["id"])
LOOSE: StateKey[list[Loose]] = StateKey("loose", list[Loose], id="id")
WORDS: StateKey[list[Word]] = StateKey("words", list[Word], id="id")


class Feed(Stage[NoConfig]):
    """Gives one record of each sort, keeps them, and changes them when it has given them."""

    metadata = StageMetadata(
        stage_type="feed", version="1", description="Feeds.", writes=(RAW, LOOSE, WORDS), mode="stream"
    )
    given: dict[Any, Any]

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        type(self).given = {
            RAW: [{"id": "a"}],
            LOOSE: [Loose(id="a", notes={"by": "feed"})],
            WORDS: [Word(id="a", root="a")],
        }
        return Page(type(self).given)


class Reader(Stage[NoConfig]):
    """Notes what it is given, and then changes all of it."""

    metadata = StageMetadata(stage_type="reader", version="1", description="Reads.", reads=(RAW, LOOSE, WORDS))
    seen: list[Any] = []  # noqa: RUF012  # each test clears it

    def run(self, ctx: Any, **reads: Any) -> None:
        assert ctx.input == {"input": "x"}
        self.seen.append((reads["raw"][0]["id"], reads["loose"][0].notes["by"], len(reads["words"])))
        reads["raw"][0]["id"] = "changed"
        reads["loose"][0].notes["by"] = "changed"
        reads["words"].clear()
        ctx.input.clear()
        ctx.conditions["x"] = None


@pytest.mark.parametrize("resumed", [False, True])
def test_no_reader_sees_what_another_or_the_writer_did(tmp_path: Path, *, resumed: bool) -> None:
    """Two readers, one after the other, are given the same, though each changes it, and so does the writer."""
    Reader.seen.clear()
    bindings = {RAW: ("feed",), LOOSE: ("feed",), WORDS: ("feed",)}
    readers = [planned(Reader, ["feed"], bindings=bindings, name=name) for name in ("one", "other")]
    run = open_run(tmp_path, plan(planned(Feed), *readers))
    execute_stage(run, "feed")
    Feed.given[LOOSE][0].notes["by"] = "changed later"
    Feed.given[RAW][0]["id"] = "changed later"
    if resumed:
        run.values.clear()
    assert [execute_stage(run, name).status for name in ("one", "other")] == ["completed", "completed"]
    assert Reader.seen == [("a", "feed", 1), ("a", "feed", 1)]
    assert run.plan.conditions == {}
