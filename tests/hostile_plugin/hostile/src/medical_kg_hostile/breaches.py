"""Stages that do not do what their metadata says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medical_kg_bystander import COPIES, GIVEN, Word

from medical_kg import NoConfig, Stage, StageContext
from medical_kg_hostile.making import MORE, TAKEN, Items, Whole, metadata


class Twice(Whole):
    """Has a name that another package claims too."""

    metadata = metadata("twice")


class UndeclaredKey(Whole):
    """Writes what it did not declare."""

    metadata = metadata("undeclared-key")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Give one key too many."""
        return {TAKEN: reads["given"], COPIES: reads["given"]}


class LyingHandler(Whole):
    """Its handler writes what it did not declare."""

    metadata = metadata("lying-handler", output_handler=lambda given: {TAKEN: given, COPIES: given})


class MissingKey(Whole):
    """Does not write all that it declared."""

    metadata = metadata("missing-key", writes=(TAKEN, MORE))

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Give one key too few."""
        return {TAKEN: reads["given"]}


class WrongType(Whole):
    """Writes values of another type."""

    metadata = metadata("wrong-type")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Give numbers for words."""
        return [1, 2, 3]


class Nonsense(Items):
    """Gives something that is no word for a word."""

    metadata = metadata("nonsense", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Give the class itself."""
        return type


class Unserialisable(Items):
    """Gives a word that cannot be stored."""

    metadata = metadata("unserialisable", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Put a function into it."""
        return Word(id=item.id, text="x", extra=print)


class HalfGenerator(Stage[NoConfig]):
    """Fails after it has given half of what there is to give."""

    metadata = metadata("half-generator", mode="item", flat=True, output_handler=lambda given: {TAKEN: given})

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Any:
        """Give the word, and then fail on the bad one."""
        yield item
        if item.id == "w2":
            raise RuntimeError("half-way")


class CounterRaises(Whole):
    """Cannot count."""

    metadata = metadata("counter-raises", output_counter=lambda _: 1 / 0)


class CounterNonsense(Whole):
    """Counts what is no number."""

    metadata = metadata("counter-nonsense", output_counter=lambda _: float("nan"))


class CounterExits(Whole):
    """Ends the program while it counts."""

    @staticmethod
    def leave(_: Any) -> float:
        """Exit."""
        raise SystemExit(3)

    metadata = metadata("counter-exits", output_counter=leave)


class HandlerRaises(Whole):
    """Cannot handle its own output."""

    @staticmethod
    def handle(given: Any) -> Mapping[Any, Any]:
        """Fail."""
        raise LookupError("no such output")

    metadata = metadata("handler-raises", output_handler=handle)


class MutatesInput(Whole):
    """Changes what it was given: the list, and what stands in its records."""

    metadata = metadata("mutates-input")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Leave nothing as it was."""
        words: list[Word] = reads["given"]
        for word in words:
            word.notes["seen"] = "changed by another"
        return [words.pop()]


class MutatesContext(Whole):
    """Changes what it is told of the submission."""

    metadata = metadata("mutates-context")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Leave nothing as it was."""
        ctx.input.clear()  # type: ignore[attr-defined]  # a Mapping that happens to be a dict
        ctx.conditions.clear()  # type: ignore[attr-defined]  # as above
        return reads["given"]


ODD_ID: Any = type(GIVEN)("given", list[Word], id=lambda word: word.nowhere, root="id")
SAME_ID: Any = type(GIVEN)("given", list[Word], id=lambda _: "same", root="id")
