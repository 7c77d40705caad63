"""Stage types that each break a rule of the conformance suite, and an honest one; other processes import them too."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from medical_kg import (
    Clause,
    Condition,
    ItemRejected,
    JsonLines,
    Model,
    Page,
    Stage,
    StageMetadata,
    StateKey,
    Waiting,
    optional,
)
from medical_kg.orchestration.contract.errors import WaitTimedOut
from medical_kg.testing import StageCase


class Word(Model):
    """A record; its tags can be changed, which is what some stages should not do."""

    id: str
    root: str
    text: str = ""
    tags: list[str] = Field(default_factory=list)


class Numbered(Model):
    """A record whose id is no text."""

    id: int
    root: str


class Config(Model):
    """An honest config."""

    times: int = 1


def words(name: str, **more: Any) -> StateKey[list[Word]]:
    return StateKey(name, list[Word], id="id", root="root", **more)


WORDS, MORE, OUT, OTHER = words("words"), words("more"), words("out"), words("other")
TALLY: StateKey[dict[str, float]] = StateKey("tally", dict[str, float])
READY = Condition(clauses=(Clause(field="ready", value=True),))


def given() -> list[Word]:
    return [Word(id=f"w{n}", root=f"r{n}", text=text) for n, text in enumerate(["one", "two", "three", "four"])]


def metadata(**fields: Any) -> StageMetadata:
    usual = {"stage_type": "lying", "version": "1", "description": "Lies.", "config_model": Config}
    return StageMetadata(**{**usual, **fields})


def by_item(**fields: Any) -> StageMetadata:
    return metadata(**{"reads": (WORDS,), "writes": (OUT,), "mode": "item", **fields})


def by_batch(**fields: Any) -> StageMetadata:
    return metadata(**{"reads": (WORDS,), "writes": (OUT,), **fields})


class Lie(NamedTuple):
    """A stage type, the rules it breaks (the first is what it is for) and how its case differs from the usual one.

    One that is ``fatal`` cannot run at all, so that most rules notice it.
    """

    stage_type: type[Stage[Any]]
    breaks: tuple[str, ...]
    case: Mapping[str, Any]
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.stage_type.__name__}-{self.breaks[0]}" if self.breaks else self.stage_type.__name__


LIES: list[Lie] = []


def breaks(*rules: str, fatal: bool = False, **case: Any) -> Callable[[type[Stage[Any]]], type[Stage[Any]]]:
    def add(cls: type[Stage[Any]]) -> type[Stage[Any]]:
        LIES.append(Lie(cls, rules, case, fatal))
        return cls

    return add


def case_of(lie: Lie) -> StageCase:
    reads = {key.name: given() for key in lie.stage_type.metadata.read_keys}
    return StageCase(lie.stage_type, **{"reads": reads, **lie.case})


class Item(Stage[Any]):
    """The honest way, item by item."""

    metadata = by_item()

    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        if not item.text:
            raise ItemRejected(f"{item.id} has no text")
        return Word(id=item.id, root=item.root, text=item.text.upper())


class Batch(Stage[Any]):
    """The honest way, for whole values."""

    metadata = by_batch()

    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        return [Word(id=word.id, root=word.root, text=word.text.upper()) for word in words]


class Feed(Stage[Any]):
    """The honest way to feed."""

    metadata = metadata(writes=(WORDS,), mode="stream")

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        first = int(cursor or 0)
        page = given()[first : first + limit]
        return Page(page, str(first + limit) if first + limit < len(given()) else None)


breaks(bad_item=Word(id="bad", root="bad"))(Item)
breaks()(Batch)
breaks(reads={}, more={"limit": 2})(Feed)
breaks(reads={}, more={"limit": 100})(Feed)


# What a stage type says of itself


@breaks("metadata_is_sound")
class MethodOnTheInstance(Stage[Any]):
    metadata = by_item()

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.process = lambda ctx, item, **reads: item  # type: ignore[method-assign]  # the lie


@breaks("constructor_is_cheap_and_takes_the_config_only")
class ReadsAFileWhenMade(Item):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.text = Path(__file__).read_text(encoding="utf-8")


class Growing(Model):
    times: Annotated[int, BeforeValidator(lambda value: value + 1)] = 1


@breaks("constructor_is_cheap_and_takes_the_config_only", fatal=True)
class WantsMoreThanAConfig(Item):
    def __init__(self, config: Any, colour: str) -> None:
        super().__init__(config)


@breaks("config_survives_a_round_trip")
class ConfigGrows(Item):
    metadata = by_item(config_model=Growing)


class Tuned(Model):
    times: int = 1

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return {"times": "many"}


@breaks("config_survives_a_round_trip")
class ConfigDumpsWhatItRefuses(Item):
    metadata = by_item(config_model=Tuned)


class Drawn(Model):
    times: int = Field(default=1, json_schema_extra={"type": "a number of some kind"})


@breaks("config_schema_is_valid")
class SchemaOfNoKind(Item):
    metadata = by_item(config_model=Drawn)


class Callback(Model):
    times: Callable[[], int] = int


@breaks("config_schema_is_valid", "config_survives_a_round_trip")
class SchemaImpossible(Item):
    metadata = by_item(config_model=Callback)


class Swallowing(Model):
    times: int = 1

    @model_validator(mode="before")
    @classmethod
    def _swallow(cls, values: Any) -> Any:
        return {name: value for name, value in values.items() if name in cls.model_fields}


@breaks("unknown_config_fields_are_refused")
class ConfigSwallows(Item):
    metadata = by_item(config_model=Swallowing)


# Reads, writes, counts


@breaks("needs_only_what_it_declares", "writes_what_it_declares")
class AsksForMore(Item):
    def process(self, ctx: Any, item: Word, *, more: Any) -> Any:  # type: ignore[override]  # the lie
        return item


@breaks("needs_only_what_it_declares", fatal=True)
class AsksForAService(Batch):
    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        return ctx.files.put([b"x"]) if words else []


@breaks("optional_reads_may_be_absent")
class NeedsWhatIsOptional(Batch):
    metadata = by_batch(reads=(WORDS, optional(MORE)))

    def run(self, ctx: Any, *, words: list[Word], more: Any = None, **reads: Any) -> Any:
        return [*words, *more][: len(words)]


@breaks("leaves_its_inputs_as_they_were")
class ChangesItems(Item):
    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        item.tags.append("seen")
        return super().process(ctx, item)


@breaks("leaves_its_inputs_as_they_were")
class SortsItsInput(Batch):
    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        words.sort(key=lambda word: word.text)
        return super().run(ctx, words=words)


@breaks("writes_what_it_declares", fatal=True)
class ForgetsAKey(Batch):
    metadata = by_batch(writes=(OUT, OTHER))

    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        return {OUT: words} if words else {OUT: [], OTHER: []}


def _count_once(counted: dict[Any, list[Any]]) -> int:
    return len(counted[OUT].pop().text) if counted[OUT] else 0


@breaks("counts_are_pure_and_finite", "items_do_not_depend_on_each_other")
class CounterChangesTheOutput(Item):
    metadata = by_item(output_counter=_count_once)


@breaks("counts_are_pure_and_finite", fatal=True)
class CountsTheInfinite(Item):
    metadata = by_item(output_counter=lambda out: {"most": float("inf") if out[OUT] else 0.0})


class Noted(Word):
    """A record with a note that is not stored."""

    note: str = Field(default="", exclude=True)


NOTED: StateKey[list[Noted]] = StateKey("noted", list[Noted], id="id", root="root")


@breaks("counts_are_pure_and_finite")
class CountsWhatIsNotStored(Item):
    metadata = by_item(writes=(NOTED,), output_counter=lambda out: sum(len(one.note) for one in out[NOTED]))

    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        return Noted(id=item.id, root=item.root, note="counted")


@breaks("counts_are_pure_and_finite")
class CounterLooksBehindTheOutput(Item):
    metadata = by_item(output_counter=lambda out: out[OUT][0].origin.count if out[OUT] else 0)

    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        made = super().process(ctx, item)
        made.__dict__["origin"] = self
        return made

    count = 1


@breaks("an_empty_output_can_be_counted", "nothing_in_is_no_error")
class CountsAMean(Item):
    metadata = by_item(output_counter=lambda out: sum(len(one.text) for one in out[OUT]) / len(out[OUT]))


# Items


@breaks("items_keep_their_root")
class RootsOfItsOwn(Item):
    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        return super().process(ctx, item).model_copy(update={"root": item.id})


NUMBERED: StateKey[list[Numbered]] = StateKey("numbered", list[Numbered], id="id", root="root")


@breaks("ids_are_texts_and_stable")
class IdsAreNumbers(Item):
    metadata = by_item(writes=(NUMBERED,))

    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        return Numbered(id=int(item.id[1:]), root=item.root)


@breaks("ids_are_texts_and_stable", "items_do_not_depend_on_each_other", "called_again_it_gives_the_same")
class IdsByChance(Item):
    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        return super().process(ctx, item).model_copy(update={"id": uuid.uuid4().hex})


@breaks("items_do_not_depend_on_each_other", "called_again_it_gives_the_same")
class KeepsTheLastItem(Item):
    last = ""

    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        before, self.last = self.last, item.text
        return super().process(ctx, item).model_copy(update={"text": before})


@breaks("the_size_of_a_call_does_not_matter", "items_do_not_depend_on_each_other")
class CountsItsCompany(Item):
    metadata = by_item(items_per_call=2)

    def process_many(self, ctx: Any, items: Any, **reads: Any) -> Any:
        return [word.model_copy(update={"text": str(len(items))}) for word in items]


@breaks("a_bad_item_stands_alone", bad_item=Word(id="bad", root="bad"))
class TakesTheBadItem(Item):
    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        return item


@breaks("a_bad_item_stands_alone", bad_item=Word(id="bad", root="bad"))
class SulksAfterABadItem(Item):
    sulking = False

    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        self.sulking = self.sulking or not item.text
        made = super().process(ctx, item)
        return made.model_copy(update={"text": ""}) if self.sulking else made


# Values


@breaks("nothing_in_is_no_error")
class NeedsAtLeastOne(Batch):
    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        return [max(words, key=lambda word: word.text)]


@breaks("nothing_in_is_no_error")
class NothingForNothing(Batch):
    metadata = by_batch(output_handler=lambda found: {OUT: found or None}, output_counter=lambda out: 1)


class LossyCodec:
    """Loses the case of letters, differently each way."""

    suffix = ".jsonl"

    def __init__(self) -> None:
        self._lines = JsonLines(list[Word])

    def encode(self, value: Any) -> bytes:
        return self._lines.encode(value)

    def decode(self, data: bytes) -> Any:
        return self._lines.decode(data.replace(b"THREE", b"three"))


LOSSY = words("lossy", codec=LossyCodec())


@breaks("values_survive_storing_and_loading")
class LosesWhatIsStored(Item):
    metadata = by_item(writes=(LOSSY,))


class Optimist(LossyCodec):
    """Writes what it cannot read."""

    def decode(self, data: bytes) -> Any:
        return super().decode(data.replace(b"}", b""))


@breaks("values_survive_storing_and_loading", "counts_are_pure_and_finite")
class CannotReadItsOwn(Item):
    metadata = by_item(writes=(words("optimistic", codec=Optimist()),))


@breaks("called_again_it_gives_the_same")
class CountsItsCalls(Batch):
    calls = 0

    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        self.calls += 1
        return [Word(id="calls", root="r", text=str(self.calls))]


@breaks("called_again_it_gives_the_same")
class RemembersOnlyInOneInstance(Batch):
    calls = 0

    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        self.calls += 1
        return [Word(id="calls", root="r", text="first" if self.calls == 1 else "later")]


class Writes(Stage[Any]):
    metadata = by_batch(needs=("workspace",), writes=(TALLY,))
    replace = False

    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        with closing(sqlite3.connect(ctx.workspace.root / "words.db")) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS words (id TEXT)")
            if self.replace:
                database.executemany("DELETE FROM words WHERE id = ?", [(word.id,) for word in words])
            database.executemany("INSERT INTO words VALUES (?)", [(word.id,) for word in words])
        return {"words": len(words)}


@breaks("written_again_it_leaves_the_same", "it_survives_a_kill_before_its_commit")
class Appends(Writes):
    pass


@breaks()
class Replaces(Writes):
    replace = True


# Nothing is called for an empty list of items, so close() has nothing to let go of then either.
@breaks("close_lets_go", "nothing_in_is_no_error")
class ClosesWhatItNeverOpened(Item):
    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        self.model = "loaded"
        return super().process(ctx, item)

    def close(self) -> None:
        del self.model


# Streams


@breaks(
    "pages_lead_to_the_end",
    *("the_size_of_a_page_does_not_matter", "it_goes_on_from_a_cursor"),
    reads={},
)
class TurnsInACircle(Feed):
    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        return Page(given()[:1], "again")


@breaks("pages_lead_to_the_end", "the_size_of_a_page_does_not_matter", "it_goes_on_from_a_cursor", reads={})
class NeverEnds(Feed):
    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        return Page([], str(int(cursor or 0) + 1))


@breaks("pages_lead_to_the_end", reads={})
class CursorIsANumber(Feed):
    def pull(self, ctx: Any, cursor: Any, limit: int) -> Page:
        page = super().pull(ctx, cursor, limit)
        return Page(page.output, page.cursor and int(page.cursor))  # type: ignore[arg-type]  # the lie


@breaks("pages_lead_to_the_end", reads={})
class ComesBack(Feed):
    """Its cursor names one place twice; the number of pulls decides where it ends."""

    pulls = 0

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        places = [None, "a", "b", "a", "c"]
        self.pulls = places.index(cursor) if cursor != "a" else (3 if self.pulls == 2 else 1)
        return Page([Word(id=f"w{self.pulls}", root="r")], (*places[1:], None)[self.pulls])


@breaks("the_size_of_a_page_does_not_matter", reads={}, more={"limit": 1})
class LeavesOneOut(Feed):
    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        page = super().pull(ctx, cursor, limit)
        return Page(page.output, page.cursor and str(int(page.cursor) + 1))


@breaks("it_goes_on_from_a_cursor", reads={})
class KeepsItsPlace(Feed):
    place: str | None = None

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        page = super().pull(ctx, self.place, limit)
        self.place = page.cursor
        return page


# Waiting


class Waits(Stage[Any]):
    metadata = metadata(needs=("signals",))
    asks = True
    deadline: Any = timedelta(minutes=1)
    on_timeout: Any = "continue"

    def run(self, ctx: Any, **reads: Any) -> Any:
        if self.asks and (ctx.timed_out or ctx.signals.holds(READY)):
            return None
        return Waiting(READY, self.deadline, self.on_timeout)


@breaks()
class WaitsAsItShould(Waits):
    pass


@breaks()
class WaitsForAllKindsOfThings(Waits):
    condition = Condition(
        clauses=(
            Clause(field="a", operator="exists", value=False),
            Clause(field="b", operator="in", value=["x", "y"]),
            Clause(field="c", operator="not_equals", value="x"),
            Clause(field="d", operator="changed"),
            Clause(field="e", operator="lte", value=3),
            Clause(field="f", operator="exists"),
        )
    )

    def run(self, ctx: Any, **reads: Any) -> Any:
        if ctx.timed_out:
            raise WaitTimedOut("too late")
        return None if ctx.signals.holds(self.condition) else Waiting(self.condition, on_timeout="continue")


@breaks()
class FailsWhenTheTimeIsUp(Waits):
    on_timeout = "fail"


@breaks("what_it_waits_for_can_come_true")
class WaitsForEver(Waits):
    def run(self, ctx: Any, **reads: Any) -> Any:
        return None if ctx.timed_out else Waiting(READY, on_timeout="continue")


@breaks("what_it_waits_for_can_come_true")
class DeadlineBehind(Waits):
    deadline = timedelta(0)


@breaks("what_it_waits_for_can_come_true")
class OddWordForTheEnd(Waits):
    on_timeout = "give up"


@breaks("what_it_waits_for_can_come_true", "it_goes_on_when_the_time_is_up")
class WaitsForText(Waits):
    def run(self, ctx: Any, **reads: Any) -> Any:
        return Waiting("ready", on_timeout="continue")  # type: ignore[arg-type]  # the lie


@breaks("it_goes_on_when_the_time_is_up")
class DoesNotHearTheClock(Waits):
    def run(self, ctx: Any, **reads: Any) -> Any:
        return None if ctx.signals.holds(READY) else Waiting(READY, on_timeout="continue")


# Processes


@breaks("every_process_gives_the_same_where_cacheable")
class TakesTheOrderOfASet(Item):
    metadata = by_item(cacheable=True)

    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        text = " ".join({f"{item.text}{number}" for number in range(50)})
        return Word(id=item.id, root=item.root, text=text)


@breaks("it_survives_a_kill_before_its_commit")
class LeavesALock(Batch):
    metadata = by_batch(needs=("workspace",))

    def open(self, ctx: Any) -> None:
        self.lock = ctx.workspace.root / "lock"
        self.lock.touch(exist_ok=False)

    def close(self) -> None:
        self.lock.unlink()


class Timed(Model):
    made: float = Field(default_factory=time.time)


@breaks("it_survives_a_kill_after_its_commit")
class ConfigKnowsTheTime(Item):
    metadata = by_item(config_model=Timed)


# Neither honest nor lying


class Sampled(Item):
    """Its values differ from call to call, its ids do not."""

    def process(self, ctx: Any, item: Word, **reads: Any) -> Any:
        return super().process(ctx, item).model_copy(update={"text": uuid.uuid4().hex})


class Broken(Batch):
    """It fails."""

    def run(self, ctx: Any, *, words: list[Word], **reads: Any) -> Any:
        raise ValueError("broken")
