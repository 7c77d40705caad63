"""Calling a stage by its mode."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
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


class Odd(BaseException):
    """What is no Exception."""


def failing(error: BaseException, *, only: str = "w1") -> Any:
    def work(item: Any) -> Any:
        if item.id == only:
            raise error
        return item

    return work


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("own"), GeneratorExit(), Odd("odd")])
def test_whatever_an_item_raises_is_held_against_it_alone(error: BaseException) -> None:
    """What is no Exception is a plugin's error like any other, as long as no signal caused it."""
    called = run(items(failing(error)), words=some(3))
    assert [word.id for word in called.output[UPPER]] == ["w0", "w2"]
    assert [(one.item_id, one.error) for one in called.failures] == [("w1", type(error).__name__)]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("own"), Odd("odd")])
def test_whatever_a_group_raises_is_held_against_one_item(error: BaseException) -> None:
    """A group is halved for what is no Exception too."""

    def work(group: Any) -> Any:
        if any(item.id == "w1" for item in group):
            raise error
        return group

    called = run(groups(work, 4), words=some(4))
    assert [word.id for word in called.output[UPPER]] == ["w0", "w2", "w3"]
    assert [one.item_id for one in called.failures] == ["w1"]


@pytest.mark.parametrize("per_call", [None, 2])
def test_ctrl_c_in_an_item_ends_the_call(per_call: int | None) -> None:
    """A real signal is no item's error."""

    def work(item: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return item

    with pytest.raises(KeyboardInterrupt):
        run(items(work) if per_call is None else groups(work, per_call), words=some(3))


@pytest.mark.parametrize("per_call", [None, 1])
def test_ctrl_c_that_a_plugin_swallows_is_heard_after_its_item(per_call: int | None) -> None:
    """A plugin with a bare except does not make the program deaf: the next item is not begun."""
    begun = []

    def work(item: Any) -> Any:
        begun.append(item)
        with suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        return item

    with pytest.raises(KeyboardInterrupt):
        run(items(work) if per_call is None else groups(work, per_call), words=some(3))
    assert len(begun) == 1


def test_a_generator_that_fails_half_way_leaves_nothing_behind() -> None:
    """With an output handler too, an item that fails gives nothing, not half of what it had to give."""

    def work(item: Any) -> Any:
        yield item
        if item.id == "w1":
            raise ValueError("half-way")

    called = run(items(work, flat=True, output_handler=lambda given: {UPPER: given}), words=some(3))
    assert [word.id for word in called.output[UPPER]] == ["w0", "w2"]
    assert [one.item_id for one in called.failures] == ["w1"]


def test_an_id_that_cannot_be_told_is_the_items_failure() -> None:
    """The accessor of a written key's id is the plugin's code: in a group too it fails its item alone."""

    def ident(word: Word) -> str:
        if word.id == "w1":
            raise LookupError("no id")
        return word.id

    written: StateKey[list[Word]] = StateKey("written", list[Word], id=ident)
    for stage in (items(lambda item: item, writes=(written,)), groups(list, 3, writes=(written,))):
        called = run(stage, words=some(3))
        assert [word.id for word in called.output[written]] == ["w0", "w2"]
        assert [(one.item_id, one.error) for one in called.failures] == [("w1", "LookupError")]


def test_an_accessor_that_finds_the_stage_broken_fails_the_stage() -> None:
    """What says that the disk is full is no item's failure."""

    def ident(word: Word) -> str:
        raise StorageError("disk full")

    written: StateKey[list[Word]] = StateKey("written", list[Word], id=ident)
    with pytest.raises(StorageError):
        run(groups(list, 3, writes=(written,)), words=some(3))


def test_an_item_without_a_name_is_reported_all_the_same() -> None:
    """Where the id of the item itself cannot be told, even by SystemExit, it is called ?."""

    def ident(word: Word) -> str:
        raise SystemExit

    read: StateKey[list[Word]] = StateKey("words", list[Word], id=ident, root=ident)
    called = run(items(failing(ValueError("x")), reads=(read,)), words=some(2))
    assert [(one.item_id, one.root) for one in called.failures] == [("?", None)]


def test_what_a_failure_says_is_bounded_and_printable() -> None:
    """Megabytes, halves of surrogate pairs and control characters reach neither ledger nor log."""
    error = ValueError("\x00\udcff" + "much " * 1_000_000)
    (failure,) = run(items(failing(error)), words=[Word(id="w1", root="\udcff" * 5)]).failures
    assert failure.message.startswith("\\x00\\udcffmuch")
    assert len(failure.message) < 5_000
    assert len(failure.traceback) < 20_000
    assert failure.root == "\\udcff" * 5


def test_a_rejected_record_is_bounded_and_printable_too() -> None:
    """A page's rejections go the same way."""
    page = Page([], rejected=[Rejected("\x00", "no " * 10_000), Rejected("b", "no", root="r\x00")])
    called = pull(made(lambda cursor, limit: page, method="pull", mode="stream", writes=(UPPER,)), *context(), None, 2)
    one, other = called.failures
    assert (one.item_id, one.root, other.root) == ("\\x00", "\\x00", "r\\x00")
    assert len(one.message) < 5_000


def broken(function: Any, **more: Any) -> str:
    with pytest.raises(ContractError) as caught:
        function(made(lambda **_: [], writes=(UPPER,), **more).metadata)
    return str(caught.value)


@pytest.mark.parametrize("error", [LookupError("x"), SystemExit("x"), Odd("x"), StorageError("x")])
def test_an_output_handler_that_raises_breaks_the_contract(error: BaseException) -> None:
    """The handler is named, whatever it raised."""

    def handler(given: Any) -> Any:
        raise error

    told = broken(lambda metadata: handle(metadata, []), output_handler=handler)
    assert told.endswith(f"its output handler failed: {type(error).__name__}: x")


def test_ctrl_c_in_a_counter_is_no_breach() -> None:
    """A real signal goes on, wherever it comes."""

    def counter(_: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return 1

    with pytest.raises(KeyboardInterrupt):
        count(made(lambda **_: [], writes=(UPPER,), output_counter=counter).metadata, {})


@pytest.mark.parametrize(
    ("counted", "told"),
    [
        (float("nan"), "ValueError: nan is no count"),
        ({"a": float("inf")}, "ValueError: inf is no count"),
        ("12", "TypeError: '12' is no number"),
        ({"a": b"1"}, "TypeError: b'1' is no number"),
        ({str(n): n for n in range(101)}, "ValueError: it gave 101 counts; at most 100 are kept"),
    ],
)
def test_a_count_that_is_no_number_breaks_the_contract(counted: Any, told: str) -> None:
    """NaN, text and floods are no figures for a ledger."""
    said = broken(lambda metadata: count(metadata, {}), output_counter=lambda _: counted)
    assert said.endswith(f"its output counter failed: {told}")


def test_an_undeclared_key_is_named_where_one_is_declared() -> None:
    """A mapping by keys is read as such, so that the message says which key is too many or missing."""
    with pytest.raises(ContractError, match="it wrote 'lower'"):
        run(made(lambda words: {UPPER: [], LOWER: []}, reads=(WORDS,), writes=(UPPER,)), words=[])
