"""Rules of streams and of stages that wait."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest

from medical_kg.orchestration.contract import Clause, Condition, OnTimeout, Waiting
from medical_kg.orchestration.contract.errors import WaitTimedOut
from medical_kg.testing.conformance.trial import STREAM_LIMIT, Trial, bytes_of
from medical_kg.testing.fakes import FakeSignals

if TYPE_CHECKING:
    from medical_kg.testing.harness import OpenStage, StageRun

MAX_PAGES = 1000
"""A case of more pages than this is taken for a stream without end."""


class StreamRules:
    """A stream gives pages, goes on from any cursor, and ends."""

    def test_pages_lead_to_the_end(self, trial: Trial) -> None:
        """Page after page, each from the cursor of the one before, leads to a page without a cursor."""
        trial.needs_mode("stream", "it has no pages")
        with trial.opened() as stage:
            pages = _pages(trial, stage, None)
        cursors = [page.cursor for page in pages[:-1]]
        odd = [cursor for cursor in cursors if not isinstance(cursor, str)]
        assert odd == [], trial.says("pages by cursor", f"the cursors {odd[:3]}", "let a cursor be a text")
        assert len(set(cursors)) == len(cursors), trial.says(
            "pages by cursor", f"the cursors {cursors[:5]}", "let every page's cursor name another place"
        )

    def test_the_size_of_a_page_does_not_matter(self, trial: Trial) -> None:
        """Small pages together hold what large ones hold: no record twice, none left out."""
        trial.needs_mode("stream", "it has no pages")
        with trial.opened() as stage:
            small = _records(trial, _pages(trial, stage, None, limit=1))
        with trial.opened() as stage:
            large = _records(trial, _pages(trial, stage, None, limit=STREAM_LIMIT))
        assert small == large, trial.says(
            "whole pages",
            f"one by one {_lengths(small)} records, in large pages {_lengths(large)}, or others of them",
            "let the cursor name the first record that was not given yet",
        )

    def test_it_goes_on_from_a_cursor(self, trial: Trial) -> None:
        """A new instance that is given a cursor gives the rest, as the first one would have."""
        trial.needs_mode("stream", "it has no cursor")
        with trial.opened() as stage:
            pages = _pages(trial, stage, None)
        if len(pages) == 1:
            pytest.skip("the case has one page only; give it an input of more records")
        with trial.opened() as stage:
            rest = _pages(trial, stage, pages[0].cursor)
        assert _records(trial, rest) == _records(trial, pages[1:]), trial.says(
            "going on from a cursor",
            f"from {pages[0].cursor!r} a new instance gave something else than the first one",
            "let the cursor hold all there is to know; keep no position in the instance",
        )


def _pages(trial: Trial, stage: OpenStage, cursor: str | None, limit: int | None = None) -> list[StageRun]:
    size = limit or trial.case.more.get("limit") or 1
    pages: list[StageRun] = []
    while not pages or cursor is not None:
        pages.append(stage.pull(cursor, size))
        last, cursor = cursor, pages[-1].cursor
        if cursor is not None and (last == cursor or len(pages) > MAX_PAGES):
            found = f"after {len(pages)} pages the cursor is {cursor!r}" + (" again" if last == cursor else "")
            trial.broke("pages by cursor", found, "end the input with cursor=None; let each cursor lead on")
    return pages


def _records(trial: Trial, pages: list[StageRun]) -> dict[str, bytes | list[Any]]:
    found: dict[str, Any] = {}
    for key in trial.metadata.writes:
        values = [page.output[key] for page in pages]
        found[key.name] = bytes_of(key, [one for value in values for one in value]) if key.is_list else values
    return found


def _lengths(records: dict[str, Any]) -> dict[str, int]:
    return {name: data.count(b"\n") if isinstance(data, bytes) else len(data) for name, data in records.items()}


class WaitingRules:
    """What a stage waits for can come true."""

    def test_what_it_waits_for_can_come_true(self, trial: Trial) -> None:
        """The condition is not true already, a deadline lies ahead, and once it holds the stage waits no more for it."""
        waiting = self._waiting(trial)
        assert isinstance(waiting.condition, Condition), trial.says(
            "sound waiting", f"condition={waiting.condition!r}", "give a Condition"
        )
        ahead = waiting.deadline is None or waiting.deadline > timedelta(0)
        assert ahead, trial.says("sound waiting", f"deadline={waiting.deadline!r}", "give a time from now, or None")
        assert waiting.on_timeout in get_args(OnTimeout), trial.says(
            "sound waiting", f"on_timeout={waiting.on_timeout!r}", f"give one of {', '.join(get_args(OnTimeout))}"
        )
        told = {clause.field: _value_for(clause) for clause in waiting.condition.clauses if not _is_absence(clause)}
        baseline = {name: object() for name in told}
        services = {**trial.case.more.get("services", {}), "signals": FakeSignals(told, baseline)}
        again = trial.run(services=services)
        assert again.waiting is None or again.waiting.condition != waiting.condition, trial.says(
            "sound waiting",
            f"told {told}, it still waits for {waiting.condition}",
            "ask ctx.signals.holds(condition) before you wait for it",
        )

    def test_it_goes_on_when_the_time_is_up(self, trial: Trial) -> None:
        """Where ``on_timeout`` is ``continue`` and the time is up, it gives its output or says why not."""
        waiting = self._waiting(trial)
        if waiting.on_timeout != "continue":
            pytest.skip(f"{trial.case} does not go on when its time is up")
        try:
            run = trial.run(timed_out=True)
        except WaitTimedOut:
            return
        assert run.waiting is None, trial.says(
            "going on", "called with ctx.timed_out it waits again", "look at ctx.timed_out before you wait"
        )

    @staticmethod
    def _waiting(trial: Trial) -> Waiting:
        trial.needs_mode("batch", "only batch stages wait")
        waiting = trial.run().waiting
        if waiting is None:
            pytest.skip(f"{trial.case} does not wait with the case's reads")
        return waiting


def _is_absence(clause: Clause) -> bool:
    return clause.operator == "exists" and clause.value is False


def _value_for(clause: Clause) -> Any:
    """Return a value for which the clause holds."""
    if clause.operator in ("equals", "gte", "lte"):
        return clause.value
    if clause.operator == "in":
        return next(iter(clause.value), None)
    return "told by the conformance suite"
