"""Signals, waits, and who wakes when."""

from __future__ import annotations

from typing import Any

import pytest

from medical_kg.orchestration.contract import Attachment, Clause, Condition, Signal
from medical_kg.orchestration.contract.database import writing
from medical_kg.orchestration.contract.errors import IllegalTransition, RecordNotFound
from medical_kg.orchestration.ledger.contract import NextBatch
from medical_kg.orchestration.ledger.sql import SqlLedger
from medical_kg.orchestration.ledger.tables import BATCHES

READY = Signal(name="ready", value=True, actor="converter", at=990.0)


def asleep(ledger: SqlLedger, make: Any, batch_id: str, **wait: Any) -> None:
    """Let the batch's stage ``gate`` wait."""
    batch = ledger.claim(batch_id, "worker", lease_seconds=60)
    record = make.record(batch_id, "gate", "waiting")
    ledger.commit(record, batch.generation, wait=make.wait(batch_id, **wait))
    ledger.settle(batch_id, batch.generation, ["gate"])


def test_a_signal_is_kept_as_told(ledger: SqlLedger, batch_id: str) -> None:
    """Value, attachments, actor and time come back; the newest of a name counts; the history has each."""
    attachment = Attachment(uri="file:///ir.json", media_type="application/json", sha256="a" * 64, item_id="W1")
    told = [READY, Signal(name="ready", value={"n": [1, None]}, attachments=(attachment,), actor="ben", at=995.0)]
    for signal in [*told, Signal(name="empty", value=None)]:
        ledger.tell(batch_id[:-5], signal)
    assert ledger.signals(batch_id) == {"ready": told[1], "empty": Signal(name="empty", value=None)}
    lines = [line for line in ledger.history(batch_id[:-5]) if line.event == "signal"]
    assert [(line.reason, line.actor, line.at, line.detail["value"]) for line in lines] == [
        ("ready", "converter", 1000, True),
        ("ready", "ben", 1000, {"n": [1, None]}),
        ("empty", "", 1000, None),
    ]


def test_a_batch_hears_its_own_signals_first(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """What is told to a batch overlays what was told to its submission, whichever came first, and only there."""
    ledger.commit(make.record(claimed), 1, next_batch=NextBatch(cursor="100"))
    ledger.tell(claimed[:-5], Signal(name="ready", value=2), batch_id=claimed)
    ledger.tell(claimed[:-5], Signal(name="ready", value=1))
    assert ledger.signals(claimed)["ready"].value == 2
    assert ledger.signals(f"{claimed[:-5]}-0002")["ready"].value == 1


def test_a_signal_wakes_the_batch_that_waits_for_it(ledger: SqlLedger, batch_id: str, make: Any, clock: Any) -> None:
    """Another signal or value leaves it asleep; the right one makes it ready, once."""
    asleep(ledger, make, batch_id)
    clock.time = 1500
    for other in (Signal(name="other"), Signal(name="ready", value=False)):
        ledger.tell(batch_id[:-5], other)
        assert ledger.batch(batch_id).ready_at is None
    ledger.tell(batch_id[:-5], READY)
    assert [(one.id, one.status, one.ready_at) for one in ledger.ready()] == [(batch_id, "waiting", 1500)]
    line = ledger.history(batch_id[:-5])[-1]
    assert (line.event, line.reason, line.actor) == ("woken", "ready equals True", "converter")
    assert (line.batch_id, line.stage) == (batch_id, "gate")
    clock.time = 1600
    ledger.tell(batch_id[:-5], READY)
    assert ledger.batch(batch_id).ready_at == 1500
    assert ledger.history(batch_id[:-5])[-1].event == "signal"


def test_a_signal_to_a_batch_wakes_that_batch(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """A batch-scoped signal is for that batch alone."""
    ledger.commit(make.record(claimed, "gate", "waiting"), 1, wait=make.wait(claimed), next_batch=NextBatch(cursor="9"))
    ledger.settle(claimed, 1, ["gate"])
    second = f"{claimed[:-5]}-0002"
    asleep(ledger, make, second)
    ledger.tell(claimed[:-5], READY, batch_id=second)
    assert [one.id for one in ledger.ready()] == [second]


def test_a_signal_told_while_running_is_seen_when_settling(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """A condition that came to hold between the look and the end of the run is not missed."""
    ledger.commit(make.record(claimed, "gate", "waiting"), 1, wait=make.wait(claimed, deadline_at=9000.0))
    ledger.tell(claimed[:-5], READY)
    assert ledger.batch(claimed).ready_at == 1060
    assert ledger.settle(claimed, 1, ["gate"]).ready_at == 1000


@pytest.mark.parametrize(("deadlines", "ready_at"), [((3000.0, 2000.0), 2000), ((None, 2000.0), 2000), ((50.0,), 1000)])
def test_the_nearest_deadline_wakes(
    ledger: SqlLedger, claimed: str, make: Any, deadlines: tuple[float | None, ...], ready_at: float
) -> None:
    """A waiting batch is ready at its nearest deadline, at once when that has passed."""
    stages = [f"gate-{number}" for number in range(len(deadlines))]
    for stage, deadline in zip(stages, deadlines, strict=True):
        wait = make.wait(claimed, stage, deadline_at=deadline)
        ledger.commit(make.record(claimed, stage, "waiting"), 1, wait=wait)
    assert ledger.settle(claimed, 1, stages).ready_at == ready_at


def test_a_wait_stays_as_it_first_was(ledger: SqlLedger, batch_id: str, make: Any, clock: Any) -> None:
    """Its beginning and baseline stay, however often the stage waits; what it waits for is the newest word."""
    asleep(ledger, make, batch_id, deadline_at=1900.0, baseline={"version": 1})
    first = make.wait(batch_id, deadline_at=1900.0, baseline={"version": 1})
    assert ledger.wait(batch_id, "gate") == first
    clock.time = 1500
    other = {"field": "other", "on_timeout": "continue", "deadline_at": 2400.0}
    asleep(ledger, make, batch_id, **other, first_waited_at=1500.0, baseline={"version": 2})
    edited = make.wait(batch_id, **other, baseline={"version": 1})
    assert ledger.wait(batch_id, "gate") == edited
    assert ledger.batch(batch_id).ready_at == 2400
    batch = ledger.claim(batch_id, "worker", lease_seconds=60)
    ledger.commit(make.record(batch_id, "gate"), batch.generation)
    assert ledger.wait(batch_id, "gate") == edited
    ledger.settle(batch_id, batch.generation, ["gate"])
    assert ledger.wait(batch_id, "gate") is None


def test_changed_compares_with_the_baseline(ledger: SqlLedger, batch_id: str, make: Any) -> None:
    """A signal told again with the value it had at the first wait wakes nobody; another value does."""
    changed = Condition(clauses=(Clause(field="version", operator="changed"),))
    ledger.tell(batch_id[:-5], Signal(name="version", value=1))
    asleep(ledger, make, batch_id, condition=changed, baseline={"version": 1})
    ledger.tell(batch_id[:-5], Signal(name="version", value=1))
    assert ledger.ready() == []
    ledger.tell(batch_id[:-5], Signal(name="version", value=2))
    assert [one.id for one in ledger.ready()] == [batch_id]


def test_a_stage_that_went_on_wakes_nobody(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """Of two waiting stages one may go on; its old wait counts no more."""
    for stage, field in (("gate", "ready"), ("late", "other")):
        ledger.commit(make.record(claimed, stage, "waiting"), 1, wait=make.wait(claimed, stage, field))
    ledger.commit(make.record(claimed, "gate"), 1)
    ledger.tell(claimed[:-5], READY)
    assert ledger.settle(claimed, 1, ["gate", "late"]).ready_at is None
    ledger.tell(claimed[:-5], READY)
    assert ledger.ready() == []
    ledger.tell(claimed[:-5], Signal(name="other"))
    assert [one.id for one in ledger.ready()] == [claimed]


def test_a_retry_waits_its_full_time_again(ledger: SqlLedger, batch_id: str, make: Any, clock: Any) -> None:
    """A stage that failed at its deadline does not fail at once when retried; its baseline stays."""
    asleep(ledger, make, batch_id, deadline_at=1900.0, baseline={"version": 1})
    clock.time = 1900
    batch = ledger.claim(batch_id, "worker", lease_seconds=60)
    ledger.commit(make.record(batch_id, "gate", "failed", error="timed out"), batch.generation)
    clock.time = 5000
    ledger.reopen(batch_id, "ana")
    again = make.wait(batch_id, first_waited_at=5000.0, deadline_at=5900.0, baseline={"version": 1})
    assert ledger.wait(batch_id, "gate") == again


def test_a_retry_leaves_other_deadlines_alone(ledger: SqlLedger, claimed: str, make: Any, clock: Any) -> None:
    """Only the stages that failed begin to wait anew."""
    ledger.commit(make.record(claimed, "gate", "waiting"), 1, wait=make.wait(claimed, deadline_at=1900.0))
    ledger.commit(make.record(claimed, status="failed"), 1)
    clock.time = 1500
    ledger.reopen(claimed, "ana")
    assert ledger.wait(claimed, "gate") == make.wait(claimed, deadline_at=1900.0)


def test_a_finished_submission_takes_no_signal(ledger: SqlLedger, batch_id: str) -> None:
    """Nobody is left to hear it, and the teller should know."""
    ledger.cancel(batch_id[:-5], "ana")
    with pytest.raises(IllegalTransition, match="cannot go from cancelled to told a signal"):
        ledger.tell(batch_id[:-5], READY)


def test_a_signal_must_have_somebody_to_hear_it(ledger: SqlLedger, batch_id: str, make: Any) -> None:
    """An unknown submission or batch, or a batch of another submission, is named."""
    other, _ = ledger.open_submission(make.new(tenant="other"))
    with pytest.raises(RecordNotFound, match="no submission 's0'"):
        ledger.tell("s0", READY)
    with pytest.raises(RecordNotFound, match="no batch 'x'"):
        ledger.tell(batch_id[:-5], READY, batch_id="x")
    with pytest.raises(RecordNotFound, match=f"no batch of submission {other.id} '{batch_id}' .*{other.id}-0001"):
        ledger.tell(other.id, READY, batch_id=batch_id)
    assert ledger.signals(batch_id) == {}


def test_a_pipeline_is_told_as_a_whole(ledger: SqlLedger, make: Any) -> None:
    """Every unfinished submission of the pipeline in the tenant hears it, no other."""
    changes: list[dict[str, Any]] = [{}, {"input": {"n": 1}}, {"tenant": "b"}, {"pipeline": "x"}, {"input": {"n": 2}}]
    for number, change in enumerate(changes):
        ledger.open_submission(make.new(id=f"run-{number}", **change))
    ledger.cancel("run-4", "ana")
    asleep(ledger, make, "run-1-0001")
    assert ledger.tell_pipeline("clinic", "auto", READY) == 2
    assert [bool(ledger.signals(f"run-{number}-0001")) for number in range(5)] == [True, True, False, False, False]
    assert "run-1-0001" in [one.id for one in ledger.ready() if one.status == "waiting"]
    assert ledger.tell_pipeline("nobody", "auto", READY) == 0


def test_a_submission_is_opened_with_a_signal(ledger: SqlLedger, make: Any) -> None:
    """In one transaction, once: finding it again tells nothing again."""
    new = make.new(input={"submission": "s1"}).model_copy(update={"told": READY, "id": "s00000000aaaa"})
    opened, made = ledger.open_submission(new)
    again, made_again = ledger.open_submission(new)
    assert (made, made_again, again.id) == (True, False, opened.id)
    assert ledger.told(opened.id) == [(None, READY)]
    assert [line.event for line in ledger.history(opened.id)].count("signal") == 1
    assert [one.id for one in ledger.started_by("s1")] == [opened.id]
    assert ledger.started_by(opened.id) == []


def test_a_completed_submission_takes_a_late_signal(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """For a replay; without ``late``, and of a cancelled one, it is refused."""
    submission = claimed[:-5]
    ledger.commit(make.record(claimed), 1)
    ledger.settle(claimed, 1, [make.record(claimed).stage])
    with pytest.raises(IllegalTransition):
        ledger.tell(submission, READY)
    ledger.tell(submission, READY, batch_id=claimed, late=True)
    assert ledger.signals(claimed) == {"ready": READY}
    other, _ = ledger.open_submission(make.new(tenant="other"))
    ledger.cancel(other.id, "ana")
    with pytest.raises(IllegalTransition):
        ledger.tell(other.id, READY, late=True)


def test_a_replay_hears_what_its_parent_heard(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """Its own word comes first, then its parent's, then the submission's."""
    ledger.commit(make.record(claimed), 1, next_batch=NextBatch(cursor="100"))
    second = f"{claimed[:-5]}-0002"
    for value, batch in ((1, None), (2, claimed)):
        ledger.tell(claimed[:-5], Signal(name="ready", value=value), batch_id=batch)
    assert ledger.signals(second)["ready"].value == 1
    with writing(ledger._engine) as connection:
        connection.execute(BATCHES.update().where(BATCHES.c.id == second).values(parent=claimed))
    assert ledger.signals(second)["ready"].value == 2
    ledger.tell(claimed[:-5], Signal(name="ready", value=3), batch_id=second)
    assert ledger.signals(second)["ready"].value == 3


def test_attachments_add_up(ledger: SqlLedger, batch_id: str) -> None:
    """Per hearer: an item's newer file of one media type takes the place of the older; what others have stays."""

    def told(*files: tuple[str, str | None, str], batch: str | None = batch_id, value: Any = True) -> set[str]:
        sent = tuple(Attachment(uri=uri, item_id=item, media_type=type_) for uri, item, type_ in files)
        ledger.tell(batch_id[:-5], Signal(name="ready", value=value, attachments=sent), batch_id=batch)
        return {one.uri for one in ledger.signals(batch_id)["ready"].attachments}

    assert told(("x:1", "W1", "a/a"), ("x:2", "W1", "a/a"), ("x:3", "W2", "a/a"), ("x:4", None, "a/a")) == {
        f"x:{number}" for number in (1, 2, 3, 4)
    }
    assert told(("x:5", "W1", "a/a"), ("x:6", "W2", "b/b"), value=2) == {"x:3", "x:4", "x:5", "x:6"}
    assert told(("x:7", "W1", "a/a"), batch=None) == {"x:3", "x:4", "x:5", "x:6"}
    assert told(value=3) == {"x:3", "x:4", "x:5", "x:6"}
    assert ledger.signals(batch_id)["ready"].value == 3
