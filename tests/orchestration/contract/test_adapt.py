"""Old stages with ``execute(ctx, upstream)`` run unchanged as stage types of today."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from support import LOWER, TALLY, UPPER, WORDS, Config, Word

from medical_kg import ContractError, MetadataError, Stage, StageMetadata, adapt, optional
from medical_kg.orchestration.contract import LegacyContext, LegacyDefinition
from medical_kg.testing import run_stage


class Recorder:
    """An old stage that remembers what it was given."""

    def __init__(self, definition: LegacyDefinition, answer: Any = None) -> None:
        self.definition, self.answer = definition, answer
        self.calls: list[tuple[LegacyContext, Any]] = []

    def execute(self, ctx: LegacyContext, upstream: Any) -> Any:
        self.calls.append((ctx, upstream))
        return self.answer(upstream) if callable(self.answer) else self.answer


class Builder:
    """An old builder that remembers what it built."""

    def __init__(self, answer: Any = None) -> None:
        self.answer, self.built = answer, list[Recorder]()

    def __call__(self, definition: LegacyDefinition) -> Recorder:
        self.built.append(Recorder(definition, self.answer))
        return self.built[-1]


def metadata(**fields: Any) -> StageMetadata:
    return StageMetadata(
        **{"stage_type": "old-stage", "version": "1.0", "description": "Old.", "config_model": Config, **fields}
    )


WORD = Word(id="w1", root="r1", text="one")


def test_batch_with_one_read() -> None:
    """The value of the one key read is the upstream; ids and input reach the old context's fields."""
    builder = Builder({"sum": 1})
    stage = adapt(builder, metadata(reads=(WORDS,), writes=(TALLY,)))
    result = run_stage(stage, {"number": 7}, words=[WORD], input={"input": "x"}, stage_name="mine")
    (old,) = builder.built
    assert (old.definition.type, old.definition.name, old.definition.config["number"]) == ("old-stage", "mine", 7)
    ((ctx, upstream),) = old.calls
    assert upstream == [WORD]
    assert ctx == LegacyContext("test", "s-test", None, "s-test-0001", "test", {"input": "x"})
    assert result.output == {"tally": {"sum": 1}}


def test_batch_with_several_reads_and_none() -> None:
    """Several reads come as a mapping by key name, none as None."""
    builder = Builder({"sum": 1})
    run_stage(adapt(builder, metadata(reads=(UPPER, optional(LOWER)), writes=(TALLY,))), upper=[WORD])
    run_stage(adapt(builder, metadata(writes=(TALLY,))))
    assert [old.calls[0][1] for old in builder.built] == [{"upper": [WORD], "lower": None}, None]


def test_item_mode() -> None:
    """In item mode the old stage gets one item, its id as the document, and fails for that item alone."""

    def shout(upstream: Word) -> Word:
        if upstream.id == "bad":
            raise ValueError("no")
        return upstream.model_copy(update={"text": upstream.text.upper()})

    builder = Builder(shout)
    stage = adapt(builder, metadata(reads=(WORDS,), writes=(UPPER,), mode="item"))
    result = run_stage(stage, words=[WORD, Word(id="bad", root="r2")])
    assert [word.text for word in result.output["upper"]] == ["ONE"]
    assert [(failed.item_id, failed.root) for failed in result.dead_letters] == [("bad", "r2")]
    assert [ctx.doc_id for ctx, _ in builder.built[0].calls] == ["w1", "bad"]


def test_item_mode_with_several_reads() -> None:
    """In item mode with more reads the upstream is a mapping with the item under its key's name."""
    builder = Builder(lambda upstream: upstream["words"])
    run_stage(adapt(builder, metadata(reads=(WORDS, UPPER), writes=(LOWER,), mode="item")), words=[WORD], upper=[])
    assert builder.built[0].calls[0][1] == {"words": WORD, "upper": []}


@pytest.mark.parametrize("builder", [None, "module:build", Recorder(LegacyDefinition("a", "b"))])
def test_a_builder_is_callable(builder: Any) -> None:
    """What cannot build is refused at once, by plugin, field and value."""
    with pytest.raises(MetadataError) as caught:
        adapt(builder, metadata())
    assert (caught.value.plugin, caught.value.field) == ("stage type 'old-stage'", "builder")
    assert caught.value.value is builder
    assert str(caught.value).endswith("is refused: must be callable")


@pytest.mark.parametrize(
    "fields",
    [{"mode": "stream", "writes": (WORDS,)}, {"mode": "item", "reads": (WORDS,), "items_per_call": 2}],
)
def test_what_the_old_contract_had_not(fields: dict[str, Any]) -> None:
    """Streams and groups of items cannot be adapted."""
    reason = r"is refused: execute\(ctx, upstream\) can serve batch and item mode only$"
    with pytest.raises(MetadataError, match=reason) as caught:
        adapt(Builder(), metadata(**fields))
    told = (caught.value.plugin, caught.value.field, caught.value.value)
    assert told == ("stage type 'old-stage'", "mode", fields["mode"])


def test_metadata_is_a_record() -> None:
    """Something else in its place is refused, not met later."""
    builder, given = Builder(), {"stage_type": "old"}
    with pytest.raises(MetadataError, match=r"is refused: must be a StageMetadata record$") as caught:
        adapt(builder, given)  # type: ignore[arg-type]  # wrong on purpose
    told = (caught.value.plugin, caught.value.field, caught.value.value)
    assert told == (f"adapted builder {builder!r}", "metadata", given)


def test_a_builder_must_give_a_stage() -> None:
    """A builder that gives something without ``execute`` broke the contract, and the message says so."""
    stage = adapt(lambda _: object(), metadata())  # type: ignore[arg-type,return-value]  # wrong on purpose
    reason = r"^stage type 'old-stage' broke .* its builder returned object, which has no execute\(ctx, upstream\)"
    with pytest.raises(ContractError, match=reason):
        run_stage(stage)


def test_the_type_is_named_like_the_stage() -> None:
    """The class made is a stage type in the builder's module, so messages and provenance say whose it is."""
    stage = adapt(Recorder, metadata())
    assert (stage.__name__, stage.__module__, issubclass(stage, Stage)) == ("OldStage", __name__, True)
    assert adapt(partial(Recorder, answer=1), metadata()).__module__
