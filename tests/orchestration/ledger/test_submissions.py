"""Opening and finding submissions."""

from __future__ import annotations

from typing import Any

import pytest

from medical_kg.orchestration.contract.errors import IllegalTransition, InputError, LedgerError, RecordNotFound
from medical_kg.orchestration.ledger.contract import Note
from medical_kg.orchestration.ledger.sql import SqlLedger


def complete(ledger: SqlLedger, make: Any, submission_id: str) -> None:
    batch = ledger.claim(f"{submission_id}-0001", "worker", lease_seconds=60)
    ledger.commit(make.record(batch.id), batch.generation)
    ledger.settle(batch.id, batch.generation, ["chunk"])


def test_a_new_submission_comes_with_its_first_batch(ledger: SqlLedger, make: Any) -> None:
    """What was asked for is kept; the first batch is ready at once; the history tells both."""
    new = make.new(overrides={"chunk.max_tokens": 64}, pipeline_text="name: auto")
    submission, made = ledger.open_submission(new)
    assert made
    apart = {"id", "pipeline_text", "told"}
    assert submission.model_dump(include=set(type(new).model_fields) - apart) == new.model_dump(exclude=apart)
    assert (submission.status, submission.sequence, submission.created_at) == ("pending", 1, 1000)
    assert submission.id[0] == "s"
    assert len(bytes.fromhex(submission.id[1:])) == 6
    (batch,) = ledger.ready()
    assert (batch.id, batch.ordinal, batch.cursor, batch.status) == (f"{submission.id}-0001", 1, None, "pending")
    assert (batch.generation, batch.ready_at, batch.lease_owner, batch.parent) == (0, 1000, None, None)
    assert [(line.event, line.batch_id, line.actor, line.at) for line in ledger.history(submission.id)] == [
        ("submitted", None, "ana", 1000),
        ("pending", batch.id, "ana", 1000),
    ]
    assert ledger.history(submission.id)[0].detail == {"pipeline": "name: auto"}


def test_the_same_request_again_finds_the_unfinished_one(ledger: SqlLedger, make: Any) -> None:
    """Equal tenant, pipeline, input and overrides, in whatever order, are one unfinished submission."""
    first, _ = ledger.open_submission(make.new(input={"input": "trials/", "limit": 10}))
    again, made = ledger.open_submission(make.new(input={"limit": 10, "input": "trials/"}, actor="ben"))
    assert not made
    assert again == first
    assert len(ledger.submissions()) == len(ledger.history(first.id)) - 1 == 1


@pytest.mark.parametrize(
    "change",
    [{"tenant": "other"}, {"pipeline": "pubmed"}, {"input": {"input": "x/"}}, {"overrides": {"chunk.max_tokens": 1}}],
)
def test_another_request_is_another_submission(ledger: SqlLedger, make: Any, change: dict[str, Any]) -> None:
    """The same input in two tenants, or under another pipeline or config, gives two submissions."""
    first, _ = ledger.open_submission(make.new())
    second, made = ledger.open_submission(make.new(**change))
    assert made
    assert second.id != first.id
    assert second.sequence == first.sequence + 1


def test_the_same_request_after_the_end_is_a_new_submission(ledger: SqlLedger, make: Any) -> None:
    """A finished submission does not block its like; a failed one is unfinished and does."""
    first, _ = ledger.open_submission(make.new())
    complete(ledger, make, first.id)
    assert ledger.submission(first.id).status == "completed"
    second, made = ledger.open_submission(make.new())
    assert made
    batch = ledger.claim(f"{second.id}-0001", "worker", lease_seconds=60)
    ledger.commit(make.record(batch.id, status="failed", error="no"), batch.generation)
    again, made = ledger.open_submission(make.new())
    assert (again.id, again.status, made) == (second.id, "failed", False)


def test_a_given_id_is_kept_whatever_the_status(ledger: SqlLedger, make: Any) -> None:
    """Who must be idempotent gives an id: it is made once, and found even when finished."""
    first, made = ledger.open_submission(make.new(id="run-1"))
    assert (first.id, made) == ("run-1", True)
    complete(ledger, make, "run-1")
    again, made = ledger.open_submission(make.new(id="run-1"))
    assert (again.id, again.status, made) == ("run-1", "completed", False)


def test_a_given_id_joins_the_unfinished_submission(ledger: SqlLedger, make: Any) -> None:
    """An unknown id does not open a second submission of the same unfinished work."""
    first, _ = ledger.open_submission(make.new())
    assert ledger.open_submission(make.new(id="run-1")) == (first, False)


def test_an_id_of_another_tenant_is_not_given_out(ledger: SqlLedger, make: Any) -> None:
    """One tenant cannot reach another's submission by its id."""
    ledger.open_submission(make.new(id="run-1"))
    with pytest.raises(LedgerError, match="'run-1' cannot be opened: the id is taken"):
        ledger.open_submission(make.new(id="run-1", tenant="other"))


def test_input_must_be_json(ledger: SqlLedger, make: Any) -> None:
    """What cannot be kept is refused before anything is written."""
    for wrong in (object(), float("nan")):
        with pytest.raises(InputError, match="plain JSON"):
            ledger.open_submission(make.new(input={"input": wrong}))
    assert ledger.submissions() == []


def test_input_may_name_a_file_that_is_no_text(ledger: SqlLedger, make: Any) -> None:
    """A path with bytes that are no text is kept, and comes back as it was."""
    submission, _ = ledger.open_submission(make.new(input={"input": "\udcff/é"}))
    assert ledger.submission(submission.id).input == {"input": "\udcff/é"}


def test_a_submission_is_found_by_a_prefix_of_its_id(ledger: SqlLedger, make: Any) -> None:
    """Four characters will do when only one id begins so; an exact id always does."""
    for ident in ("s1abcd", "s1abce", "s1abcdef"):
        ledger.open_submission(make.new(id=ident, input={"input": ident}))
    assert ledger.submission("s1abce").id == "s1abce"
    assert ledger.submission("s1abcd").id == "s1abcd"
    assert ledger.submission("s1abcde").id == "s1abcdef"
    with pytest.raises(RecordNotFound, match=r"no single submission 's1abc' .*did you mean"):
        ledger.submission("s1abc")
    for ident in ("s1a", "s2ab", "S1ABCE", "s1ab%"):
        with pytest.raises(RecordNotFound, match=f"no submission '{ident}'"):
            ledger.submission(ident)


def test_submissions_are_listed_newest_first(ledger: SqlLedger, make: Any) -> None:
    """The list is cut at the limit and can be of one tenant."""
    for number in range(3):
        ledger.open_submission(make.new(id=f"run-{number}", input={"n": number}, tenant="ab"[number % 2]))
    assert [one.id for one in ledger.submissions()] == ["run-2", "run-1", "run-0"]
    assert [one.id for one in ledger.submissions(limit=1)] == ["run-2"]
    assert [one.id for one in ledger.submissions(tenant="a")] == ["run-2", "run-0"]


def test_what_is_not_there_is_said(ledger: SqlLedger, make: Any) -> None:
    """An unknown batch or submission is named."""
    with pytest.raises(RecordNotFound, match="no batch 's1-0001'"):
        ledger.batch("s1-0001")
    with pytest.raises(RecordNotFound, match="no submission 's1'"):
        ledger.cancel("s1", "ana")
    assert not [*ledger.batches("s1"), *ledger.history("s1"), *ledger.dead_letters("s1")]


def test_cancelling_ends_what_is_unfinished(ledger: SqlLedger, make: Any) -> None:
    """Every unfinished batch is cancelled, once; who asked stands in the history."""
    submission, _ = ledger.open_submission(make.new())
    cancelled = ledger.cancel(submission.id, "ben")
    assert cancelled.status == "cancelled"
    assert ledger.ready() == []
    last = ledger.history(submission.id)[-1]
    assert (last.event, last.batch_id, last.actor) == ("cancelled", f"{submission.id}-0001", "ben")
    with pytest.raises(IllegalTransition, match="cannot go from cancelled to cancelled"):
        ledger.cancel(submission.id, "ben")
    assert ledger.open_submission(make.new())[1]


def test_a_cancelled_batch_takes_no_commit(ledger: SqlLedger, make: Any) -> None:
    """A run that is at work on a batch when it is cancelled is refused its next commit; finished batches stay."""
    submission, _ = ledger.open_submission(make.new())
    complete(ledger, make, submission.id)
    submission, _ = ledger.open_submission(make.new())
    batch = ledger.claim(f"{submission.id}-0001", "worker", lease_seconds=60)
    ledger.cancel(submission.id, "ben")
    with pytest.raises(LedgerError, match="is cancelled, no run works on it"):
        ledger.commit(make.record(batch.id), batch.generation)
    assert ledger.results(batch.id) == {}


def test_what_a_pipelines_file_was_is_found_newest_first(ledger: SqlLedger, make: Any) -> None:
    """The texts with which submissions of that file began or went on; those without one, and of other files, aside."""
    first, _ = ledger.open_submission(make.new(pipeline_text="one"))
    ledger.open_submission(make.new(input={"input": "other"}))
    ledger.open_submission(make.new(pipeline_path="else.yaml", input={"input": "else"}, pipeline_text="else"))
    ledger.remark(first.id, Note(event="pipeline changed", reason="edited", detail={"pipeline": "two"}), "ana")
    ledger.remark(first.id, Note(event="seen", reason="looked at"), "ana")
    assert ledger.pipeline_texts("auto.yaml") == ["two", "one"]
    assert ledger.pipeline_texts("auto.yaml", limit=1) == ["two"]
    assert ledger.pipeline_texts("none.yaml") == []
