"""Stages that raise what is hard to hold off or to tell."""

from __future__ import annotations

import sys
from typing import Any

from medical_kg_bystander import Word

from medical_kg import StageContext
from medical_kg.orchestration.contract.errors import LedgerError
from medical_kg_hostile.breaches import ODD_ID, SAME_ID
from medical_kg_hostile.making import Items, OddError, Whole, metadata


class ExitsInItem(Items):
    """Ends the program."""

    metadata = metadata("exits-in-item", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Exit."""
        sys.exit(3)


class InterruptsInItem(Items):
    """Raises what Ctrl-C raises."""

    metadata = metadata("interrupts-in-item", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Interrupt."""
        raise KeyboardInterrupt("not from the keyboard")


class ClosesInItem(Items):
    """Raises what ends generators."""

    metadata = metadata("closes-in-item", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Close."""
        raise GeneratorExit("nothing to close")


class OddInItem(Items):
    """Raises what is no Exception."""

    metadata = metadata("odd-in-item", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Raise it."""
        raise OddError("for this word")


class OddInGroup(Items):
    """Raises what is no Exception for a group of words."""

    metadata = metadata("odd-in-group", mode="item", items_per_call=3)

    def process_many(self, ctx: StageContext, items: Any, **reads: Any) -> Any:
        """Raise it where the bad word is among them."""
        if any(item.id == "w2" for item in items):
            raise OddError("for this group")
        return items


class InterruptsInRun(Whole):
    """Raises what Ctrl-C raises, for the whole batch."""

    metadata = metadata("interrupts-in-run")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Interrupt."""
        raise KeyboardInterrupt("not from the keyboard")


class ExitsInOpen(Whole):
    """Ends the program when it is opened."""

    metadata = metadata("exits-in-open")

    def open(self, ctx: StageContext) -> None:
        """Exit."""
        sys.exit("no licence")


class RaisesInClose(Whole):
    """Fails when it is closed."""

    metadata = metadata("raises-in-close")

    def close(self) -> None:
        """Raise what is no Exception."""
        raise OddError("in close()")


class LedgerInRun(Whole):
    """Raises an error that is the engine's own."""

    metadata = metadata("ledger-in-run")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Pretend that the ledger failed."""
        raise LedgerError("the batch has been taken over")


class Unsayable(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


class UnsayableError(Items):
    """Raises an error that cannot be told."""

    metadata = metadata("unsayable-error", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Raise it."""
        raise Unsayable


class UnsayableInRun(Whole):
    """Fails whole batches with an error that cannot be told."""

    metadata = metadata("unsayable-in-run")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Raise it."""
        raise Unsayable


class HugeError(Items):
    """Raises an error of ten megabytes."""

    metadata = metadata("huge-error", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Raise it."""
        raise RuntimeError("much " * 2_000_000)


class OddText(Items):
    """Raises an error whose text is not Unicode, with a NUL and a terminal's escape in it."""

    metadata = metadata("odd-text", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Raise it."""
        raise RuntimeError("half \udcff, nothing \x00, red \x1b[31m")


class Nameless(Items):
    """Has an id for its words that cannot be told."""

    metadata = metadata("nameless", mode="item", reads=(ODD_ID,))

    def misbehave(self, item: Word) -> Any:
        """Fail, so that the word must be named."""
        raise RuntimeError("for a word without a name")


class SameIds(Items):
    """Has one id for all its words, and fails for each."""

    metadata = metadata("same-ids", mode="item", reads=(SAME_ID,))

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Any:
        """Fail."""
        raise RuntimeError(f"for {item.id}")


class Recursion(Items):
    """Calls itself without end."""

    metadata = metadata("recursion", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Do it again."""
        return self.misbehave(item)
