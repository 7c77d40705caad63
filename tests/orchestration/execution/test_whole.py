"""Generators that stages return run inside the call they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from medical_kg import Model, Stage, StageMetadata, StateKey, TransientError
from medical_kg.orchestration.execution.whole import wholly
from medical_kg.orchestration.resilience import Backoff, Policy
from medical_kg.testing import run_stage


class Word(Model):
    id: str


WORDS: StateKey[list[Word]] = StateKey("words", list[Word], id="id")
LETTERS: StateKey[list[Word]] = StateKey("letters", list[Word], id="id")
SIGNS: StateKey[list[Word]] = StateKey("signs", list[Word], id="id")
POLICY = Policy(max_attempts=2, backoff=Backoff(strategy="none"))


def about(**more: Any) -> StageMetadata:
    return StageMetadata(stage_type="spell", version="1", description="Spells.", reads=(WORDS,), mode="item", **more)


class Moody(Stage[Any]):
    """Fails half-way through its first result."""

    def letters(self, word: Word) -> Iterator[Word]:
        yield Word(id=f"{word.id}-1")
        if not getattr(self, "failed", False):
            self.failed = True
            raise TransientError("not now")
        yield Word(id=f"{word.id}-2")


class One(Moody):
    metadata = about(writes=(LETTERS,), flat=True)

    def process(self, ctx: Any, item: Word, **_reads: Any) -> Iterator[Word]:
        return self.letters(item)


class Several(Moody):
    metadata = about(writes=(LETTERS, SIGNS), flat=True)

    def process(self, ctx: Any, item: Word, **_reads: Any) -> dict[str, Iterator[Word]]:
        return {"letters": self.letters(item), "signs": iter(())}


class Groups(Moody):
    metadata = about(writes=(LETTERS,), flat=True, items_per_call=2)

    def process_many(self, ctx: Any, items: Any, **_reads: Any) -> Iterator[Iterator[Word]]:
        return (self.letters(item) for item in items)


class Handled(Moody):
    metadata = about(writes=(LETTERS,), flat=True, output_handler=lambda out: {"letters": out})

    def process(self, ctx: Any, item: Word, **_reads: Any) -> Iterator[Word]:
        return self.letters(item)


@pytest.mark.parametrize("stage", [One, Several, Groups, Handled])
def test_a_generator_that_fails_is_called_again(stage: type[Stage[Any]]) -> None:
    """What a generator raises half-way is retried as the policy says, and nothing of the first attempt remains."""
    run = run_stage(stage, words=[Word(id="a"), Word(id="b")], policy=POLICY)
    assert [letter.id for letter in run.output["letters"]] == ["a-1", "a-2", "b-1", "b-2"]
    assert (len(run.retries), run.dead_letters) == (1, ())


def test_a_generator_that_fails_for_good_fails_its_item_alone() -> None:
    """Without an attempt left the item is a dead letter, and nothing of its half result remains."""
    run = run_stage(One, words=[Word(id="a"), Word(id="b")])
    assert [letter.id for letter in run.output["letters"]] == ["b-1", "b-2"]
    assert [letter.item_id for letter in run.dead_letters] == ["a"]


@pytest.mark.parametrize("wrong", ["text", None, 3])
def test_what_is_no_list_of_records_is_left_for_the_check(wrong: object) -> None:
    """It is not taken apart, so that the message names what the stage gave."""
    assert wholly(One.metadata, lambda: wrong)() == wrong
