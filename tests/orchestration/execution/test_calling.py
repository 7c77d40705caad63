"""Calling a stage by its mode."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support import LOWER, UPPER, WORDS, Config, Word

from medical_kg.orchestration.contract import Page, Rejected, Stage, StageContext, StageMetadata, StateKey, Waiting
from medical_kg.orchestration.contract.conditions import Clause, Condition
from medical_kg.orchestration.contract.errors import ContractError, ItemRejected, StorageError
from medical_kg.orchestration.execution.calling import call, count, handle, misfit, pull
from medical_kg.orchestration.resilience import Guard, Policy

RECEIPT: StateKey[dict[str, int]] = StateKey("receipt", dict)
ANYTHING: StateKey[list[Any]] = StateKey("anything", list[Any])


def made(work: Any, /, *, method: str = "run", **more: Any) -> Stage[Any]:
    """A stage whose method is ``work(item or reads …)``."""
    metadata = StageMetadata(
        **{"stage_type": "made", "version": "1", "description": "Made.", "config_model": Config, **more}
    )
    functions = {
        "run": lambda self, ctx, **reads: work(**reads),
        "process": lambda self, ctx, item, **reads: work(item, **reads),
        "process_many": lambda self, ctx, items, **reads: work(items, **reads),
        "pull": lambda self, ctx, cursor, limit: work(cursor, limit),
    }
    return type("Made", (Stage,), {"metadata": metadata, method: functions[method]})(Config())


def context() -> tuple[StageContext, Guard]:
    ctx = StageContext("p", "made", "s", "b", "t", Config(), logging.LoggerAdapter(logging.getLogger("test"), {}))
    return ctx, Guard(Policy(), ctx, lambda *_: None, lambda: 0.5)


def run(stage: Stage[Any], **reads: Any) -> Any:
    return call(stage, *context(), reads)


def some(count: int) -> list[Word]:
    return [Word(id=f"w{n}", root=f"r{n}") for n in range(count)]


def items(work: Any, **more: Any) -> Stage[Any]:
    return made(work, **{"method": "process", "mode": "item", "reads": (WORDS,), "writes": (UPPER,), **more})


def groups(work: Any, per_call: int, **more: Any) -> Stage[Any]:
    return items(work, method="process_many", items_per_call=per_call, **more)


def test_a_batch_stage_sees_whole_values_by_the_names_of_its_keys() -> None:
    """A batch stage gets each value under its key's name, and its output becomes the one key it writes."""
    stage = made(lambda words, lower: words[:1], reads=(WORDS, LOWER), writes=(UPPER,))
    assert run(stage, words=some(2), lower=None).output == {UPPER: some(1)}


def test_a_batch_stage_may_wait() -> None:
    """A Waiting returned by a batch stage is passed on, and nothing is handled."""
    waiting = Waiting(Condition(clauses=(Clause(field="x", value=1),)))
    called = run(made(lambda: waiting, writes=(UPPER,)))
    assert called.waiting is waiting
    assert called.output == {}


@pytest.mark.parametrize(
    ("writes", "output", "key"),
    [
        ((UPPER, LOWER), {UPPER: []}, "lower"),
        ((UPPER, LOWER), {UPPER: [], LOWER: [], WORDS: []}, "words"),
        ((UPPER, LOWER), [], "upper"),
        ((UPPER,), None, "upper"),
        ((UPPER,), (), "upper"),
        ((UPPER,), [1], "upper"),
        ((UPPER,), [*some(1), *some(1)], "upper"),
        ((RECEIPT,), "done", "receipt"),
        ((), [], None),
    ],
)
def test_output_must_be_what_the_metadata_declares(writes: tuple[Any, ...], output: Any, key: str | None) -> None:
    """A missing or undeclared key, or a value that does not fit its key, is a contract error that names the key."""
    with pytest.raises(ContractError) as caught:
        run(made(lambda: output, writes=writes))
    assert key is None or repr(key) in str(caught.value)
    assert "'made'" in str(caught.value)


def test_the_contract_error_of_a_lone_undeclared_key_names_it() -> None:
    """A handler that writes a key of its own is named with the key (scenario 12)."""
    stage = made(lambda: 1, writes=(RECEIPT,), output_handler=lambda out: {RECEIPT: {"n": out}, "context": {}})
    with pytest.raises(ContractError) as caught:
        run(stage)
    assert caught.value.key == "context"


def test_a_handler_shapes_the_output_by_key_or_name() -> None:
    """An output handler's mapping may name keys by object or by name."""
    stage = made(
        lambda: some(1), writes=(UPPER, RECEIPT), output_handler=lambda out: {UPPER: out, "receipt": {"n": len(out)}}
    )
    assert run(stage).output == {UPPER: some(1), RECEIPT: {"n": 1}}


def test_a_handler_must_give_a_mapping() -> None:
    """An output handler that gives anything but a mapping breaks the contract."""
    with pytest.raises(ContractError, match="instead of a mapping"):
        run(made(lambda: 1, writes=(RECEIPT,), output_handler=lambda out: [out]))


def test_one_key_given_as_a_mapping_is_understood() -> None:
    """A stage that writes one key may also return a mapping from that key."""
    assert run(made(lambda: {UPPER: some(2)}, writes=(UPPER,))).output == {UPPER: some(2)}


def test_a_key_of_any_type_takes_anything() -> None:
    """A key declared as list[Any] takes every item."""
    assert misfit(ANYTHING, [1, "a", None]) is None


def test_a_stage_without_writes_gives_nothing() -> None:
    """A stage with no key returns None and counts nothing (scenario 4)."""
    stage = made(lambda: None)
    assert run(stage).output == {}
    assert count(stage.metadata, {}) == {}


def test_item_mode_keeps_the_order_and_passes_other_reads_whole() -> None:
    """Item mode maps over the first key; the others come whole by name."""
    stage = items(lambda item, lower: item.model_copy(update={"text": str(len(lower))}), reads=(WORDS, LOWER))
    called = run(stage, words=some(3), lower=some(2))
    assert [(word.id, word.text) for word in called.output[UPPER]] == [("w0", "2"), ("w1", "2"), ("w2", "2")]


def test_a_bad_item_becomes_a_failure_and_the_rest_goes_on() -> None:
    """An item that raises is kept with its id, root, error and traceback; the others are done."""

    def work(item: Word) -> Word:
        if item.id == "w1":
            raise KeyError("no such thing")
        return item

    called = run(items(work), words=some(3))
    assert [word.id for word in called.output[UPPER]] == ["w0", "w2"]
    (failure,) = called.failures
    assert (failure.item_id, failure.root, failure.error) == ("w1", "r1", "KeyError")
    assert "no such thing" in failure.traceback


def test_a_rejected_item_has_no_traceback() -> None:
    """ItemRejected is the stage's considered word, so its message says all."""

    def work(item: Word) -> Word:
        raise ItemRejected("too short")

    (failure,) = run(items(work), words=some(1)).failures
    assert (failure.error, failure.message, failure.traceback) == ("ItemRejected", "too short", "")


def test_an_item_that_calls_exit_fails_alone() -> None:
    """SystemExit from a plugin is one item's failure, not the end of the process."""

    def work(item: Word) -> Word:
        raise SystemExit(3)

    assert [failure.error for failure in run(items(work), words=some(2)).failures] == ["SystemExit", "SystemExit"]


@pytest.mark.parametrize("error", [StorageError("disk full"), ContractError("x", "y"), MemoryError()])
@pytest.mark.parametrize("per_call", [None, 2])
def test_an_error_of_the_stage_itself_is_not_isolated(error: Exception, per_call: int | None) -> None:
    """What would hit every item alike is raised at once instead of filling the dead letters."""

    def work(item: Any) -> Any:
        raise error

    stage = items(work) if per_call is None else groups(work, per_call)
    with pytest.raises(type(error)):
        run(stage, words=some(3))


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, "takes Word, not NoneType"),
        ("text", "takes Word, not str"),
        (Word(id="w0", root="r0"), "already holds an item with the id 'w0'"),
    ],
)
def test_a_record_that_does_not_fit_fails_its_item_alone(result: Any, reason: str) -> None:
    """A wrong type or a second record of one id is the failure of the item that gave it."""
    called = run(items(lambda item: item if item.id == "w0" else result), words=some(2))
    assert [word.id for word in called.output[UPPER]] == ["w0"]
    assert reason in called.failures[0].message
    assert called.failures[0].item_id == "w1"


def test_flat_gives_any_number_of_records() -> None:
    """With flat one item gives none, one or many records, in order."""

    def work(item: Word) -> list[Word]:
        return [Word(id=f"{item.id}.{n}", root=item.root) for n in range(int(item.id[1:]))]

    called = run(items(work, flat=True), words=some(3))
    assert [word.id for word in called.output[UPPER]] == ["w1.0", "w2.0", "w2.1"]


def test_a_flat_item_is_taken_whole_or_not_at_all() -> None:
    """When one of an item's records does not fit, none of them is taken."""

    def work(item: Word) -> list[Any]:
        return [Word(id=f"{item.id}.0", root=item.root), *([7] if item.id == "w1" else [])]

    called = run(items(work, flat=True), words=some(2))
    assert [word.id for word in called.output[UPPER]] == ["w0.0"]
    assert [failure.item_id for failure in called.failures] == ["w1"]


@pytest.mark.parametrize("flat", [False, True])
def test_several_keys_are_filled_from_mappings(*, flat: bool) -> None:
    """An item stage with several keys gives a mapping from key or name to its record (with flat: records)."""

    def work(item: Word) -> dict[Any, Any]:
        return {UPPER: [item] if flat else item, "lower": [] if flat else item}

    called = run(items(work, writes=(UPPER, LOWER), flat=flat), words=some(2))
    assert called.output == {UPPER: some(2), LOWER: [] if flat else some(2)}


def test_a_mapping_with_the_wrong_keys_fails_its_item() -> None:
    """A mapping that lacks a key is the failure of its item and says which keys are needed."""
    called = run(items(lambda item: {UPPER: item}, writes=(UPPER, LOWER)), words=some(1))
    assert "upper, lower" in called.failures[0].message


def test_an_item_stage_may_write_nothing() -> None:
    """An item stage without keys is called for what it does; what it returns is not looked at."""
    seen: list[str] = []
    called = run(items(lambda item: seen.append(item.id), writes=()), words=some(2))
    assert seen == ["w0", "w1"]
    assert called.output == {}


@pytest.mark.parametrize("flat", [False, True])
def test_a_handler_of_an_item_stage_gets_the_list_of_results(*, flat: bool) -> None:
    """In item mode an output handler is given what the calls returned, in order, flattened if flat."""
    stage = items(
        lambda item: [1] if flat else 1,
        writes=(UPPER,),
        flat=flat,
        output_handler=lambda results: {UPPER: some(sum(results))},
    )
    assert run(stage, words=some(3)).output == {UPPER: some(3)}


def test_groups_are_halved_until_the_bad_item_stands_alone() -> None:
    """A failing group is halved; only the bad item fails, and the order is kept."""
    sizes: list[int] = []

    def work(group: list[Word]) -> list[Word]:
        sizes.append(len(group))
        if any(item.id == "w2" for item in group):
            raise ValueError("bad")
        return group

    called = run(groups(work, 4), words=some(6))
    assert [word.id for word in called.output[UPPER]] == ["w0", "w1", "w3", "w4", "w5"]
    assert [failure.item_id for failure in called.failures] == ["w2"]
    assert sizes == [4, 2, 2, 1, 1, 2]


def test_a_group_must_give_one_result_per_item() -> None:
    """A process_many that loses results breaks the contract: nobody could tell whose they are."""
    with pytest.raises(ContractError, match="2 results for 3 items"):
        run(groups(lambda group: group[:2], 3), words=some(3))


def test_a_wrong_record_in_a_group_fails_its_item_alone() -> None:
    """A result that does not fit is the failure of its own item."""
    called = run(groups(lambda group: [group[0], 7], 2), words=some(2))
    assert [failure.item_id for failure in called.failures] == ["w1"]


def test_an_item_that_cannot_be_named_is_still_reported() -> None:
    """A failure of an item whose id cannot be read is kept under a question mark."""
    odd: StateKey[list[Any]] = StateKey("odd", list[Any], id="id")
    called = run(items(lambda item: item.id, reads=(odd,)), odd=[object()])
    assert [failure.item_id for failure in called.failures] == ["?"]


def test_a_page_is_handled_like_any_output_and_its_rejections_are_failures() -> None:
    """A stream's page gives output, cursor and rejected records as failures."""
    page = Page(some(2), "next", rejected=[Rejected("x", "unreadable")])
    called = pull(made(lambda cursor, limit: page, method="pull", mode="stream", writes=(WORDS,)), *context(), None, 2)
    assert called.output == {WORDS: some(2)}
    assert called.cursor == "next"
    assert [(failure.item_id, failure.root, failure.message) for failure in called.failures] == [
        ("x", "x", "unreadable")
    ]


def test_a_stream_must_give_a_page() -> None:
    """A pull that returns anything else breaks the contract."""
    stage = made(lambda cursor, limit: some(1), method="pull", mode="stream", writes=(WORDS,))
    with pytest.raises(ContractError, match="instead of a Page"):
        pull(stage, *context(), None, 2)


@pytest.mark.parametrize(
    ("counter", "expected"),
    [
        (None, {"upper": 2.0, "receipt": 1.0}),
        (lambda out: 7, {"output": 7.0}),
        (lambda out: {"long": len(out[UPPER])}, {"long": 2.0}),
    ],
)
def test_counts_are_named_numbers(counter: Any, expected: dict[str, float]) -> None:
    """Counts are the counter's number or named numbers, by default the length of each list."""
    metadata = made(lambda: None, writes=(UPPER, RECEIPT), output_counter=counter).metadata
    assert count(metadata, {UPPER: some(2), RECEIPT: {}}) == expected


@pytest.mark.parametrize("counter", [lambda out: 1 / 0, lambda out: "many", lambda out: {"n": None}, lambda out: None])
def test_a_counter_that_fails_is_reported_never_zero(counter: Any) -> None:
    """An exception in a counter, or a count that is no number, is a contract error."""
    with pytest.raises(ContractError, match="counter failed"):
        count(made(lambda: None, output_counter=counter).metadata, {})


def test_handle_is_pure_in_what_it_was_given() -> None:
    """Handling does not change the mapping a stage returned."""
    given = {"upper": some(1)}
    handle(made(lambda: None, writes=(UPPER,), output_handler=lambda out: out).metadata, given)
    assert given == {"upper": some(1)}
