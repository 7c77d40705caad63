"""Claims, leases, commits and what a run comes to."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, get_args

import pytest

from medical_kg.orchestration.contract.database import writing
from medical_kg.orchestration.contract.errors import BatchHeld, IllegalTransition, LedgerError, StaleGeneration
from medical_kg.orchestration.ledger import batches
from medical_kg.orchestration.ledger.contract import LEGAL_MOVES, UNFINISHED, NextBatch, Note, Status
from medical_kg.orchestration.ledger.sql import SqlLedger

STATUSES: tuple[Status, ...] = get_args(Status)


def events(ledger: SqlLedger, batch_id: str) -> list[str]:
    submission_id = batch_id.rpartition("-")[0]
    return [line.event for line in ledger.history(submission_id) if line.batch_id == batch_id]


def everything(ledger: SqlLedger, batch_id: str) -> object:
    submission_id = batch_id.rpartition("-")[0]
    return (
        ledger.batches(submission_id),
        ledger.submission(submission_id),
        ledger.history(submission_id),
        ledger.results(batch_id),
        ledger.dead_letters(submission_id),
    )


@pytest.mark.parametrize(("old", "new"), list(itertools.product(STATUSES, STATUSES)))
def test_each_move_is_refused_or_told(ledger: SqlLedger, batch_id: str, old: Status, new: Status) -> None:
    """Of all 36 moves the legal ones change batch, submission and history together; the others change nothing."""
    with writing(ledger._engine) as connection:
        batches.change(connection, batches.load(connection, batch_id), now=5, status=old)
    before = everything(ledger, batch_id)

    def move() -> None:
        with writing(ledger._engine) as connection:
            batches.move(connection, batches.load(connection, batch_id), new, "because", actor="ana", now=7)

    if new not in LEGAL_MOVES[old]:
        with pytest.raises(IllegalTransition):
            move()
        assert everything(ledger, batch_id) == before
        return
    move()
    submission = ledger.submissions()[0]
    assert (ledger.batch(batch_id).status, submission.status) == (new, new)
    last = ledger.history(submission.id)[-1]
    assert (last.event, last.reason, last.actor, last.at) == (new, "because", "ana", 7)
    assert (last.batch_id, last.submission_id) == (batch_id, submission.id)
    assert (new in UNFINISHED) is (len(ledger.ready(submission_id=submission.id)) == 1 or new == "failed")


def test_a_claim_gives_a_lease_and_a_generation(ledger: SqlLedger, batch_id: str) -> None:
    """The claimer holds the batch until its lease ends, then it is ready again."""
    batch = ledger.claim(batch_id, "worker", lease_seconds=60)
    assert (batch.status, batch.generation, batch.lease_owner) == ("running", 1, "worker")
    assert batch.ready_at == batch.lease_until == 1060
    assert ledger.batch(batch_id) == batch
    assert ledger.submission(batch.submission_id).status == "running"
    last = ledger.history(batch.submission_id)[-1]
    assert (last.event, last.reason, last.actor) == ("running", "claimed", "worker")
    assert ledger.ready() == []


def test_a_held_batch_is_refused_and_unchanged(ledger: SqlLedger, claimed: str) -> None:
    """Nobody else gets a batch under a running lease."""
    before = everything(ledger, claimed)
    with pytest.raises(BatchHeld, match="held by worker for another 60 s"):
        ledger.claim(claimed, "other", lease_seconds=60)
    assert everything(ledger, claimed) == before


def test_a_lease_that_ran_out_can_be_taken_over(ledger: SqlLedger, claimed: str, clock: Any, make: Any) -> None:
    """The next generation goes to the new owner, and the old one's commits are refused and change nothing."""
    clock.time = 1060
    assert [one.id for one in ledger.ready()] == [claimed]
    assert ledger.claim(claimed, "other", lease_seconds=60).generation == 2
    assert ledger.history(claimed[:-5])[-1].reason == "taken over from worker"
    before = everything(ledger, claimed)
    late: list[Callable[[], object]] = [
        lambda: ledger.commit(
            make.record(claimed), 1, dead_letters=[make.letter(claimed, "x")], next_batch=NextBatch(cursor="9")
        ),
        lambda: ledger.heartbeat(claimed, 1, lease_seconds=60),
        lambda: ledger.set_run(claimed, 1, "run"),
        lambda: ledger.note(claimed, 1, "chunk", Note(event="retry", reason="late")),
        lambda: ledger.settle(claimed, 1, ["chunk"]),
        lambda: ledger.claim(claimed, "worker", lease_seconds=60, generation=1),
    ]
    for call in late:
        with pytest.raises(StaleGeneration, match="at generation 2; this run holds 1"):
            call()
    assert everything(ledger, claimed) == before


def test_a_claim_may_name_its_generation(ledger: SqlLedger, batch_id: str) -> None:
    """A run that was promised a generation gets exactly that one, again and again, and no other."""
    assert ledger.claim(batch_id, "run-1", lease_seconds=60, generation=0).generation == 0
    assert ledger.claim(batch_id, "run-1", lease_seconds=60, generation=0).generation == 0
    assert ledger.claim(batch_id, "run-2", lease_seconds=60, dead_owner="run-1", generation=0).generation == 0
    with pytest.raises(StaleGeneration):
        ledger.claim(batch_id, "run-2", lease_seconds=60, generation=1)


def test_a_ready_batch_is_promised_to_a_run(ledger: SqlLedger, batch_id: str, clock: Any) -> None:
    """A launch gives the next generation and lets the batch rest until the grace ends; its status stays."""
    batch = ledger.launch(batch_id, grace_seconds=60, actor="sensor")
    assert (batch.status, batch.generation, batch.ready_at, batch.lease_owner) == ("pending", 1, 1060, None)
    assert ledger.batch(batch_id) == batch
    last = ledger.history(batch.submission_id)[-1]
    assert (last.event, last.reason, last.actor) == ("launched", "a run is being started, generation 1", "sensor")
    with pytest.raises(BatchHeld, match="is pending and not ready"):
        ledger.launch(batch_id, grace_seconds=60, actor="sensor")
    clock.time = 1060
    assert ledger.launch(batch_id, grace_seconds=60, actor="sensor").generation == 2
    with pytest.raises(StaleGeneration):
        ledger.claim(batch_id, "run-1", lease_seconds=60, generation=1)
    assert ledger.claim(batch_id, "run-2", lease_seconds=60, generation=2).generation == 2


def test_a_launch_ends_a_lease_that_ran_out(ledger: SqlLedger, claimed: str, clock: Any) -> None:
    """The batch is pending then, its former run is refused, and the run it is promised to may claim it."""
    with pytest.raises(BatchHeld, match="is running and not ready"):
        ledger.launch(claimed, grace_seconds=60, actor="sensor")
    clock.time = 1060
    batch = ledger.launch(claimed, grace_seconds=60, actor="sensor")
    assert (batch.status, batch.generation, batch.ready_at, batch.lease_owner) == ("pending", 2, 1120, None)
    assert events(ledger, claimed)[-2:] == ["pending", "launched"]
    with pytest.raises(StaleGeneration):
        ledger.heartbeat(claimed, 1, lease_seconds=60)
    assert ledger.claim(claimed, "run-2", lease_seconds=60, generation=2).lease_owner == "run-2"


def test_a_heartbeat_extends_the_lease(ledger: SqlLedger, claimed: str, clock: Any) -> None:
    """While it comes nobody else may take the batch; it leaves no line in the history."""
    lines = len(ledger.history(claimed[:-5]))
    clock.time = 1050
    ledger.heartbeat(claimed, 1, lease_seconds=60)
    batch = ledger.batch(claimed)
    assert batch.ready_at == batch.lease_until == 1110
    assert len(ledger.history(claimed[:-5])) == lines


def test_a_heartbeat_needs_a_run_at_work(ledger: SqlLedger, batch_id: str, make: Any) -> None:
    """There is nothing to extend in a batch that was settled; one that another stage failed stays without lease."""
    ledger.claim(batch_id, "worker", lease_seconds=60)
    ledger.commit(make.record(batch_id, status="failed"), 1)
    ledger.heartbeat(batch_id, 1, lease_seconds=60)
    assert (ledger.batch(batch_id).lease_until, ledger.batch(batch_id).ready_at) == (None, None)
    ledger.reopen(batch_id, "ana")
    with pytest.raises(BatchHeld, match="is pending, no run works on it"):
        ledger.heartbeat(batch_id, 1, lease_seconds=60)


def test_the_run_that_carries_a_batch_is_noted(ledger: SqlLedger, claimed: str) -> None:
    """A Dagster run leaves its id at the batch, and no line in the history."""
    lines = len(ledger.history(claimed[:-5]))
    ledger.set_run(claimed, 1, "run-1")
    assert ledger.batch(claimed).run_id == "run-1"
    assert len(ledger.history(claimed[:-5])) == lines


def test_a_commit_keeps_the_record(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """The record comes back as it was; a later one of the same stage replaces it; the history has both."""
    first = make.record(claimed, counts={"chunks": 7, "tokens": 1.5}, retries=2, dead_letters=1)
    ledger.commit(first, 1)
    assert ledger.results(claimed) == {"chunk": first}
    assert ledger.results(claimed)["chunk"].duration == 2.5
    line = ledger.history(claimed[:-5])[-1]
    assert (line.event, line.stage, line.batch_id, line.actor) == ("stage completed", "chunk", claimed, "worker")
    assert line.detail == {"counts": {"chunks": 7, "tokens": 1.5}, "retries": 2, "dead_letters": 1}
    second = make.record(claimed, outputs={}, fingerprint="e" * 64)
    ledger.commit(second, 1)
    assert ledger.results(claimed) == {"chunk": second}
    assert events(ledger, claimed)[-2:] == ["stage completed", "stage completed"]


def test_notes_come_before_the_result(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """What happened during a stage stands in the history before what it came to."""
    notes = [Note(event="retry", reason="503", detail={"attempt": 1}), Note(event="retry", reason="504")]
    ledger.commit(make.record(claimed), 1, notes=notes)
    lines = ledger.history(claimed[:-5])[-3:]
    assert [(line.event, line.reason, line.stage) for line in lines] == [
        ("retry", "503", "chunk"),
        ("retry", "504", "chunk"),
        ("stage completed", "", "chunk"),
    ]
    assert lines[0].detail == {"attempt": 1}


def test_a_note_stands_alone_too(ledger: SqlLedger, claimed: str) -> None:
    """A run may write to the history between commits."""
    ledger.note(claimed, 1, None, Note(event="reused", reason="fingerprint matches", detail={"stages": 2}))
    line = ledger.history(claimed[:-5])[-1]
    assert (line.event, line.batch_id, line.stage, line.actor) == ("reused", claimed, None, "worker")
    assert line.detail == {"stages": 2}


def test_dead_letters_are_replaced_with_their_attempts(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """A commit's dead letters replace those of its batch and stage; an item that died again has its attempts added."""
    letters = [make.letter(claimed, "b"), make.letter(claimed, "a"), make.letter(claimed, "c")]
    ledger.commit(make.record(claimed), 1, dead_letters=letters)
    ledger.commit(make.record(claimed, "embed"), 1, dead_letters=[make.letter(claimed, "a", "embed")])
    assert [(one.stage, one.item_id) for one in ledger.dead_letters(claimed[:-5])] == [
        ("chunk", "a"),
        ("chunk", "b"),
        ("chunk", "c"),
        ("embed", "a"),
    ]
    again = make.letter(claimed, "a", message="still no text", attempts=2)
    ledger.commit(make.record(claimed), 1, dead_letters=[again])
    chunk, embed = ledger.dead_letters(claimed[:-5])
    assert chunk == again.model_copy(update={"attempts": 3})
    assert (embed.stage, embed.attempts) == ("embed", 1)
    ledger.commit(make.record(claimed), 1)
    assert ledger.dead_letters(claimed[:-5]) == [embed]


def test_odd_text_of_a_bad_item_does_not_stop_a_commit(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """A file name that is no text (half a surrogate pair) is kept escaped, wherever it turns up."""
    odd = "\udcffé.xml"
    letter = make.letter(claimed, odd, message=odd, root=odd, traceback=odd)
    for _ in range(2):
        ledger.commit(make.record(claimed), 1, dead_letters=[letter], notes=[Note(event="retry", reason=odd)])
    (found,) = ledger.dead_letters(claimed[:-5])
    assert {found.item_id, found.root, found.message, found.traceback} == {r"\udcffé.xml"}
    assert found.attempts == 2
    ledger.commit(make.record(claimed, status="failed", error=odd), 1)
    assert ledger.results(claimed)["chunk"].error == r"\udcffé.xml"
    assert ledger.history(claimed[:-5])[-1].reason == r"stage 'chunk' failed: \udcffé.xml"


def test_an_item_that_dies_twice_in_a_commit_is_one_letter(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """Dead letters are unique per submission, stage and item."""
    ledger.commit(make.record(claimed), 1, dead_letters=[make.letter(claimed, "a"), make.letter(claimed, "a")])
    assert [one.attempts for one in ledger.dead_letters(claimed[:-5])] == [2]


def test_an_item_that_dies_in_a_later_batch_moves_there(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """The newest death of an item counts, with the attempts of all."""
    next_batch = NextBatch(cursor="100")
    ledger.commit(make.record(claimed), 1, dead_letters=[make.letter(claimed, "a")], next_batch=next_batch)
    second = ledger.claim(f"{claimed[:-5]}-0002", "worker", lease_seconds=60)
    ledger.commit(make.record(second.id), 1, dead_letters=[make.letter(second.id, "a")])
    ledger.commit(make.record(claimed), 1)
    (letter,) = ledger.dead_letters(claimed[:-5])
    assert (letter.batch_id, letter.attempts) == (second.id, 2)


def test_a_page_opens_the_next_batch_once(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """The next batch starts at the cursor, ready at once; a repeated commit opens no other."""
    ledger.commit(make.record(claimed, "ingest"), 1, next_batch=NextBatch(cursor="100"))
    ledger.commit(make.record(claimed, "ingest"), 1, next_batch=NextBatch(cursor="200"))
    first, second = ledger.batches(claimed[:-5])
    assert (second.id, second.ordinal, second.cursor, second.status) == (f"{claimed[:-5]}-0002", 2, "100", "pending")
    assert (second.generation, second.parent, second.ready_at) == (0, None, 1000)
    assert events(ledger, second.id) == ["pending"]
    assert ledger.history(claimed[:-5])[-2].reason == f"follows {first.id}"
    assert ledger.ready(submission_id="other") == []
    assert [one.id for one in ledger.ready(submission_id=first.submission_id)] == [second.id]


def test_ready_batches_come_oldest_first(ledger: SqlLedger, make: Any, clock: Any) -> None:
    """Batches are given out in the order their time came, as many as asked for."""
    for number in range(4):
        clock.time = 1003 - number
        ledger.open_submission(make.new(id=f"run-{number}", input={"n": number}))
    clock.time = 1002
    assert [one.submission_id for one in ledger.ready()] == ["run-3", "run-2", "run-1"]
    assert [one.submission_id for one in ledger.ready(limit=1)] == ["run-3"]


def test_a_failed_stage_fails_its_batch(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """The batch is failed in the same transaction, and nobody holds it."""
    ledger.commit(make.record(claimed, status="failed", error="no model"), 1)
    batch = ledger.batch(claimed)
    assert (batch.status, batch.lease_owner, batch.lease_until, batch.ready_at) == ("failed", None, None, None)
    assert ledger.submission(batch.submission_id).status == "failed"
    stage, whole = ledger.history(batch.submission_id)[-2:]
    assert (stage.event, stage.stage, stage.reason) == ("stage failed", "chunk", "no model")
    assert (whole.event, whole.reason) == ("failed", "stage 'chunk' failed: no model")
    assert ledger.ready() == []


def test_the_other_branches_of_a_failed_run_are_kept(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """What parallel branches finish after one has failed is not lost; the batch stays failed."""
    ledger.commit(make.record(claimed, "embed", "failed"), 1)
    ledger.commit(make.record(claimed, "extract"), 1, next_batch=NextBatch(cursor="100"))
    ledger.commit(make.record(claimed, "index", "failed"), 1)
    assert list(ledger.results(claimed)) == ["embed", "extract", "index"]
    assert ledger.settle(claimed, 1, ["embed", "extract", "index"]).status == "failed"
    assert events(ledger, claimed).count("failed") == 1


@pytest.mark.parametrize(
    ("found", "status", "ready_at"),
    [
        ({"a": "completed", "b": "completed"}, "completed", None),
        ({"a": "completed"}, "pending", 1000),
        ({}, "pending", 1000),
        ({"a": "failed", "b": "completed"}, "failed", None),
        ({"a": "waiting", "b": "completed"}, "waiting", None),
        ({"a": "waiting"}, "waiting", None),
    ],
)
def test_settling(
    ledger: SqlLedger, claimed: str, make: Any, found: dict[str, str], status: str, ready_at: Any
) -> None:
    """The end of a run gives up the lease and says when the batch should be taken up again."""
    for stage, result in found.items():
        wait = make.wait(claimed, stage) if result == "waiting" else None
        ledger.commit(make.record(claimed, stage, result), 1, wait=wait)
    batch = ledger.settle(claimed, 1, ["a", "b"])
    assert (batch.status, batch.ready_at, batch.lease_owner, batch.lease_until) == (status, ready_at, None, None)
    assert ledger.submission(batch.submission_id).status == status
    assert [event for event in events(ledger, claimed) if event in STATUSES] == ["pending", "running", status]


def test_a_batch_nobody_runs_cannot_be_settled(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """Settling twice, or without a claim, is an illegal transition."""
    ledger.commit(make.record(claimed), 1)
    ledger.settle(claimed, 1, ["chunk"])
    with pytest.raises(IllegalTransition, match="from completed to completed"):
        ledger.settle(claimed, 1, ["chunk"])
    with pytest.raises(BatchHeld, match="is completed; there is nothing left"):
        ledger.claim(claimed, "other", lease_seconds=60)


def test_a_failed_batch_is_not_settled_into_another_status(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """A failed batch leaves that status by a retry only."""
    ledger.commit(make.record(claimed, status="failed"), 1)
    ledger.commit(make.record(claimed), 1)
    with pytest.raises(IllegalTransition, match="from failed to completed; legal moves: cancelled, pending"):
        ledger.settle(claimed, 1, ["chunk"])


def test_a_failed_batch_can_be_retried(ledger: SqlLedger, claimed: str, make: Any, clock: Any) -> None:
    """It is pending and ready; finished stages stay, failed ones go, and the history keeps who asked."""
    done = make.record(claimed, "parse")
    ledger.commit(done, 1)
    ledger.commit(make.record(claimed, status="failed"), 1, dead_letters=[make.letter(claimed, "a")])
    clock.time = 2000
    batch = ledger.reopen(claimed, "ben")
    assert (batch.status, batch.ready_at, batch.generation) == ("pending", 2000, 1)
    assert ledger.results(claimed) == {"parse": done}
    assert len(ledger.dead_letters(claimed[:-5])) == 1
    line = ledger.history(batch.submission_id)[-1]
    assert (line.event, line.reason, line.actor, line.at) == ("pending", "retry", "ben", 2000)
    assert ledger.claim(claimed, "worker", lease_seconds=60).generation == 2


def test_only_failed_batches_are_retried(ledger: SqlLedger, claimed: str) -> None:
    """A running batch may become pending, but not by a retry."""
    with pytest.raises(IllegalTransition, match="cannot go from running to pending by a retry"):
        ledger.reopen(claimed, "ben")
    assert ledger.batch(claimed).status == "running"


@pytest.mark.parametrize("status", ["completed", "failed", "waiting"])
def test_only_a_waiting_record_comes_with_a_wait(ledger: SqlLedger, claimed: str, make: Any, status: str) -> None:
    """A record that waits says what for, the others do not."""
    wait = None if status == "waiting" else make.wait(claimed, "chunk")
    with pytest.raises(LedgerError, match=f"stage 'chunk' of batch {claimed} is {status} and"):
        ledger.commit(make.record(claimed, status=status), 1, wait=wait)
    assert ledger.results(claimed) == {}


def test_what_failed_is_not_run_again_by_settling_it(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """A failed batch stays so though its stage is committed once more: that it runs again, somebody asks for."""
    ledger.commit(make.record(claimed, "chunk", "failed"), 1)
    ledger.commit(make.record(claimed, "chunk"), 1)
    with pytest.raises(IllegalTransition, match="cannot go from failed to pending by its settling"):
        ledger.settle(claimed, 1, ["chunk", "embed"])
    assert ledger.batch(claimed).status == "failed"
    ledger.reopen(claimed, "ana")
    assert ledger.batch(claimed).status == "pending"
