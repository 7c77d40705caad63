"""Circuit breaker and rate limit at hosts: closed, open and half-open under a fake clock; who is told, what is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from medical_kg import ItemRejected, TransientError
from medical_kg.orchestration.contract.errors import CircuitOpen
from medical_kg.orchestration.contract.turns import in_turn
from medical_kg.orchestration.fetching import HttpService
from medical_kg.orchestration.resilience import (
    CircuitBreaker,
    HostState,
    HostTurns,
    MemoryHosts,
    Policy,
    RateLimit,
)
from medical_kg.testing import FakeClock

T = TypeVar("T")
START = 1_000.0
BREAKER = Policy(circuit_breaker=CircuitBreaker(failure_threshold=3, recovery_timeout=30))
DOWN = TransientError("down")


class Counted(MemoryHosts):
    """States in memory that count how often they are read and written."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.writes = 0

    def host(self, policy: str, host: str) -> HostState:
        self.reads += 1
        return super().host(policy, host)

    def change_host(self, policy: str, host: str, step: Callable[[HostState], tuple[HostState, T]]) -> T:
        self.writes += 1
        return super().change_host(policy, host, step)


class Bench:
    """Turns under a policy, with what was heard of its breakers."""

    def __init__(self, policy: Policy = BREAKER, states: MemoryHosts | None = None) -> None:
        self.clock, self.states = FakeClock(START), states or MemoryHosts()
        self.heard: list[tuple[str, str, int]] = []
        self.turns = HostTurns("polite", policy, self.states, self.clock, self.hear)

    def hear(self, host: str, change: str, state: HostState) -> None:
        self.heard.append((host, change, state.failures))

    def ask(self, *errors: BaseException | None, host: str = "a.org") -> None:
        for error in errors:
            self.turns.take(host).over(error)

    def refusal(self, host: str = "a.org") -> float | None:
        """For how long a turn is refused; None where it is given (and ends well)."""
        try:
            self.turns.take(host).over()
        except CircuitOpen as error:
            return error.retry_after
        return None


def opened(policy: Policy = BREAKER, states: MemoryHosts | None = None) -> Bench:
    bench = Bench(policy, states)
    bench.ask(DOWN, DOWN, DOWN)
    return bench


def test_three_failures_in_a_row_open_it() -> None:
    """It is closed until then; a success in between starts the count anew."""
    bench = Bench()
    bench.ask(DOWN, DOWN, None, DOWN, DOWN)
    assert bench.heard == []
    bench.ask(DOWN)
    assert bench.heard == [("a.org", "opened", 3)]
    with pytest.raises(CircuitOpen, match=r"host a\.org \(policy polite\) is open after 3 failures in a row; .* 30 s"):
        bench.turns.take("a.org")
    assert bench.turns.tally.refused == 1


@pytest.mark.parametrize("error", [ItemRejected("404"), ValueError("x"), None])
def test_a_host_that_answers_has_not_failed(error: BaseException | None) -> None:
    """Only errors that may pass count; whatever else is raised, the host was there."""
    bench = Bench()
    bench.ask(DOWN, DOWN, error, DOWN, DOWN)
    assert bench.heard == []


def test_each_host_has_its_own() -> None:
    """One that is down stops no other, nor what asks no host."""
    bench = opened()
    assert (bench.refusal("a.org"), bench.refusal("b.org"), bench.refusal("")) == (30.0, None, None)


def test_one_trial_when_it_is_half_open() -> None:
    """Once its time has passed one attempt may try; all others are refused until that has ended."""
    bench = opened()
    bench.clock.advance(29.5)
    assert bench.refusal() == 0.5
    bench.clock.advance(0.5)
    trial = bench.turns.take("a.org")
    assert bench.refusal() is not None
    trial.over()
    assert (bench.refusal(), bench.refusal()) == (None, None)
    assert [change for _, change, _ in bench.heard] == ["opened", "half-open", "closed"]


def test_a_trial_that_fails_opens_it_again() -> None:
    """For the whole ``recovery_timeout`` once more; the failures go on counting."""
    bench = opened()
    bench.clock.advance(30)
    bench.ask(DOWN)
    assert bench.refusal() == 30.0
    assert bench.heard[1:] == [("a.org", "half-open", 3), ("a.org", "opened", 4)]


def test_a_trial_that_never_ends_is_given_up() -> None:
    """A process that was killed in its trial leaves the breaker stuck for the call's time and a grace, not for ever."""
    bench = opened(BREAKER.model_copy(update={"timeout_seconds": 60.0}))
    bench.clock.advance(30)
    bench.turns.take("a.org")
    other = Bench(BREAKER, bench.states)
    other.clock.time = bench.clock.time
    assert other.refusal() == 90.0
    other.clock.advance(90)
    assert other.refusal() is None
    assert other.states.host("polite", "a.org") == HostState()


def test_an_interrupted_trial_says_nothing() -> None:
    """Ctrl-C in a trial neither closes nor opens: the next attempt is the trial."""
    bench = opened()
    bench.clock.advance(30)
    bench.ask(KeyboardInterrupt())
    assert bench.states.host("polite", "a.org").breaker(bench.clock.now()) == "half-open"
    assert bench.refusal() is None
    assert [change for _, change, _ in bench.heard] == ["opened", "half-open", "half-open", "closed"]


def test_late_words_change_nothing() -> None:
    """An attempt that began before the breaker opened neither closes it nor keeps it open."""
    bench = Bench()
    bench.ask(DOWN)
    early, late = bench.turns.take("a.org"), bench.turns.take("a.org")
    bench.ask(DOWN, DOWN)
    early.over()
    assert bench.refusal() == 30.0
    bench.clock.advance(30)
    late.over(DOWN)
    assert bench.refusal() is None


def test_only_the_first_word_counts() -> None:
    """A turn may be ended again when a body is closed; that is not another success."""
    bench = Bench()
    for _ in range(3):
        turn = bench.turns.take("a.org")
        turn.over(DOWN)
        turn.over()
    assert [change for _, change, _ in bench.heard] == ["opened"]


def test_who_made_them_is_no_more() -> None:
    """What a killed worker was asking has failed, whatever it was."""
    bench = Bench(
        BREAKER.model_copy(update={"circuit_breaker": CircuitBreaker(failure_threshold=2, recovery_timeout=5)})
    )
    bench.turns.begin("a.org")
    bench.turns.begin("a.org")
    bench.turns.give_up(DOWN)
    assert bench.heard == [("a.org", "opened", 2)]


def test_the_server_is_left_alone_as_long_as_it_asks() -> None:
    """Everybody waits for a short Retry-After; a long one is not waited for here, and one of a year is a day's."""
    bench = Bench()
    bench.ask(TransientError("busy", retry_after=20))
    bench.ask(None)
    assert bench.clock.slept == [20]
    bench.ask(TransientError("busy", retry_after=61))
    with pytest.raises(
        TransientError, match=r"host a\.org \(policy polite\) may not be asked for another 61 s"
    ) as caught:
        bench.turns.take("a.org")
    assert (type(caught.value), caught.value.retry_after, caught.value.put_off_for) == (TransientError, 61, 61)
    bench.clock.advance(61)
    bench.ask(TransientError("busy", retry_after=1e9))
    assert bench.states.host("polite", "a.org").next_at == bench.clock.now() + 86_400


def test_an_open_breaker_keeps_to_retry_after() -> None:
    """It stays open as long as the server asked, where that is longer than its own time."""
    bench = Bench()
    bench.ask(DOWN, DOWN, TransientError("busy", retry_after=500))
    assert bench.refusal() == 500


def test_a_policy_without_a_breaker_never_opens() -> None:
    """Failures are then nobody's business here, and nothing is written of them."""
    states = Counted()
    bench = Bench(Policy(rate_limit=RateLimit(rate_limit_per_second=1000)), states)
    bench.ask(*[DOWN] * 50)
    assert bench.heard == []
    assert (states.reads - states.writes, states.writes) == (0, 50)
    bench.ask(TransientError("busy", retry_after=30), None)
    assert (bench.clock.slept[-1], bench.states.host("polite", "a.org").breaker(bench.clock.now())) == (30, "closed")


def test_what_goes_well_writes_nothing() -> None:
    """Under a breaker alone an attempt is one look; only failures, and the success after them, are written."""
    states = Counted()
    bench = Bench(BREAKER, states)
    bench.ask(*[None] * 10)
    assert (states.reads, states.writes) == (10, 0)
    bench.ask(DOWN, None, None)
    assert states.writes == 2


def test_turns_at_a_host_are_evenly_spaced() -> None:
    """Whoever comes early waits its turn; who comes late does not make up for it. The waits are counted and told."""
    bench = Bench(Policy(rate_limit=RateLimit(rate_limit_per_second=4)))
    told: list[float] = []
    bench.turns.on_wait = told.append
    bench.ask(None, None, None)
    bench.clock.advance(10)
    bench.ask(None, None)
    assert bench.clock.slept == told == [0.25, 0.25, 0.25]
    assert (bench.turns.tally.waits, bench.turns.tally.waited) == (3, 0.75)
    bench.ask(None, host="b.org")
    assert len(told) == 3


def test_a_breaker_that_is_open_costs_no_token() -> None:
    """What is refused leaves no trace: the trial need not wait for those that were not made."""
    both = BREAKER.model_copy(update={"rate_limit": RateLimit(rate_limit_per_second=0.1)})
    bench = opened(both)
    before: Any = bench.states.host("polite", "a.org")
    for _ in range(20):
        assert bench.refusal() is not None
    assert bench.states.host("polite", "a.org") == before


@pytest.mark.parametrize(
    ("policy", "slept"),
    [
        (Policy(), [0.5, 0.5]),
        (BREAKER, [0.5, 0.5]),
        (Policy(rate_limit=RateLimit(rate_limit_per_second=4)), [0.5, 0.5]),
        (Policy(rate_limit=RateLimit(rate_limit_per_second=1)), [1, 1]),
    ],
)
def test_a_hosts_own_pace_is_kept_whatever_the_policy(policy: Policy, slept: list[float]) -> None:
    """The slower of the two counts; other hosts have nothing to do with it."""
    bench = Bench(policy)
    for _ in range(3):
        bench.turns.take("a.org", 2).over()
    assert bench.clock.slept == slept
    bench.turns.take("b.org", 2).over()
    assert (bench.clock.slept, bench.turns.tally.waits) == (slept, 2)


def test_a_hosts_own_pace_is_kept_by_all_policies_together() -> None:
    """What one policy's request took is not there for another's."""
    one = Bench(Policy())
    other = Bench(BREAKER, one.states)
    other.turns = HostTurns("other", BREAKER, one.states, one.clock)
    for turns in (one.turns, other.turns, one.turns):
        turns.take("a.org", 2).over()
    assert one.clock.slept == [0.5, 0.5]


def test_who_names_no_pace_is_not_held_up_by_one() -> None:
    """Under a policy with neither field nothing is read or written for it."""
    states = Counted()
    bench = Bench(Policy(), states)
    bench.turns.take("a.org", 0.1).over()
    seen = (states.reads, states.writes)
    bench.ask(None, DOWN, TransientError("busy", retry_after=30), None)
    assert (states.reads, states.writes, bench.clock.slept) == (*seen, [])


def test_a_rest_holds_for_all_who_keep_a_hosts_pace() -> None:
    """A short one is waited for, a long one is not: the call is told, and a breaker's trial is free for another."""
    bench = opened()
    bench.turns.take("b.org", 2).over(TransientError("busy", retry_after=20))
    bench.turns.take("b.org", 2).over()
    assert bench.clock.slept == [20]
    other = HostTurns("other", Policy(), bench.states, bench.clock)
    other.take("a.org", 2).over(TransientError("busy", retry_after=100))
    bench.clock.advance(30)
    for _ in range(2):
        with pytest.raises(TransientError, match="may not be asked for another 70 s") as caught:
            bench.turns.take("a.org", 2)
        assert (type(caught.value), caught.value.put_off_for) == (TransientError, 70)
    assert bench.turns.tally.refused == 2
    with pytest.raises(TransientError, match="another 70 s"):
        other.take("a.org", 2)
    assert bench.refusal() is None  # the trial, by one who names no pace


def test_who_makes_calls_takes_turns_where_no_service_does() -> None:
    """The service http knows the hosts; without it the calls themselves count, if the policy asks for it."""
    turns = Bench().turns
    assert in_turn({}, turns, by_policy=True) is turns
    assert in_turn({}, turns, by_policy=False) is None
    services: dict[str, Any] = {"http": HttpService()}
    assert in_turn(services, turns, by_policy=True) is None
    assert not isinstance(services["http"], HttpService)
