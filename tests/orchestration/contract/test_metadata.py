"""The metadata record: every field's refusal names plugin, field and value, and nothing wrong gets through (scenario 5)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from support import LOWER, TALLY, UPPER, WORDS, Config, Word

from medical_kg import MetadataError, NoConfig, StageMetadata, StateKey, optional
from medical_kg.orchestration.contract import method_of

NO_ID: StateKey[list[Word]] = StateKey("no_id", list[Word])


class Loose(BaseModel):
    pass


class Ignoring(BaseModel):
    model_config = ConfigDict(extra="ignore")


def metadata(**fields: Any) -> StageMetadata:
    return StageMetadata(**{"stage_type": "some-type", "version": "1.0", "description": "Does.", **fields})


ITEM = {"mode": "item", "reads": (WORDS,)}
STREAM = {"mode": "stream", "writes": (WORDS,)}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *[
        ("stage_type", {"stage_type": value}, "must be lower-case words joined by hyphens, e.g. 'ir-validation'")
        for value in ("", " ", "Chunk", "my_type", "a--b", "-a", "a-", "1a", "a b", "a\n", "a:b", None, 3)
    ],
    *[("version", {"version": value}, "must be like '1.0.0'") for value in ("", "new", None, 1.0, "1.0 beta x")],
    *[("description", {"description": value}, "must be a sentence for people") for value in ("", " \n", None, 3)],
    *[("default_policy", {"default_policy": value}, "must be the name of a policy, or None") for value in ("", " ", 3)],
    *[
        ("needs", {"needs": value}, "must be a tuple of service names")
        for value in ("http", ["http"], ("",), (None,), ("a b",), None)
    ],
    *[
        ("reads", {"reads": value}, "must be a tuple of StateKey or optional(StateKey)")
        for value in (WORDS, [WORDS], ("words",), None, (optional("words"),), (optional(optional(WORDS)),))  # type: ignore[arg-type]  # wrong on purpose
    ],
    *[
        ("writes", {"writes": value}, "must be a tuple of StateKey")
        for value in (WORDS, [WORDS], ("words",), (optional(WORDS),), None)
    ],
    ("reads", {"reads": (WORDS, StateKey("words", int))}, "names a key twice"),
    ("reads", {"reads": (WORDS, optional(WORDS))}, "names a key twice"),
    ("writes", {"writes": (WORDS, WORDS)}, "names a key twice"),
    *[("mode", {"mode": value}, "must be 'item', 'batch' or 'stream'") for value in ("", "map", None, [])],
    *[
        ("items_per_call", {**ITEM, "items_per_call": value}, "must be a whole number from 1")
        for value in (True, False, 0, -1, 2.0, "2")
    ],
    *[("flat", {**ITEM, "flat": value}, "must be True or False") for value in (None, 1, "yes")],
    *[("cacheable", {"cacheable": value}, "must be True or False") for value in (None, 1)],
    ("items_per_call", {"items_per_call": 2}, "is for item mode only"),
    ("items_per_call", {**STREAM, "items_per_call": 2}, "is for item mode only"),
    ("flat", {"flat": True}, "is for item mode only"),
    ("flat", {**STREAM, "flat": True}, "is for item mode only"),
    ("reads", {**STREAM, "reads": (UPPER,)}, "must be empty for a stream stage: it feeds the pipeline"),
    ("writes", {"mode": "stream"}, "must name what a stream stage feeds"),
    ("reads", {"mode": "item"}, "must name the key that item mode maps over"),
    ("reads", {"mode": "item", "reads": (optional(WORDS),)}, "the first key of item mode cannot be optional"),
    ("reads", {"mode": "item", "reads": (TALLY,)}, "'tally' needs a list type and an id"),
    ("reads", {"mode": "item", "reads": (NO_ID,)}, "'no_id' needs a list type and an id"),
    ("writes", {**ITEM, "writes": (UPPER, TALLY)}, "item mode writes lists only"),
    *[
        (name, {name: value}, "must be callable")
        for name in ("output_handler", "output_counter")
        for value in (3, "len", {})
    ],
    *[
        ("config_model", {"config_model": value}, "must be a pydantic model")
        for value in (None, 3, dict, dict[str, int], {"a": 1}, NoConfig())
    ],
    *[("config_model", {"config_model": value}, 'must set extra="forbid"') for value in (BaseModel, Loose, Ignoring)],
]


@pytest.mark.parametrize(("field", "fields", "reason"), REFUSED)
def test_refusals(field: str, fields: dict[str, Any], reason: str) -> None:
    """A wrong field is refused by name, with the plugin, the value and the reason."""
    with pytest.raises(MetadataError) as caught:
        metadata(**fields)
    name = fields.get("stage_type", "some-type")
    error = caught.value
    assert (error.plugin, error.field, error.reason) == (f"stage type {name!r}", field, reason)
    assert error.value == fields.get(field, () if field in ("reads", "writes") else None)
    assert str(error) == f"{error.plugin}: {field}={error.value!r} is refused: {reason}"


def test_defaults() -> None:
    """What is not said: batch mode, no keys, no config, no needs."""
    plain = metadata()
    assert (plain.mode, plain.reads, plain.writes, plain.needs) == ("batch", (), (), ())
    assert (plain.read_keys, plain.optional_keys, plain.config_model) == ((), frozenset(), NoConfig)
    assert (plain.items_per_call, plain.flat, plain.cacheable, plain.default_policy) == (None, False, False, None)


def test_a_full_record() -> None:
    """Everything that may be said together is taken as it is."""
    full = metadata(
        reads=(WORDS, optional(UPPER)),
        writes=(LOWER,),
        mode="item",
        items_per_call=1,
        flat=True,
        config_model=Config,
        output_handler=dict,
        output_counter=len,
        default_policy="polite",
        cacheable=True,
        needs=("http", "files"),
    )
    assert full.read_keys == (WORDS, UPPER)
    assert full.optional_keys == {UPPER}


def test_frozen() -> None:
    """Nothing changes a record once it stands."""
    with pytest.raises(AttributeError):
        metadata().version = "2.0"  # type: ignore[misc]  # refused on purpose


def test_a_key_may_be_read_and_written() -> None:
    """A stage may pass on the key it reads, as a validation does."""
    assert metadata(**ITEM, writes=(WORDS,)).writes == (WORDS,)


@pytest.mark.parametrize(
    ("fields", "method"),
    [({}, "run"), (ITEM, "process"), ({**ITEM, "items_per_call": 8}, "process_many"), (STREAM, "pull")],
)
def test_the_method_follows_from_the_metadata(fields: dict[str, Any], method: str) -> None:
    """Which method is called is decided by mode and ``items_per_call`` alone."""
    assert method_of(metadata(**fields)) == method
