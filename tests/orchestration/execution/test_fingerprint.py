"""Fingerprints: the whole, its parts, and what differs between two."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from support import Feed, Shout, planned

from medical_kg.orchestration.contract import Clause, Condition, NamedCondition, Stage, StageMetadata
from medical_kg.orchestration.execution.fingerprint import (
    ABSENT,
    LONGEST,
    Change,
    changes,
    fingerprint,
    fingerprint_of,
    why_not_reused,
)
from medical_kg.orchestration.ledger.contract import FingerprintParts, OutputRef, StageRecord
from medical_kg.orchestration.pipeline.plan import PlannedStage


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    token: SecretStr = SecretStr("inner")
    retries: int = 2


class Rich(BaseModel):
    model_config = ConfigDict(extra="forbid")
    prompt: str = "short"
    key: SecretStr = SecretStr("outer")
    inner: Inner = Inner()
    keys: list[SecretStr] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)


class Asks(Stage[Rich]):
    metadata = StageMetadata(stage_type="asks", version="1.0", description="Asks.", config_model=Rich)

    def run(self, ctx: Any, **reads: Any) -> None: ...


def parts_of(stage: PlannedStage, **inputs: list[str]) -> FingerprintParts:
    return fingerprint_of(stage, inputs)[1]


def told(before: PlannedStage, after: PlannedStage) -> list[str]:
    return [str(change) for change in changes(parts_of(before), parts_of(after))]


def with_origin(stage: PlannedStage, **origin: str) -> PlannedStage:
    return replace(stage, type=replace(stage.type, origin=replace(stage.type.origin, **origin)))


def test_the_whole_is_the_digest_of_all_parts_in_full() -> None:
    """It is the sha256 of the parts' JSON, so results that earlier releases kept still fit; none has a source."""
    stage = planned(Shout, config={"bad": ("a",)})
    parts = {
        "type": "shout",
        "distribution": "tests",
        "version": "1.0",
        "config": {"number": 3, "bad": ["a"]},
        "conditions": {},
        "inputs": {"words": ["x"]},
    }
    expected = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    assert fingerprint(stage, {"words": ["x"]}) == expected
    kept = parts_of(stage, words=["x"])
    assert kept.digests == {
        name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for name, part in parts.items()
    }
    assert (kept.type, kept.source, dict(kept.config)) == ("shout", "", {"number": 3, "bad": ["a"]})


def test_a_local_modules_source_is_part_of_it_and_a_distributions_version_is_not() -> None:
    """An edit of a project's own module counts at once; an upgrade of a distribution does only by its behaviour."""
    stage = planned(Shout)
    assert fingerprint(with_origin(stage, version="9"), {}) == fingerprint(stage, {})
    local = with_origin(stage, distribution="local", source="a" * 64)
    edited = with_origin(local, source="b" * 64)
    assert fingerprint(local, {}) != fingerprint(edited, {})
    assert told(local, edited) == ["source of local module changed"]
    assert told(stage, local) == ["distribution tests → local", "source of local module changed"]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (planned(Shout, config={"number": 4}), ["config.number: 3 → 4"]),
        (planned(Shout, config={"bad": ("ü",)}), ['config.bad: [] → ["ü"]']),
        (planned(Feed), ["type shout → feed"]),
        (planned(Shout, name="other"), []),
    ],
)
def test_a_change_is_told_by_its_part_and_values(after: PlannedStage, said: list[str]) -> None:
    """Config by field with both values, type by name; a stage's name is no part."""
    assert told(planned(Shout), after) == said


def test_a_new_behaviour_version_is_told() -> None:
    """Both versions are named."""
    newer = type("Newer", (Shout,), {"metadata": replace(Shout.metadata, version="1.1")})
    assert told(planned(Shout), planned(newer)) == ["behaviour version 1.0 → 1.1"]


def test_inputs_and_conditions_are_told_by_name() -> None:
    """Which input and which condition; a new one counts as changed."""
    stage = planned(Shout)
    found = changes(parts_of(stage, words=["a"], lower=["b"]), parts_of(stage, words=["c"], lower=["b"]))
    assert found == (Change("inputs", "words", ("a",), ("c",)),)
    assert str(found[0]) == "input words changed"
    gate = NamedCondition(name="open", condition=Condition(clauses=(Clause(field="x"),)))
    assert told(stage, planned(Shout, conditions={"open": gate})) == ["condition open changed"]


def test_fields_that_one_side_lacks_are_told() -> None:
    """A field that a new version of a config brings has no value before."""
    assert str(Change("config", "new", ABSENT, 5)) == "config.new: (not there) → 5"
    before, after = planned(Asks, config={"options": {"a": 1}}), planned(Asks, config={"options": {"b": {"c": None}}})
    assert told(before, after) == ["config.options.a: 1 → (not there)", "config.options.b.c: (not there) → null"]


def test_secrets_are_kept_as_digests_only() -> None:
    """A changed secret is seen and counts, wherever it stands; its value is nowhere."""
    stage = planned(Asks, config={"inner": {"token": "t0psecret"}, "keys": ["k1"]})
    kept = parts_of(stage)
    assert "t0psecret" not in kept.model_dump_json()
    assert "k1" not in json.dumps(kept.config["keys"])
    assert str(kept.config["inner.token"]).startswith("(secret, sha256 ")
    assert kept.config["inner.retries"] == 2
    other = planned(Asks, config={"inner": {"token": "another"}, "keys": ["k1"]})
    assert [change.name for change in changes(kept, parts_of(other))] == ["inner.token"]
    assert fingerprint(stage, {}) != fingerprint(other, {})
    same = planned(Asks, config={"key": "inner"})
    assert parts_of(same).config["key"] != parts_of(same).config["inner.token"]


def test_long_values_are_kept_as_digests_and_count_in_full() -> None:
    """The ledger does not grow with a prompt; a change at its end is seen all the same."""
    long = planned(Asks, config={"prompt": "x" * LONGEST})
    kept = parts_of(long)
    assert str(kept.config["prompt"]).startswith(f"({LONGEST + 2} characters of JSON, sha256 ")
    changed = planned(Asks, config={"prompt": "x" * (LONGEST - 1) + "y"})
    assert [change.name for change in changes(kept, parts_of(changed))] == ["prompt"]


def record(stage: PlannedStage, **more: Any) -> StageRecord:
    mark, parts = fingerprint_of(stage, {})
    values = {"batch_id": "b", "stage": "s", "stage_type": "t", "status": "completed", "fingerprint": mark}
    times = {"started_at": 0.0, "finished_at": 1.0, "outputs": {"words": OutputRef(digest="d", suffix="", items=1)}}
    return StageRecord(**{**values, **times, "parts": parts, **more})


def why(stage: PlannedStage, former: StageRecord, *, stream: bool = False, there: bool = True) -> list[str]:
    mark, parts = fingerprint_of(stage, {})
    return [str(one) for one in why_not_reused(former, mark, parts, stream=stream, has=lambda ref: there)]


def test_what_keeps_a_result_from_being_reused() -> None:
    """A changed part, a checkpoint that is gone; of an earlier release's result only that something changed."""
    before, after = planned(Shout), planned(Shout, config={"number": 9})
    assert why(before, record(before)) == []
    assert why(after, record(before)) == ["config.number: 3 → 9"]
    assert why(after, record(before), there=False) == ["config.number: 3 → 9", "checkpoint file of words is gone"]
    assert why(after, record(before, parts=None))[0].startswith("fingerprint changed (an earlier release")


def test_what_a_stream_stage_gave_stays_whatever_its_fingerprint_says() -> None:
    """Only a lost checkpoint makes it run again."""
    before, after = planned(Feed), planned(Feed, config={"number": 9})
    assert why(after, record(before), stream=True) == []
    assert why(after, record(before), stream=True, there=False) == ["checkpoint file of words is gone"]
