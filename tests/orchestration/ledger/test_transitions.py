"""The rules of moving, without a database."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.orchestration.contract.errors import BatchHeld, IllegalTransition, StaleGeneration
from medical_kg.orchestration.ledger.contract import LEGAL_MOVES, Batch, Status
from medical_kg.orchestration.ledger.transitions import (
    check_at_work,
    check_claim,
    check_generation,
    check_move,
    claim_reason,
    failure,
    submission_status,
    verdict,
)

STATUSES: tuple[Status, ...] = get_args(Status)


def batch(status: Status, **changes: Any) -> Batch:
    given = {
        "id": "s1-0001",
        "submission_id": "s1",
        "ordinal": 1,
        "cursor": None,
        "status": status,
        "generation": 3,
        "ready_at": None,
        "lease_owner": "worker" if status == "running" else None,
        "lease_until": 100.0 if status == "running" else None,
        "parent": None,
        "run_id": None,
        "created_at": 0.0,
        "updated_at": 0.0,
    }
    return Batch.model_validate(given | changes)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(STATUSES, STATUSES)))
def test_only_legal_moves_pass(old: Status, new: Status) -> None:
    """Each of the 36 moves passes or is refused as the table says, and a refusal names the legal ones."""
    if new in LEGAL_MOVES[old]:
        check_move("s1-0001", old, new)
    else:
        with pytest.raises(IllegalTransition, match=f"batch s1-0001 cannot go from {old} to {new}") as caught:
            check_move("s1-0001", old, new)
        assert caught.value.allowed == sorted(LEGAL_MOVES[old])


@pytest.mark.parametrize("generation", [2, 4])
def test_another_generation_is_stale(generation: int) -> None:
    """A run shows exactly the generation the batch is at."""
    check_generation(batch("running"), 3)
    with pytest.raises(StaleGeneration, match=f"at generation 3; this run holds {generation}"):
        check_generation(batch("running"), generation)


@pytest.mark.parametrize("status", STATUSES)
def test_work_is_taken_only_while_a_run_is_at_work(status: Status) -> None:
    """A commit needs a running batch, or one that another stage of the same run has failed."""
    if status in ("running", "failed"):
        check_at_work(batch(status), 3)
    else:
        with pytest.raises(BatchHeld, match=f"is {status}, no run works on it"):
            check_at_work(batch(status), 3)
    with pytest.raises(StaleGeneration):
        check_at_work(batch(status), 2)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("generation", [None, 3])
def test_who_may_claim_a_batch_without_a_lease(status: Status, generation: int | None) -> None:
    """Pending and waiting batches may be claimed, finished and failed ones not."""
    if status in ("pending", "waiting"):
        check_claim(batch(status), "other", now=0, generation=generation, dead_owner=None)
    else:
        with pytest.raises(BatchHeld):
            check_claim(batch(status), "other", now=0, generation=generation, dead_owner=None)


def test_a_refused_claim_says_what_to_do() -> None:
    """A failed batch wants a retry; a finished one nothing."""
    with pytest.raises(BatchHeld, match="is failed; retry it"):
        check_claim(batch("failed"), "other", now=0, generation=None, dead_owner=None)
    with pytest.raises(BatchHeld, match="is completed; there is nothing left to do"):
        check_claim(batch("completed"), "other", now=0, generation=None, dead_owner=None)


@pytest.mark.parametrize(
    ("owner", "now", "generation", "dead_owner", "refused"),
    [
        ("worker", 50, None, None, None),
        ("worker", 50, 3, None, None),
        ("other", 50, None, None, "held by worker for another 50 s"),
        ("other", 50, 3, None, "held by worker for another 50 s"),
        ("other", 50, None, "worker", None),
        ("other", 50, 3, "worker", None),
        ("other", 50, None, "somebody", "held by worker"),
        ("other", 100, None, None, None),
        ("other", 100, 3, None, "may still be at work under generation 3; take the batch under a new one"),
    ],
)
def test_who_may_take_over(
    owner: str, now: float, generation: int | None, dead_owner: str | None, refused: str | None
) -> None:
    """A lease keeps others out until it ends; then only a new generation may be taken, unless the owner is dead."""
    if refused is None:
        check_claim(batch("running"), owner, now=now, generation=generation, dead_owner=dead_owner)
    else:
        with pytest.raises(BatchHeld, match=refused):
            check_claim(batch("running"), owner, now=now, generation=generation, dead_owner=dead_owner)


def test_a_claim_of_another_generation_is_stale() -> None:
    """Whoever comes with a generation comes with the current one, whatever the status."""
    for status in STATUSES:
        with pytest.raises(StaleGeneration):
            check_claim(batch(status), "worker", now=0, generation=2, dead_owner=None)


def test_the_history_tells_a_takeover() -> None:
    """A claim of a batch that somebody else ran names him."""
    assert claim_reason(batch("pending"), "other") == "claimed"
    assert claim_reason(batch("running"), "worker") == "claimed"
    assert claim_reason(batch("running"), "other") == "taken over from worker"


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        ({"a": "completed", "b": "completed"}, "completed", "every stage completed"),
        ({"a": "completed"}, "pending", "cut short before stage 'b'"),
        ({}, "pending", "cut short before stage 'a'"),
        ({"a": "waiting"}, "waiting", "waiting: a"),
        ({"a": "waiting", "b": "waiting"}, "waiting", "waiting: a, b"),
        ({"a": "waiting", "b": "failed"}, "failed", "stage 'b' failed: no reason was given"),
        ({"a": "completed", "b": "completed", "gone": "failed"}, "completed", "every stage completed"),
    ],
)
def test_what_a_run_came_to(make: Any, found: dict[str, str], status: str, reason: str) -> None:
    """Failed beats waiting beats cut short; stages the pipeline no longer has do not count."""
    results = {stage: make.record("s1-0001", stage, found[stage]) for stage in found}
    assert verdict(results, ["a", "b"]) == (status, reason)


def test_a_failure_is_told_with_its_error(make: Any) -> None:
    """The history says which stage failed and why."""
    assert failure(make.record("s1-0001", "embed", "failed", error="no model")) == "stage 'embed' failed: no model"


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["running", "failed", "pending"], "running"),
        (["completed", "pending"], "running"),
        (["completed", "pending", "failed"], "running"),
        (["pending", "pending"], "pending"),
        (["pending", "failed", "waiting"], "pending"),
        (["completed", "failed", "waiting"], "failed"),
        (["completed", "waiting"], "waiting"),
        (["completed", "completed"], "completed"),
        (["completed", "cancelled"], "completed"),
        (["cancelled", "cancelled"], "cancelled"),
    ],
)
def test_a_submission_follows_its_batches(statuses: list[Status], status: Status) -> None:
    """The table of what a submission's status is, given those of its batches."""
    assert submission_status(statuses) == status


@given(st.lists(st.sampled_from(STATUSES), min_size=1))
def test_a_submission_is_finished_when_its_batches_are(statuses: list[Status]) -> None:
    """Completed or cancelled exactly when every batch is one of both; the order of batches does not matter."""
    finished = {"completed", "cancelled"}
    assert (submission_status(statuses) in finished) is (set(statuses) <= finished)
    assert submission_status(statuses) == submission_status(reversed(statuses))
