"""The test kit: one stage run as the engine would, with what its author gives it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from medical_kg import (
    Attachment,
    Clause,
    Condition,
    ContractError,
    ItemRejected,
    NamedCondition,
    Page,
    Rejected,
    Stage,
    StageMetadata,
    StageTimeout,
    StateKey,
    StorageError,
    TransientError,
    Waiting,
    optional,
)
from medical_kg.orchestration.contract.errors import PluginNotFound
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.resilience import Backoff, Policy
from medical_kg.testing import FakeClock, FakeFiles, FakeSignals, FakeWorkspace, Told, run_stage


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    root: str = "r"
    text: str = ""


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = 0
    bad: tuple[str, ...] = ()
    named: str = ""


def words(name: str) -> StateKey[list[Word]]:
    return StateKey(name, list[Word], id="id", root="root")


WORDS, MORE, OUT, OTHER = words("words"), words("more"), words("out"), words("other")
TALLY: StateKey[dict[str, int]] = StateKey("tally", dict[str, int])


def metadata(**fields: Any) -> StageMetadata:
    needed = {"stage_type": "some-type", "version": "1.0", "description": "Does.", "config_model": Config}
    return StageMetadata(**{**needed, **fields})


class Upper(Stage[Config]):
    metadata = metadata(reads=(WORDS, optional(MORE)), writes=(OUT,), mode="item")

    def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
        if item.id in self.config.bad:
            raise ItemRejected(f"{item.id} is bad")
        return item.model_copy(update={"text": item.text.upper() + str(len(reads["more"] or ()))})


class Ask(Stage[Config]):
    """Gives its context away."""

    seen: Any = None
    metadata = metadata(needs=("signals", "files", "plugins"))

    def run(self, ctx: Any, **reads: Any) -> None:
        type(self).seen = ctx


def given(*ids: str) -> list[Word]:
    return [Word(id=ident, root=f"root-of-{ident}", text=ident) for ident in ids]


# Items


def test_items() -> None:
    """Item mode gives the written records, counts by key, and nothing else to tell."""
    result = run_stage(Upper, words=given("a", "b"), more=given("x"))
    assert [word.text for word in result.output["out"]] == ["A1", "B1"]
    assert (result.counts, result.dead_letters, result.retries) == ({"out": 2.0}, (), ())
    assert (result.waiting, result.cursor) == (None, None)
    assert run_stage(Upper, words=given("a")).output["out"][0].text == "A0"


def test_a_bad_item_is_a_dead_letter() -> None:
    """An item that fails is told with id, root, error and message; the rest goes on."""
    result = run_stage(Upper, {"bad": ["b"]}, words=given("a", "b", "c"))
    assert [word.id for word in result.output["out"]] == ["a", "c"]
    (failed,) = result.dead_letters
    assert (failed.item_id, failed.root, failed.error, failed.message) == (
        "b",
        "root-of-b",
        "ItemRejected",
        "b is bad",
    )
    assert result.counts == {"out": 2.0}


class Grouped(Stage[Config]):
    metadata = metadata(reads=(WORDS,), writes=(OUT,), mode="item", items_per_call=4)
    sizes: list[int]

    def process_many(self, ctx: Any, items: Any, **reads: Any) -> Iterable[Word]:
        type(self).sizes.append(len(items))
        if any(item.id in self.config.bad for item in items):
            raise ValueError("one of them is bad")
        return list(items)


def test_a_failing_group_is_halved() -> None:
    """A call for several items that fails is halved until the bad item stands alone."""
    Grouped.sizes = []
    result = run_stage(Grouped, {"bad": ["c"]}, words=given("a", "b", "c", "d", "e"))
    assert [word.id for word in result.output["out"]] == ["a", "b", "d", "e"]
    assert [failed.item_id for failed in result.dead_letters] == ["c"]
    assert Grouped.sizes == [4, 2, 2, 1, 1, 1]


class Several(Stage[Config]):
    metadata = metadata(
        reads=(WORDS,),
        writes=(OUT, OTHER),
        output_handler=lambda given: {OUT: given, OTHER: given[:1]},
        output_counter=lambda out: 7,
    )

    def run(self, ctx: Any, **reads: Any) -> Any:
        return reads["words"]


def test_handler_and_counter() -> None:
    """A handler's keys are all in the output, and a counter's number is the count (scenario 3)."""
    result = run_stage(Several, words=given("a", "b"))
    assert {name: len(value) for name, value in result.output.items()} == {"out": 2, "other": 1}
    assert result.counts == {"output": 7.0}


def test_no_key() -> None:
    """A stage that writes nothing gives nothing and counts nothing (scenario 4)."""
    result = run_stage(Ask)
    assert (result.output, result.counts) == ({}, {})


def test_an_undeclared_key() -> None:
    """A handler that writes what is not declared broke the contract, and the error says which key (scenario 12)."""

    class Liar(Several):
        metadata = metadata(writes=(OUT,), output_handler=lambda _: {OUT: [], "context": 1})

        def run(self, ctx: Any, **reads: Any) -> Any:
            return None

    with pytest.raises(ContractError, match="it wrote 'context'") as caught:
        run_stage(Liar)
    assert caught.value.key == "context"


# Streams


class Feed(Stage[Config]):
    metadata = metadata(writes=(WORDS,), mode="stream")

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        first = int(cursor or 0)
        last = min(first + limit, self.config.number)
        rejected = [Rejected("odd", "no text"), Rejected("even", "no text", root="file")] if first == 0 else []
        found = given(*[str(n) for n in range(first, last)])
        return Page(found, None if last == self.config.number else str(last), rejected)


def test_streams() -> None:
    """A stream gives a page from its cursor up to the limit, its end, and what it could not take."""
    first = run_stage(Feed, {"number": 3}, limit=2)
    assert ([word.id for word in first.output["words"]], first.cursor) == (["0", "1"], "2")
    assert [(f.item_id, f.root, f.error, f.message) for f in first.dead_letters] == [
        ("odd", "odd", "Rejected", "no text"),
        ("even", "file", "Rejected", "no text"),
    ]
    last = run_stage(Feed, {"number": 3}, limit=2, cursor=first.cursor)
    assert ([word.id for word in last.output["words"]], last.cursor, last.dead_letters) == (["2"], None, ())
    assert run_stage(Feed, {"number": 300}).cursor == "100"


# Waiting


class Wait(Stage[Config]):
    metadata = metadata(needs=("signals",))

    def run(self, ctx: Any, **reads: Any) -> Any:
        condition = Condition(clauses=(Clause(field="ready", value=True),))
        if ctx.timed_out or ctx.signals.holds(condition):
            return None
        return Waiting(condition, timedelta(minutes=1))


def test_waiting() -> None:
    """A stage that waits gives what it waits for, no output and no counts; signals and the deadline let it pass."""
    result = run_stage(Wait)
    assert result.waiting is not None
    assert str(result.waiting.condition) == "ready equals True"
    assert (result.output, result.counts) == ({}, {})
    assert run_stage(Wait, services={"signals": FakeSignals({"ready": True})}).waiting is None
    assert run_stage(Wait, timed_out=True).waiting is None


# Retries and errors


class Flaky(Stage[Config]):
    metadata = metadata(writes=(TALLY,))
    left: int

    def run(self, ctx: Any, **reads: Any) -> Any:
        ctx.check_timeout()
        if type(self).left:
            type(self).left -= 1
            raise TransientError(f"{type(self).left} left")
        ctx.clock.advance(self.config.number)
        ctx.check_timeout()
        return {"done": 1}


def test_retries() -> None:
    """Under a policy what may pass is tried again on a fake clock, and the errors are told; without one it is raised."""
    Flaky.left = 2
    clock = FakeClock()
    result = run_stage(Flaky, policy=Policy(max_attempts=3, backoff=Backoff(jitter=False)), clock=clock)
    assert [str(error) for error in result.retries] == ["1 left", "0 left"]
    assert (result.output, clock.slept) == ({"tally": {"done": 1}}, [0.5, 1.0])
    Flaky.left = 1
    with pytest.raises(TransientError, match="0 left"):
        run_stage(Flaky)
    with pytest.raises(StageTimeout):
        run_stage(Flaky, {"number": 9}, policy=Policy(timeout_seconds=5))


class Opens(Stage[Config]):
    metadata = metadata()
    log: list[str]

    def open(self, ctx: Any) -> None:
        self.log.append(f"open {ctx.stage}")

    def close(self) -> None:
        self.log.append("close")

    def run(self, ctx: Any, **reads: Any) -> None:
        self.log.append("run")
        if self.config.number:
            raise ValueError("no")


def test_open_and_close() -> None:
    """What is opened is closed, whatever the stage raised; a batch stage's error comes out as it is."""
    Opens.log = []
    run_stage(Opens)
    with pytest.raises(ValueError, match="no"):
        run_stage(Opens, {"number": 1}, stage_name="mine")
    assert Opens.log == ["open some-type", "run", "close", "open mine", "run", "close"]


# What it is given


def test_the_context() -> None:
    """Every keyword reaches the stage, and what is not given has a plain default."""
    run_stage(Ask)
    plain = Ask.seen
    assert (plain.pipeline, plain.stage, plain.tenant, plain.sequence) == ("test", "some-type", "test", 1)
    assert (plain.input, plain.conditions, plain.timed_out, plain.isolated) == ({}, {}, False, False)
    assert isinstance(plain.signals, FakeSignals)
    assert isinstance(plain.files, FakeFiles)
    assert isinstance(plain.plugins, Installation)
    with pytest.raises(PluginNotFound):
        plain.plugins.get("medical_kg.no_such_door", "x")
    condition = NamedCondition(name="n", condition=Condition(clauses=(Clause(field="x"),)))
    clock, files = FakeClock(), FakeFiles()
    run_stage(
        Ask,
        {"number": 5},
        input={"input": "x"},
        conditions={"n": condition},
        services={"files": files, "unasked": 1},
        stage_name="mine",
        clock=clock,
        sequence=9,
        timed_out=True,
        isolated=True,
    )
    full = Ask.seen
    assert (full.stage, full.input, full.conditions) == ("mine", {"input": "x"}, {"n": condition})
    assert (full.files, full.clock, full.sequence, full.timed_out, full.isolated) == (files, clock, 9, True, True)
    assert (full.config.number, set(full.services)) == (5, {"signals", "files", "plugins"})


class Completed(Ask):
    metadata = metadata()

    def __init__(self, config: Config) -> None:
        # Not kept: a stage may do with its config what it likes.
        self.number = config.number

    @classmethod
    def configure(cls, config: Config, *, stage: str, conditions: Mapping[str, NamedCondition]) -> Config:
        if "n" not in conditions:
            raise ValueError("there is no condition n")
        return config.model_copy(update={"named": f"{stage} and {', '.join(conditions)}"})


def test_configure() -> None:
    """The config is completed as while a pipeline is checked, and what it says is raised."""
    condition = NamedCondition(name="n", condition=Condition(clauses=(Clause(field="x"),)))
    run_stage(Completed, stage_name="mine", conditions={"n": condition})
    assert Completed.seen.config.named == "mine and n"
    with pytest.raises(ValueError, match="there is no condition n"):
        run_stage(Completed)


def test_undeclared_services() -> None:
    """A service that the metadata does not declare is refused, as in the engine."""

    class Sneaky(Ask):
        metadata = metadata()

        def run(self, ctx: Any, **reads: Any) -> None:
            ctx.files.put([b"x"])

    with pytest.raises(ContractError, match="service 'files', which its metadata does not declare in needs"):
        run_stage(Sneaky, services={"files": FakeFiles()})


def test_services_without_a_stand_in(tmp_path: Path) -> None:
    """What the kit has no stand-in for is asked for, with how to give it."""

    class Needy(Ask):
        metadata = metadata(needs=("http", "workspace"))

    with pytest.raises(ContractError, match=r"it needs workspace: give run_stage\(services=…\), or workspace="):
        run_stage(Needy)
    run_stage(Needy, services={"http": "fake"}, workspace=tmp_path)
    assert Needy.seen.http == "fake"
    assert isinstance(Needy.seen.workspace, FakeWorkspace)
    assert Needy.seen.workspace.root == tmp_path


def test_missing_and_unknown_keywords() -> None:
    """A read that is missing and a keyword that is none are refused, with what there is."""
    with pytest.raises(ContractError, match="it was run without words, which it reads"):
        run_stage(Upper)
    with pytest.raises(
        ContractError, match="it does not read wrods; it reads more, words; run_stage also takes input,"
    ):
        run_stage(Upper, wrods=[], words=[])
    with pytest.raises(ContractError, match="it does not read x; it reads nothing"):
        run_stage(Ask, x=1)


def test_wrong_config() -> None:
    """A config is validated as in a pipeline."""
    with pytest.raises(ValidationError, match="nubmer"):
        run_stage(Ask, {"nubmer": 1})


def test_a_key_named_like_a_keyword() -> None:
    """A stage may read a key that has the name of one of the kit's own keywords; the key counts."""

    class Reads(Ask):
        metadata = metadata(reads=(words("conditions"),), writes=(OUT,))

        def run(self, ctx: Any, **reads: Any) -> Any:
            return reads["conditions"]

    assert run_stage(Reads, conditions=given("a")).output == {"out": given("a")}


# The fakes


def test_fake_signals() -> None:
    """Signals from plain values, with a baseline for ``changed``; what the stage tells is kept."""
    fake = FakeSignals({"x": 2})
    assert {name: signal.value for name, signal in fake.all().items()} == {"x": 2}
    changed = Condition(clauses=(Clause(field="x", operator="changed"),))
    assert not fake.holds(changed)
    assert FakeSignals({"x": 2}, baseline={"x": 1}).holds(changed)
    assert fake.tell("done", True, pipeline="p") == 1  # noqa: FBT003  # a signal's value
    assert fake.told == [("done", True, "p", (), False)]
    attached = (Attachment(uri="x:", media_type="a/b"),)
    assert fake.tell("seen", 1, attachments=attached) == 1
    assert fake.told[-1] == Told("seen", 1, None, attached)
    assert (fake.all()["seen"].value, fake.all()["seen"].attachments) == (1, attached)
    assert set(fake.all()) == {"x", "seen"}, "what other pipelines were told is not among its own signals"


def test_fake_files() -> None:
    """Files by content, in memory; an absent one is an error; a break in the middle keeps nothing."""
    fake = FakeFiles()
    stored = fake.put([b"a", b"b"], suffix=".txt")
    assert (stored.size, stored.uri.endswith(".txt"), fake.open(stored.uri).read()) == (2, True, b"ab")

    def breaks() -> Iterable[bytes]:
        yield b"a"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fake.put(breaks())
    assert len(fake.stored) == 1
    with pytest.raises(StorageError, match="no file 'fake:none' was stored"):
        fake.open("fake:none")


def test_fake_workspace(tmp_path: Path) -> None:
    """A folder with a database in it, and settings as given."""
    fake = FakeWorkspace(tmp_path, {"store": {"a": 1}})
    assert fake.database_url == f"sqlite:///{tmp_path / 'medical-kg.db'}"
    assert (fake.settings("store"), fake.settings("other")) == ({"a": 1}, {})


def test_fake_clock() -> None:
    """Time stands still until somebody sleeps or the test moves it."""
    clock = FakeClock(10)
    clock.sleep(5)
    clock.advance(1)
    assert (clock.now(), clock.monotonic(), clock.slept) == (16, 16, [5])
