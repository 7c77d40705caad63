"""Stages under circuit breakers and rate limits: what is put off, until when, what is kept meanwhile, and what is told."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import UPPER, WORDS, Config, Feed, Word, open_run, plan, planned

from medical_kg import ItemRejected, TransientError
from medical_kg.orchestration.contract import Page, Stage, StageMetadata
from medical_kg.orchestration.contract.turns import Turns
from medical_kg.orchestration.execution import BatchRun, Outcome, execute_stage
from medical_kg.orchestration.ledger.contract import Calls
from medical_kg.orchestration.resilience import Backoff, CircuitBreaker, Policy, RateLimit
from medical_kg.orchestration.telemetry.events import CircuitChanged, Event, StageCompleted, StageFailed, StagePutOff
from medical_kg.testing import FakeClock

STILL = Backoff(strategy="none", initial=0, maximum=0)
BREAKER = CircuitBreaker(failure_threshold=2, recovery_timeout=30)
POLICY = Policy(max_attempts=3, backoff=STILL, circuit_breaker=BREAKER)
DAY = 86_400.0


class Errors:
    """What a stage type raises, call by call; ``None`` for a call that works. ``made`` are the calls."""

    def __init__(self, *errors: BaseException | None) -> None:
        self.left, self.made = list(errors), 0

    def next(self) -> None:
        self.made += 1
        if self.left and (error := self.left.pop(0)) is not None:
            raise error


def down(number: int) -> list[BaseException | None]:
    return [TransientError("down") for _ in range(number)]


def source(errors: Errors) -> type[Stage[Config]]:
    """A stream stage of two words."""

    class Source(Feed):
        def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
            errors.next()
            return super().pull(ctx, cursor, limit)

    return Source


class Fetcher(Stage[Config]):
    """Fetches each word from the host that its root names; ``asked`` is what it fetched, by way of its service or not."""

    metadata = StageMetadata(
        stage_type="fetch",
        version="1",
        description="Fetches.",
        reads=(WORDS,),
        writes=(UPPER,),
        mode="item",
        config_model=Config,
        needs=("http",),
    )

    def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
        ctx.http.get(f"{item.text}/{item.id}")
        ctx.check_timeout()
        return item


class Groups(Fetcher):
    """The same in groups of three."""

    metadata = replace(Fetcher.metadata, items_per_call=3)

    def process_many(self, ctx: Any, items: Sequence[Word], **reads: Any) -> list[Word]:
        return [self.process(ctx, item) for item in items]


class Net:
    """A service ``http`` that asks in turn: ``down`` are the hosts that fail, ``absent`` the words that are not there."""

    def __init__(self, *failing: str, absent: Sequence[str] = ()) -> None:
        self.failing, self.absent = set(failing), absent
        self.asked: list[str] = []

    def under(self, turns: Turns) -> Any:
        net = self

        class Http:
            def get(self, url: str) -> None:
                host, _, word = url.partition("/")
                turn, error = turns.take(host), None
                net.asked.append(word)
                if host in net.failing:
                    error = TransientError("down")
                elif word in net.absent:
                    error = ItemRejected("404")
                turn.over(error)
                if error:
                    raise error

        return Http()


def hosts_of(*hosts: str) -> type[Stage[Config]]:
    """A stream stage of one word for each host named, w0, w1 …."""

    class Source(Feed):
        def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
            return Page([Word(id=f"w{n}", root=f"w{n}", text=host) for n, host in enumerate(hosts)], None)

    return Source


def fetching(
    folder: Path, net: Net, hosts: Sequence[str], stage: type[Stage[Config]] = Fetcher, **more: Any
) -> BatchRun:
    """A run in which the words are there and have to be fetched."""
    made = plan(
        planned(hosts_of(*hosts)),
        planned(stage, ["feed"], bindings={WORDS: ("feed",)}, policy=more.pop("policy", POLICY), policy_name="polite"),
        batch_size=len(hosts),
    )
    run = open_run(folder, made, **more)
    run.services = lambda _, one: {"http": net} if "http" in one.type.metadata.needs else {}
    assert execute_stage(run, "feed").status == "completed"
    return run


def again(run: BatchRun, names: Sequence[str], name: str) -> Outcome:
    """Settle the batch, let the time pass until it is ready, claim it as the next run would, and run the stage."""
    settled = run.ledger.settle(run.batch.id, run.batch.generation, names)
    assert (settled.status, settled.lease_owner) == ("pending", None)
    assert settled.ready_at is not None
    clock: Any = run.clock
    assert run.ledger.ready() == []
    clock.advance(settled.ready_at - clock.now())
    assert [batch.id for batch in run.ledger.ready()] == [run.batch.id]
    run.batch = run.ledger.claim(run.batch.id, "next", lease_seconds=60)
    return execute_stage(run, name)


def streaming(folder: Path, errors: Errors, policy: Policy = POLICY, **more: Any) -> BatchRun:
    return open_run(folder, plan(planned(source(errors), config={"number": 2}, policy=policy)), **more)


def test_an_open_breaker_puts_the_batch_off(tmp_path: Path) -> None:
    """No attempt is burned on it and nothing fails: the batch is pending, and ready when the breaker lets a trial through."""
    errors, heard, clock = Errors(*down(2)), list[Event](), FakeClock()
    run = streaming(tmp_path, errors, clock=clock, heard=heard)
    outcome = execute_stage(run, "feed")
    assert (outcome.status, outcome.emitted, errors.made) == ("postponed", False, 2)
    assert outcome.record is not None
    assert outcome.record.calls == Calls(
        attempts=2, refused=1, put_offs=1, put_off_since=clock.now(), again_at=clock.now() + 30
    )
    [put_off] = [event for event in heard if isinstance(event, StagePutOff)]
    assert (put_off.until, put_off.attempts, put_off.refused, put_off.put_offs) == (clock.now() + 30, 2, 1, 1)
    assert put_off.reason.startswith("CircuitOpen: the circuit breaker of policy default is open after 2 failures")

    outcome = again(run, ["feed"], "feed")
    assert (outcome.status, errors.made) == ("completed", 3)
    changes = [(event.change, event.failures) for event in heard if isinstance(event, CircuitChanged)]
    assert changes == [("opened", 2), ("half-open", 2), ("closed", 0)]
    [done] = [event for event in heard if isinstance(event, StageCompleted)]
    assert (done.attempts, done.refused, done.put_offs) == (3, 1, 1)
    lines = [entry.event for entry in run.ledger.history(run.submission.id)]
    assert [line for line in lines if line.startswith(("circuit", "stage"))] == [
        "circuit opened", "stage postponed", "circuit half-open", "circuit closed", "stage completed",
    ]  # fmt: skip
    assert run.ledger.dead_letters(run.submission.id) == []


def test_a_source_that_is_down_for_a_day_fails_the_batch(tmp_path: Path) -> None:
    """It is tried less and less often, at least once an hour; then its batch fails with the reason, and may be retried."""
    errors = Errors(*down(10_000))
    run = streaming(tmp_path, errors)
    clock: Any = run.clock
    began, outcome, times = clock.now(), execute_stage(run, "feed"), list[float]()
    while outcome.status == "postponed":
        times.append(clock.now() - began)
        outcome = again(run, ["feed"], "feed")
    assert outcome.status == "failed"
    assert outcome.record is not None
    assert (outcome.record.error or "").startswith("CircuitOpen")
    assert DAY <= clock.now() - began < DAY + 3_700
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[:3] == [30, 30, 30]
    assert (max(gaps), gaps == sorted(gaps)) == (3_600, True)
    # A trial each time, and none besides.
    assert errors.made == 2 + len(times)


def test_a_long_retry_after_is_not_waited_for(tmp_path: Path) -> None:
    """A minute is waited for here; above, the batch is put off exactly as long as the server asks."""
    patient = Policy(max_attempts=3, backoff=STILL)
    run = streaming(
        tmp_path, Errors(TransientError("busy", retry_after=60), TransientError("busy", retry_after=7200)), patient
    )
    clock: Any = run.clock
    outcome = execute_stage(run, "feed")
    assert (outcome.status, clock.slept) == ("postponed", [60])
    assert outcome.record is not None
    assert outcome.record.calls is not None
    assert outcome.record.calls.again_at == clock.now() + 7200
    assert again(run, ["feed"], "feed").status == "completed"


@pytest.mark.parametrize(
    ("policy", "asked"),
    [(Policy(max_attempts=3), DAY + 1), (Policy(max_attempts=1), 7200.0)],
    ids=["longer than a day", "the last attempt"],
)
def test_what_is_not_put_off_fails(tmp_path: Path, policy: Policy, asked: float) -> None:
    """Nobody waits longer than a day, and whoever has one attempt gets one; neither asks the server before its time."""
    errors = Errors(TransientError("busy", retry_after=asked))
    run = streaming(tmp_path, errors, policy)
    clock: Any = run.clock
    assert (execute_stage(run, "feed").status, errors.made, clock.slept) == ("failed", 1, [])


@pytest.mark.parametrize("stage", [Fetcher, Groups])
def test_a_host_that_is_down_stops_its_items_only(tmp_path: Path, stage: type[Stage[Config]]) -> None:
    """The others are fetched, once; nothing is lost, and what has failed for good is not asked for again."""
    net = Net("a.org", absent=("w2",))
    run = fetching(tmp_path, net, ["b.org", "a.org", "b.org", "a.org", "a.org", "c.org"], stage)
    outcome = execute_stage(run, "fetch")
    assert outcome.status == "postponed"
    assert {word: net.asked.count(word) for word in ("w0", "w2", "w5")} == {
        "w0": 1,
        "w2": 1,
        "w5": 1,
    } or stage is Groups
    assert sum(net.asked.count(word) for word in ("w1", "w3", "w4")) == 2
    assert run.ledger.dead_letters(run.submission.id) == []
    assert "CircuitOpen: the circuit breaker of host a.org (policy polite) is open" in outcome.reason

    net.failing, before = set(), list(net.asked)
    outcome = again(run, ["feed", "fetch"], "fetch")
    assert outcome.status == "completed"
    assert {"w1", "w3", "w4"} <= set(net.asked[len(before) :])
    if stage is Fetcher:
        assert sorted(net.asked[len(before) :]) == ["w1", "w3", "w4"]
    assert [letter.item_id for letter in run.ledger.dead_letters(run.submission.id)] == ["w2"]
    assert outcome.record is not None
    ref = outcome.record.outputs["upper"]
    assert UPPER.codec is not None
    found = UPPER.codec.decode(run.checkpoints.get(ref.digest, ref.suffix))
    assert [word.id for word in found] == ["w0", "w1", "w3", "w4", "w5"]


def test_a_host_that_is_gone_does_not_hold_the_others_up(tmp_path: Path) -> None:
    """Items are put off as often as the policy has attempts; what is left then are dead letters that name the host."""
    net, heard = Net("a.org"), list[Event]()
    run = fetching(tmp_path, net, ["a.org", "b.org", "a.org"], heard=heard)
    outcome, rounds = execute_stage(run, "fetch"), 0
    while outcome.status == "postponed":
        outcome, rounds = again(run, ["feed", "fetch"], "fetch"), rounds + 1
    assert (outcome.status, rounds) == ("completed", 3)
    letters = {letter.item_id: letter.error for letter in run.ledger.dead_letters(run.submission.id)}
    assert letters == {"w0": "CircuitOpen", "w2": "CircuitOpen"}
    # Two attempts opened the breaker, and each of three rounds made one trial.
    assert (net.asked.count("w1"), len(net.asked)) == (1, 1 + 2 + 3)


def test_parallel_work_goes_on(tmp_path: Path) -> None:
    """A stage that waits for its host keeps no other branch from its result, and a failed one fails the batch all the same."""
    net = Net("a.org")
    run = fetching(tmp_path, net, ["a.org"])
    assert execute_stage(run, "fetch").status == "postponed"
    settled = run.ledger.settle(run.batch.id, run.batch.generation, ["feed", "fetch"])
    [last] = [entry for entry in run.ledger.history(run.submission.id) if entry.event == "pending"][-1:]
    assert (settled.status, last.reason) == ("pending", "put off: fetch")


def test_waits_for_turns_are_counted_per_host(tmp_path: Path) -> None:
    """The rate is counted per host; the waits stand in the record and the event, and are not the time of the call that waits."""
    net, heard = Net(), list[Event]()
    slow = Policy(timeout_seconds=1.0, rate_limit=RateLimit(rate_limit_per_second=0.1))
    run = fetching(tmp_path, net, ["a.org", "a.org", "b.org", "a.org"], policy=slow, heard=heard)
    clock: Any = run.clock
    outcome = execute_stage(run, "fetch")
    assert (outcome.status, clock.slept) == ("completed", [10, 10])
    assert outcome.record is not None
    assert outcome.record.calls == Calls(attempts=4, waits=2, waited=20.0)
    [done] = [event for event in heard if isinstance(event, StageCompleted) and event.stage == "fetch"]
    assert (done.attempts, done.waits, done.waited) == (4, 2, 20.0)


def test_a_failed_stage_tells_its_figures(tmp_path: Path) -> None:
    """How often it was tried is in its record and in the event."""
    heard = list[Event]()
    run = streaming(tmp_path, Errors(*down(3)), Policy(max_attempts=3, backoff=STILL), heard=heard)
    outcome = execute_stage(run, "feed")
    assert outcome.record is not None
    assert outcome.record.calls == Calls(attempts=3)
    assert [event.attempts for event in heard if isinstance(event, StageFailed)] == [3]


def test_a_policy_with_neither_field_asks_nobody(tmp_path: Path) -> None:
    """Its calls cost no look into the database, and no write."""
    run = streaming(tmp_path, Errors(), Policy(max_attempts=3))
    asked: list[str] = []
    run.ledger.host = run.ledger.change_host = lambda policy, *_: asked.append(policy)  # type: ignore[method-assign, assignment]  # to hear of it
    assert (execute_stage(run, "feed").status, asked) == ("completed", [])
