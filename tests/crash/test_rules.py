"""The judge of the crash suite: each rule fails when it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from databases import Ledger
from rules import grown, judged, repeated

SPECS = {"p": {"stages": [{"name": "a", "type": "x"}, {"name": "b", "type": "x", "depends_on": ["a"]}]}}
Change = Callable[[Ledger], None]


def line(event: str, stage: str | None = None, actor: str = "one", reason: str = "") -> dict[str, Any]:
    return {
        "submission_id": "s",
        "batch_id": "s-1",
        "stage": stage,
        "event": event,
        "actor": actor,
        "reason": reason,
    }


def result(stage: str, status: str = "completed") -> dict[str, Any]:
    return {"batch_id": "s-1", "stage": stage, "status": status, "error": None, "outputs": {}}


@pytest.fixture
def ledger() -> Ledger:
    """What a batch leaves whose first run was killed after stage ``a``."""
    batch = {"id": "s-1", "submission_id": "s", "ordinal": 1, "follows": None, "status": "completed", "generation": 2}
    return Ledger(
        submissions=[{"id": "s", "pipeline": "p", "status": "completed", "unfinished_key": None}],
        batches=[batch | {"lease_owner": None, "lease_until": None, "ready_at": None}],
        stage_results=[result("a"), result("b")],
        history=[
            line("pending"),
            line("running", reason="claimed"),
            line("stage completed", "a"),
            line("running", actor="two", reason="taken over from one"),
            line("stage reused", "a", "two"),
            line("stage completed", "b", "two"),
            line("completed", actor="two"),
        ],
    )


def test_a_legal_history_breaks_no_rule(ledger: Ledger) -> None:
    """A run that was killed and taken over is as it should be."""
    assert judged(ledger, SPECS) == []
    assert grown(ledger, ledger) == []


WRONG: dict[str, tuple[Change, str]] = {
    "unfinished": (lambda one: one.submissions[0].update(status="running"), "submission s is running"),
    "still unique": (lambda one: one.submissions[0].update(unfinished_key="k"), "submission s is completed, k"),
    "waits": (lambda one: one.waits.append({"batch_id": "s-1", "stage": "a"}), "still waits"),
    "dead letter": (
        lambda one: one.dead_letters.append({"batch_id": "s-1", "stage": "a", "item_id": "i", "message": "m"}),
        "has the dead letter i",
    ),
    "illegal move": (lambda one: one.history.insert(1, line("completed")), "pending became completed"),
    "failed": (lambda one: one.history.insert(3, line("stage failed", "b")), "stage failed"),
    "work unclaimed": (lambda one: one.history.pop(1), "while it was pending"),
    "other status": (lambda one: one.batches[0].update(status="running"), "it is running, its history says completed"),
    "leased": (lambda one: one.batches[0].update(lease_owner="two"), "is held by two"),
    "unclaimed generation": (lambda one: one.batches[0].update(generation=3), "2 claims, but generation 3"),
    "unexplained claim": (lambda one: one.history[3].update(reason="claimed"), "not 'taken over from one'"),
    "taken from itself": (lambda one: one.history[3].update(actor="one"), "from itself"),
    "a dead run's commit": (lambda one: one.history[5].update(actor="one"), "by one, but two held it"),
    "repeated": (lambda one: one.history.insert(5, line("stage completed", "a", "two")), "a was completed 2 times"),
    "out of order": (lambda one: one.history.pop(2), "b was completed before a"),
    "reused unfinished": (lambda one: one.history.insert(2, line("stage reused", "b")), "b was reused before"),
    "ended early": (lambda one: one.history.pop(5), "it was completed without b"),
    "no result": (lambda one: one.stage_results.pop(), "its results are"),
    "waiting result": (lambda one: one.stage_results[1].update(status="waiting"), "b is waiting"),
    "no chain": (lambda one: one.batches[0].update(follows="s-0"), "follows s-0, not None"),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_each_rule_is_held(ledger: Ledger, change: Change, said: str) -> None:
    """Whatever is wrong is named."""
    change(ledger)
    assert any(said in problem for problem in judged(ledger, SPECS)), judged(ledger, SPECS)


def test_nothing_is_ever_taken_back(ledger: Ledger) -> None:
    """History and results are only added to, generations only grow."""
    earlier = replace(ledger, history=ledger.history[:3], stage_results=ledger.stage_results[:1])
    assert grown(earlier, ledger) == []
    assert grown(ledger, earlier) == [
        "submission s: lines of its history are gone or changed",
        "batch s-1: the result of b is gone",
    ]
    older = replace(ledger, batches=[{**ledger.batches[0], "generation": 1}])
    assert grown(ledger, older) == ["batch s-1: generation 2 became 1"]


def test_what_was_finished_is_not_begun_again(ledger: Ledger) -> None:
    """A stage that had ended before a kill must not begin after it, whatever comes of that."""
    before = replace(ledger, stage_results=[result("a"), result("b", "waiting")])
    assert repeated(before, [("s-1", "b")]) == []
    assert repeated(before, [("s-1", "a")]) == ["batch s-1: a was finished, and was begun again"]
