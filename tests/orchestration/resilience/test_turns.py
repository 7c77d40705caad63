"""Circuit breaker and rate limit at hosts: closed, open and half-open under a fake clock; who is told, what is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from medical_kg import ItemRejected, TransientError
from medical_kg.orchestration.contract.errors import CircuitOpen
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
