"""Running one stage of one batch: reuse, commit, isolation, waiting, retries."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support import (
    LOWER,
    UPPER,
    WORDS,
    Config,
    Feed,
    Shout,
    Word,
    diamond,
    open_run,
    plan,
    planned,
    words,
)

from medical_kg import TransientError
from medical_kg.orchestration.contract import NamedCondition, Stage, StageMetadata, Waiting
from medical_kg.orchestration.contract.conditions import Clause, Condition
from medical_kg.orchestration.contract.context import Signal
from medical_kg.orchestration.contract.errors import ContractError, LedgerError, StaleGeneration, WaitTimedOut
from medical_kg.orchestration.execution import BatchRun, Outcome, execute_stage, fingerprint
from medical_kg.orchestration.resilience import Backoff, Policy
from medical_kg.orchestration.telemetry.events import (
    CallOverran,
    CallRetried,
    Event,
    ItemDeadLettered,
    StageCompleted,
    StageFailed,
    StagePaused,
    StageReused,
)
from medical_kg.testing import FakeClock

OPEN = Condition(clauses=(Clause(field="open", value=True),))


def batch_stage(work: Any, **more: Any) -> type[Stage[Config]]:
    """A batch stage type whose run is ``work(self, ctx, **reads)``."""
    metadata = StageMetadata(
        **{"stage_type": "made", "version": "1", "description": "Made.", "config_model": Config, **more}
    )
    return type("Made", (Stage,), {"metadata": metadata, "run": work})


def gate(deadline: float | None = None, on_timeout: str = "fail", **more: Any) -> type[Stage[Config]]:
    """A stage that waits for the signal ``open`` and, told to go on without it, passes."""

    def run(self: Any, ctx: Any) -> Waiting | None:
        if ctx.timed_out and not more.get("stubborn"):
            return None
        values = ctx.service("signals")
        wait = None if deadline is None else timedelta(seconds=deadline)
        return None if OPEN.holds(values) else Waiting(OPEN, wait, on_timeout)  # type: ignore[arg-type]

    return batch_stage(run, needs=("signals",))


def gated(folder: Path, stage: type[Stage[Config]], **more: Any) -> BatchRun:
    """A run of one waiting stage, which sees the ledger's signals as plain values."""
    run = open_run(folder, plan(planned(stage)), **more)
    run.services = lambda run, _: {"signals": {n: s.value for n, s in run.ledger.signals(run.batch.id).items()}}
    return run


def again(run: BatchRun) -> None:
    """Settle the batch and claim it once more, as the next run would."""
    run.ledger.settle(run.batch.id, run.batch.generation, [stage.name for stage in run.plan.stages])
    run.batch = run.ledger.claim(run.batch.id, "tester", lease_seconds=60)


def all_of(run: BatchRun) -> list[Outcome]:
    return [execute_stage(run, stage.name) for stage in run.plan.stages]


def test_the_same_counts_reach_record_and_event(tmp_path: Path) -> None:
    """A counter's figures are in the ledger's record and in the event (scenario 3)."""
    heard: list[Event] = []
    run = open_run(tmp_path, diamond(), heard=heard)
    outcomes = all_of(run)
    completed = {event.stage: event.counts for event in heard if isinstance(event, StageCompleted)}
    records = run.ledger.results(run.batch.id)
    assert completed["tally"] == records["tally"].counts == {"tallied": 4.0}
    assert [outcome.status for outcome in outcomes] == ["completed"] * 4
    assert records["tally"].origin == {"distribution": "tests", "version": "0", "object": "support:Tally"}


def test_a_finished_stage_is_reused_while_its_fingerprint_fits(tmp_path: Path) -> None:
    """In a second run of the batch every stage is reused, and each says so once."""
    heard: list[Event] = []
    run = open_run(tmp_path, diamond(), heard=heard)
    all_of(run)
    heard.clear()
    run.values.clear()
    assert [outcome.status for outcome in all_of(run)] == ["reused"] * 4
    assert [type(event) for event in heard] == [StageReused] * 4
    events = [(entry.stage, entry.event) for entry in run.ledger.history(run.submission.id)]
    assert events.count(("shout", "stage reused")) == 1


def test_a_changed_config_runs_the_stage_and_what_follows_again(tmp_path: Path) -> None:
    """A stage whose config changed runs again; what depends on it too where its output changed, others are reused."""
    run = open_run(tmp_path, diamond())
    all_of(run)
    run.plan = diamond(shout={"bad": ("w0",)})
    assert [outcome.status for outcome in all_of(run)] == ["reused", "completed", "reused", "completed"]


def test_equal_output_of_a_changed_stage_spares_what_follows(tmp_path: Path) -> None:
    """Inputs count by content: where a re-run gives the same output, later stages are reused."""
    run = open_run(tmp_path, diamond())
    all_of(run)
    run.plan = diamond(shout={"bad": ("nobody",)})
    assert [outcome.status for outcome in all_of(run)] == ["reused", "completed", "reused", "reused"]


def test_what_a_stream_gave_a_batch_is_fixed(tmp_path: Path) -> None:
    """A stream stage is not pulled again for a batch it has fed, whatever its config now says."""
    run = open_run(tmp_path, diamond())
    all_of(run)
    run.plan = diamond(feed={"number": 50})
    assert all_of(run)[0].status == "reused"


def test_a_lost_checkpoint_is_made_again(tmp_path: Path) -> None:
    """A stage whose stored output is gone runs again."""
    run = open_run(tmp_path, diamond())
    outcome = all_of(run)[1]
    assert outcome.record is not None
    ref = outcome.record.outputs["upper"]
    next((tmp_path / "checkpoints").rglob(f"{ref.digest}*")).unlink()
    run.values.clear()
    assert execute_stage(run, "shout").status == "completed"
    assert run.checkpoints.has(ref.digest, ref.suffix)


def test_the_next_batch_opens_with_the_commit_of_a_page(tmp_path: Path) -> None:
    """Committing a page with a cursor opens the next batch there; the last page opens none."""
    run = open_run(tmp_path, diamond())
    execute_stage(run, "feed")
    first, second = run.ledger.batches(run.submission.id)
    assert (first.cursor, second.cursor, second.status) == (None, "2", "pending")
    run.batch = run.ledger.claim(second.id, "tester", lease_seconds=60)
    outcome = execute_stage(run, "feed")
    assert outcome.record is not None
    assert outcome.record.counts == {"words": 1.0}
    assert len(run.ledger.batches(run.submission.id)) == 2


def test_dead_letters_are_kept_and_told(tmp_path: Path) -> None:
    """A failed item is in the ledger with stage, id, root and reason, counted in the record, and told once."""
    heard: list[Event] = []
    run = open_run(tmp_path, diamond(shout={"bad": ("w1",)}), heard=heard)
    all_of(run)
    (letter,) = run.ledger.dead_letters(run.submission.id)
    assert (letter.stage, letter.item_id, letter.root, letter.error) == ("shout", "w1", "w1", "ValueError")
    assert run.ledger.results(run.batch.id)["shout"].dead_letters == 1
    assert [event.item_id for event in heard if isinstance(event, ItemDeadLettered)] == ["w1"]


def test_a_record_that_cannot_be_stored_becomes_a_dead_letter(tmp_path: Path) -> None:
    """In item mode an output that its codec refuses costs that record only."""

    class Odd(Shout):
        def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
            text: Any = object() if item.id == "w1" else item.text
            return Word.model_construct(id=item.id, root=item.root, text=text)

    run = open_run(tmp_path, plan(planned(Feed), planned(Odd, ["feed"], bindings={WORDS: ("feed",)})))
    all_of(run)
    assert [letter.item_id for letter in run.ledger.dead_letters(run.submission.id)] == ["w1"]
    record = run.ledger.results(run.batch.id)["shout"]
    assert record.counts == {"upper": 1.0}
    assert record.outputs["upper"].items == 1


def test_a_batch_output_that_cannot_be_stored_fails_its_stage(tmp_path: Path) -> None:
    """In batch mode an output that its codec refuses is a contract error naming the key."""
    stage = batch_stage(lambda self, ctx: [Word.model_construct(id=1, root=[])], writes=(UPPER,))
    outcome = execute_stage(open_run(tmp_path, plan(planned(stage))), "made")
    assert isinstance(outcome.error, ContractError)
    assert outcome.error.key == "upper"


def test_a_failing_stage_fails_its_batch_and_what_follows_is_skipped(tmp_path: Path) -> None:
    """A stage that raises is recorded as failed with its error, its batch too, and its dependents are not run."""

    def broken(self: Any, ctx: Any, **reads: Any) -> None:
        raise RuntimeError("no space on the moon")

    heard: list[Event] = []
    stage = batch_stage(broken, reads=(WORDS,), writes=(UPPER,))
    after = planned(Shout, ["made"], name="after", bindings={WORDS: ("feed",)})
    run = open_run(
        tmp_path, plan(planned(Feed), planned(stage, ["feed"], bindings={WORDS: ("feed",)}), after), heard=heard
    )
    assert [outcome.status for outcome in all_of(run)] == ["completed", "failed", "skipped"]
    assert run.ledger.batch(run.batch.id).status == "failed"
    assert run.ledger.results(run.batch.id)["made"].error == "RuntimeError: no space on the moon"
    assert [event.error for event in heard if isinstance(event, StageFailed)] == ["RuntimeError: no space on the moon"]


def test_a_broken_contract_changes_no_state(tmp_path: Path) -> None:
    """A stage that writes an undeclared key fails, and no output of it is recorded (scenario 12)."""
    stage = batch_stage(lambda self, ctx: {"upper": [], "lower": [], "sneaky": 1}, writes=(UPPER, LOWER))
    run = open_run(tmp_path, plan(planned(stage)))
    outcome = execute_stage(run, "made")
    record = run.ledger.results(run.batch.id)["made"]
    assert "'sneaky'" in str(outcome.error)
    assert record.outputs == {}
    assert "'sneaky'" in str(record.error)


def test_a_stale_run_may_not_commit(tmp_path: Path) -> None:
    """When another run has taken the batch over, a commit of the first is refused and changes nothing."""
    run = open_run(tmp_path, diamond())
    run.ledger.claim(run.batch.id, "thief", lease_seconds=60, dead_owner="tester")
    with pytest.raises(StaleGeneration):
        execute_stage(run, "feed")
    assert run.ledger.results(run.batch.id) == {}


def test_parallel_writers_of_an_appending_key_are_joined_in_plan_order(tmp_path: Path) -> None:
    """A read bound to several writers of an append key gets their records one after the other."""
    many = words("many", merge="append")

    def writer(ident: str) -> type[Stage[Config]]:
        return batch_stage(lambda self, ctx: [Word(id=ident, root=ident)], stage_type=f"w-{ident}", writes=(many,))

    def join(self: Any, ctx: Any, many: list[Word]) -> list[Word]:
        return many

    reader = batch_stage(join, reads=(many,), writes=(UPPER,))
    run = open_run(
        tmp_path,
        plan(
            planned(writer("a")), planned(writer("b")), planned(reader, ["w-a", "w-b"], bindings={many: ("w-a", "w-b")})
        ),
    )
    all_of(run)
    ref = run.ledger.results(run.batch.id)["made"].outputs["upper"]
    assert UPPER.codec is not None
    assert [word.id for word in UPPER.codec.decode(run.checkpoints.get(ref.digest, ref.suffix))] == ["a", "b"]


def test_an_optional_read_that_nothing_writes_is_none(tmp_path: Path) -> None:
    """A stage gets None for an optional read without a writer."""
    seen: list[Any] = []

    def run(self: Any, ctx: Any, upper: Any) -> None:
        seen.append(upper)

    from medical_kg.orchestration.contract import optional

    stage = batch_stage(run, reads=(optional(UPPER),))
    execute_stage(open_run(tmp_path, plan(planned(stage, bindings={UPPER: ()}))), "made")
    assert seen == [None]


def test_a_reader_may_change_its_list_without_harm(tmp_path: Path) -> None:
    """Each reader has a list of its own, so emptying it does not starve the next."""

    class Greedy(Shout):
        def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
            return item

    def eat(self: Any, ctx: Any, words: list[Word]) -> None:
        words.clear()

    eater = batch_stage(eat, reads=(WORDS,))
    run = open_run(
        tmp_path,
        plan(
            planned(Feed),
            planned(eater, ["feed"], bindings={WORDS: ("feed",)}),
            planned(Greedy, ["feed"], bindings={WORDS: ("feed",)}),
        ),
    )
    all_of(run)
    assert run.ledger.results(run.batch.id)["shout"].counts == {"upper": 2.0}


def test_what_may_pass_is_retried_and_counted(tmp_path: Path) -> None:
    """Two transient failures under three attempts end in success, with two retries on record (scenario 14)."""
    tries: list[int] = []

    def flaky(self: Any, ctx: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise TransientError("busy")

    heard: list[Event] = []
    policy = Policy(max_attempts=3, backoff=Backoff(initial=1, maximum=30))
    clock = FakeClock()
    run = open_run(tmp_path, plan(planned(batch_stage(flaky), policy=policy)), heard=heard, clock=clock)
    assert execute_stage(run, "made").status == "completed"
    retried = [event for event in heard if isinstance(event, CallRetried)]
    assert [event.attempt for event in retried] == [1, 2]
    assert clock.slept == [event.delay for event in retried] == [0.75, 1.5]
    assert run.ledger.results(run.batch.id)["made"].retries == 2
    events = [entry.event for entry in run.ledger.history(run.submission.id) if entry.stage == "made"]
    assert events == ["retrying", "retrying", "stage completed"]


def test_retries_of_a_stage_that_fails_in_the_end_are_on_record(tmp_path: Path) -> None:
    """When the last attempt fails too, the history has the retries and the failure."""

    def down(self: Any, ctx: Any) -> None:
        raise TransientError("down")

    policy = Policy(max_attempts=2, backoff=Backoff(strategy="none"))
    run = open_run(tmp_path, plan(planned(batch_stage(down), policy=policy)))
    assert execute_stage(run, "made").status == "failed"
    events = [entry.event for entry in run.ledger.history(run.submission.id) if entry.stage == "made"]
    assert events == ["retrying", "stage failed"]


def test_a_late_result_is_kept_and_told(tmp_path: Path) -> None:
    """A call that finishes after its timeout_seconds counts, and an event says so."""
    clock, heard = FakeClock(), list[Event]()
    stage = batch_stage(lambda self, ctx: clock.advance(5))
    run = open_run(tmp_path, plan(planned(stage, policy=Policy(timeout_seconds=2))), clock=clock, heard=heard)
    assert execute_stage(run, "made").status == "completed"
    assert [event.calls for event in heard if isinstance(event, CallOverran)] == [1]


def test_a_waiting_stage_emits_nothing_and_passes_when_told(tmp_path: Path) -> None:
    """A stage that waits is recorded as waiting with its condition; once the signal is there it passes and is reused."""
    heard: list[Event] = []
    run = gated(tmp_path, gate(), heard=heard)
    assert execute_stage(run, "made").status == "waiting"
    assert run.ledger.results(run.batch.id)["made"].outputs == {}
    assert [event.condition for event in heard if isinstance(event, StagePaused)] == ["open equals True"]
    again(run)
    run.ledger.tell(run.submission.id, Signal(name="open", value=True, actor="tester", at=run.clock.now()))
    assert execute_stage(run, "made").status == "completed"
    assert execute_stage(run, "made").status == "reused"


def test_the_deadline_counts_from_the_first_wait(tmp_path: Path) -> None:
    """Waiting again does not move the deadline; past it, the stage fails with WaitTimedOut."""
    clock = FakeClock()
    run = gated(tmp_path, gate(deadline=60), clock=clock)
    execute_stage(run, "made")
    first = run.ledger.wait(run.batch.id, "made")
    clock.advance(50)
    again(run)
    execute_stage(run, "made")
    assert run.ledger.wait(run.batch.id, "made") == first
    clock.advance(10)
    again(run)
    outcome = execute_stage(run, "made")
    assert isinstance(outcome.error, WaitTimedOut)
    assert "open equals True" in str(outcome.error)


def test_a_stage_told_to_continue_is_called_once_more(tmp_path: Path) -> None:
    """With on_timeout continue the stage is called with ctx.timed_out set and may pass."""
    clock = FakeClock()
    run = gated(tmp_path, gate(deadline=60, on_timeout="continue"), clock=clock)
    execute_stage(run, "made")
    clock.advance(61)
    again(run)
    assert execute_stage(run, "made").status == "completed"


def test_a_stage_that_goes_on_waiting_past_its_deadline_fails(tmp_path: Path) -> None:
    """Told to continue, a stage that waits all the same fails: it would never end."""
    clock = FakeClock()
    run = gated(tmp_path, gate(deadline=60, on_timeout="continue", stubborn=True), clock=clock)
    execute_stage(run, "made")
    clock.advance(61)
    again(run)
    assert isinstance(execute_stage(run, "made").error, WaitTimedOut)


def test_the_fingerprint_hangs_on_what_decides_the_output() -> None:
    """Type, version, config, named conditions and input digests change the fingerprint; a stage's name does not."""
    base = planned(Shout)
    condition = NamedCondition(name="open", condition=OPEN)
    newer = type("Shout", (Shout,), {"metadata": _newer(Shout.metadata)})
    others = [
        fingerprint(planned(Feed), {}),
        fingerprint(planned(newer), {}),
        fingerprint(planned(Shout, config={"number": 4}), {}),
        fingerprint(planned(Shout, conditions={"open": condition}), {}),
        fingerprint(base, {"words": ["a"]}),
        fingerprint(base, {"words": ["a", "b"]}),
    ]
    assert len({fingerprint(base, {}), *others}) == 7
    assert fingerprint(planned(Shout, name="other"), {}) == fingerprint(base, {})


def _newer(metadata: StageMetadata) -> StageMetadata:
    return StageMetadata(
        stage_type=metadata.stage_type,
        version="2.0",
        description=metadata.description,
        reads=metadata.reads,
        writes=metadata.writes,
        mode=metadata.mode,
        config_model=metadata.config_model,
    )


class Odd(BaseException):
    """What is no Exception."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    "error", [SystemExit("x"), KeyboardInterrupt("x"), GeneratorExit("x"), Odd(), LedgerError("x")]
)
def test_whatever_a_stage_raises_fails_it_alone(tmp_path: Path, error: BaseException) -> None:
    """What is no Exception, what cannot be told and what looks like the ledger's own is committed as its failure."""

    def work(self: Any, ctx: Any) -> None:
        raise error

    run = open_run(tmp_path, plan(planned(batch_stage(work)), planned(Feed)))
    outcomes = all_of(run)
    assert [outcome.status for outcome in outcomes] == ["failed", "completed"]
    told = run.ledger.results(run.batch.id)["made"].error
    assert told is not None
    assert told.startswith(f"{type(error).__name__}: ")


@pytest.mark.parametrize("swallowed", [False, True])
def test_ctrl_c_in_a_stage_ends_the_run(tmp_path: Path, *, swallowed: bool) -> None:
    """A real signal is no stage's failure, and is heard even if the stage swallows it."""

    def work(self: Any, ctx: Any) -> None:
        with suppress(BaseException if swallowed else ValueError):
            signal.raise_signal(signal.SIGINT)

    run = open_run(tmp_path, plan(planned(batch_stage(work))))
    with pytest.raises(KeyboardInterrupt):
        all_of(run)
    assert "failed" not in {record.status for record in run.ledger.results(run.batch.id).values()}


def test_what_another_handler_of_a_signal_raises_ends_the_run(tmp_path: Path) -> None:
    """Dagster makes an error of its own of Ctrl-C, which is no Exception either."""

    def handler(*_: object) -> None:
        raise Odd

    def work(self: Any, ctx: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    former = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(Odd):
            all_of(open_run(tmp_path, plan(planned(batch_stage(work)))))
    finally:
        signal.signal(signal.SIGINT, former)


def test_dead_letters_of_one_id_are_all_kept(tmp_path: Path) -> None:
    """The ledger has as many dead letters as the stage's record says, each under an id of its own."""
    key = words("words")
    same = type(key)(key.name, key.type, id=lambda _: "same", root="root")

    class Same(Shout):
        metadata = replace(Shout.metadata, reads=(same,))

        def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
            raise ValueError(item.id)

    run = open_run(tmp_path, plan(planned(Feed), planned(Same, ["feed"], bindings={WORDS: ("feed",)})))
    all_of(run)
    letters = run.ledger.dead_letters(run.submission.id)
    assert [(letter.item_id, letter.message) for letter in letters] == [("same", "w0"), ("same#2", "w1")]
    assert run.ledger.results(run.batch.id)["shout"].dead_letters == 2


def test_what_a_stage_changes_of_the_process_is_put_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The next stage finds the folder as it was, and the log says who changed it."""
    where = Path.cwd()

    def work(self: Any, ctx: Any) -> None:
        os.chdir(tmp_path)

    all_of(open_run(tmp_path, plan(planned(batch_stage(work)))))
    assert Path.cwd() == where
    assert "stage 'made' of type 'made' changed the working directory: put back" in caplog.text
