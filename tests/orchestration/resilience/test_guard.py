"""Policies and the guard: attempts, delays, deadlines, and who is told; time is a fake clock's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from medical_kg import ItemRejected, StageContext, StageTimeout, TransientError
from medical_kg.orchestration.contract.errors import CircuitOpen
from medical_kg.orchestration.resilience import Backoff, Guard, Policy, guard
from medical_kg.testing import FakeClock

STILL = Backoff(jitter=False)
FRACTIONS = st.floats(0, 1, exclude_max=True)


class Bench:
    """A guard with everything around it, and what was heard."""

    def __init__(self, policy: Policy, draw: float = 0.5) -> None:
        self.clock = FakeClock()
        logger = logging.LoggerAdapter(logging.getLogger("test"), {})
        self.ctx = StageContext("p", "s", "sub", "b", "t", config=None, logger=logger, clock=self.clock)
        self.heard: list[tuple[int, float, str]] = []
        self.guard = Guard(policy, self.ctx, lambda *told: self.heard.append((*told[:2], str(told[2]))), lambda: draw)


def failing(*errors: BaseException, answer: Any = "done") -> Callable[..., Any]:
    """A function that raises these, one a call, and then answers."""
    left = list(errors)

    def call(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop(0)
        return answer

    return call


def test_a_call_that_works_is_made_once() -> None:
    """Arguments go in, the answer comes out, nobody is told and nothing waits."""
    bench = Bench(Policy(max_attempts=5))
    assert bench.guard(lambda *args, **kwargs: (args, kwargs), 1, two=2) == ((1,), {"two": 2})
    assert (bench.heard, bench.clock.slept) == ([], [])


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_two_failures_under_three_attempts(draw: float) -> None:
    """Failing twice, it succeeds at the third attempt after two growing delays within jitter's bounds (scenario 14)."""
    bench = Bench(Policy(max_attempts=3, backoff=Backoff(initial=2.0)), draw)
    assert bench.guard(failing(TransientError("one"), ConnectionError("two"))) == "done"
    assert [(attempt, error) for attempt, _, error in bench.heard] == [(1, "one"), (2, "two")]
    first, second = bench.clock.slept
    assert [delay for _, delay, _ in bench.heard] == [first, second]
    assert 1.0 <= first <= 2.0 <= second <= 4.0
    assert first < second


def test_the_last_error_is_raised_as_it_is() -> None:
    """When the attempts are used up, the last error itself comes out, and nobody waits after it."""
    last = TimeoutError("last")
    bench = Bench(Policy(max_attempts=3, backoff=STILL))
    with pytest.raises(TimeoutError) as caught:
        bench.guard(failing(TransientError("1"), TransientError("2"), last, TransientError("never")))
    assert caught.value is last
    assert bench.clock.slept == [0.5, 1.0]
    assert len(bench.heard) == 2


@pytest.mark.parametrize(
    "error", [ValueError("x"), ItemRejected("x"), OSError("x"), SystemExit(1), KeyboardInterrupt()]
)
def test_what_will_not_pass_gets_one_attempt(error: BaseException) -> None:
    """Only what may pass is tried again."""
    bench = Bench(Policy(max_attempts=5))
    with pytest.raises(type(error)) as caught:
        bench.guard(failing(error))
    assert caught.value is error
    assert (bench.heard, bench.clock.slept) == ([], [])


def test_what_will_not_pass_ends_the_retries() -> None:
    """A permanent error after a passing one is raised at once."""
    bench = Bench(Policy(max_attempts=5, backoff=STILL))
    with pytest.raises(ValueError, match="permanent"):
        bench.guard(failing(TransientError("x"), ValueError("permanent")))
    assert bench.clock.slept == [0.5]


def test_one_attempt_is_one_attempt() -> None:
    """Under ``max_attempts: 1`` nothing is retried, whatever it is."""
    bench = Bench(Policy())
    with pytest.raises(TransientError):
        bench.guard(failing(TransientError("x")))
    assert (bench.heard, bench.clock.slept) == ([], [])


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (Backoff(initial=1, maximum=5, jitter=False), [1, 2, 4, 5, 5]),
        (Backoff(strategy="linear", initial=2, maximum=7, jitter=False), [2, 4, 6, 7, 7]),
        (Backoff(strategy="none", initial=9, maximum=0), [0, 0, 0, 0, 0]),
        (Backoff(initial=0, maximum=0), [0, 0, 0, 0, 0]),
    ],
)
def test_strategies(backoff: Backoff, delays: list[float]) -> None:
    """Exponential doubles, linear adds, none does not wait; no delay is above the maximum."""
    bench = Bench(Policy(max_attempts=6, backoff=backoff))
    bench.guard(failing(*[TransientError("x")] * 5))
    assert bench.clock.slept == delays


@given(
    st.sampled_from(["exponential", "linear"]),
    st.floats(0, 600),
    st.floats(0, 3000),
    st.integers(1, 9),
    FRACTIONS,
    FRACTIONS,
)
def test_jitter_keeps_between_half_and_all(
    strategy: Any, initial: float, more: float, attempt: int, one: float, other: float
) -> None:
    """With jitter a delay is between half of the plain one and all of it, and exponential ones never shrink below the cap."""
    maximum = initial + more
    plain = Backoff(strategy=strategy, initial=initial, maximum=maximum, jitter=False)
    jittered = Backoff(strategy=strategy, initial=initial, maximum=maximum)
    full = plain.delay(attempt, one)
    assert full <= maximum
    assert full / 2 <= jittered.delay(attempt, one) <= full
    if strategy == "exponential" and plain.delay(attempt + 1, 0) < maximum:
        assert jittered.delay(attempt, one) <= jittered.delay(attempt + 1, other)


def test_retry_after_is_the_least_wait() -> None:
    """What the other side asks for is waited, also above the policy's maximum; a shorter wish changes nothing."""
    bench = Bench(Policy(max_attempts=4, backoff=Backoff(initial=4, maximum=5, jitter=False)))
    bench.guard(
        failing(
            TransientError("x", retry_after=60),
            TransientError("x", retry_after=1),
            TransientError("x", retry_after=None),
        )
    )
    assert bench.clock.slept == [60, 5, 5]
    assert [delay for _, delay, _ in bench.heard] == [60, 5, 5]


def test_a_minute_is_waited_for_and_no_more() -> None:
    """After that the call is put off, which the error says; not at the last attempt, and not for more than a day."""
    for asked, attempts, put_off in (
        (60, 3, None),
        (60.5, 2, 60.5),
        (60.5, 1, None),
        (86_400, 2, 86_400),
        (86_401, 2, None),
    ):
        bench = Bench(Policy(max_attempts=attempts, backoff=STILL))
        error = TransientError("busy", retry_after=asked)
        try:
            bench.guard(failing(error))
        except TransientError:
            assert (error.put_off_for, bench.clock.slept) == (put_off, [])
        else:
            assert (asked, bench.clock.slept) == (60, [60])


def test_an_open_circuit_is_never_tried_again_here() -> None:
    """However short the time: the call is put off, with attempts left or without."""
    for attempts in (1, 3):
        bench, error = Bench(Policy(max_attempts=attempts)), CircuitOpen("host a.org", 5, 2.0)
        with pytest.raises(CircuitOpen):
            bench.guard(failing(error))
        assert (error.put_off_for, bench.clock.slept) == (2.0, [])


def test_an_applications_own_word_on_retries_stands(capsys: pytest.CaptureFixture[str]) -> None:
    """Hooks that an application gave stamina are called; stamina's own, which print, are not there."""
    from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

    heard: list[int] = []
    set_on_retry_hooks([*get_on_retry_hooks(), lambda details: heard.append(details.retry_num)])
    guard._leave_telling_to_us.cache_clear()
    try:
        Bench(Policy(max_attempts=3, backoff=STILL)).guard(failing(TransientError("secret"), TransientError("x")))
    finally:
        set_on_retry_hooks(None)
        guard._leave_telling_to_us.cache_clear()
    assert heard == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_every_attempt_has_its_own_deadline() -> None:
    """``timeout_seconds`` is per attempt: time used by the one before, and the wait, do not count."""
    bench = Bench(Policy(max_attempts=3, timeout_seconds=10, backoff=STILL))
    left: list[float | None] = []

    def work() -> str:
        left.append(bench.ctx.remaining())
        bench.clock.advance(8)
        bench.ctx.check_timeout()
        if len(left) < 3:
            raise TransientError("x")
        return "done"

    assert bench.guard(work) == "done"
    assert left == [10, 10, 10]
    assert bench.guard.overran == 0


def test_a_timeout_is_retried() -> None:
    """A call that notices that its time is used up is tried again, and raises StageTimeout in the end."""
    bench = Bench(Policy(max_attempts=2, timeout_seconds=5, backoff=STILL))

    def work() -> None:
        bench.clock.advance(6)
        bench.ctx.check_timeout()

    with pytest.raises(StageTimeout):
        bench.guard(work)
    assert [attempt for attempt, _, _ in bench.heard] == [1]
    assert bench.guard.overran == 0


def test_a_call_that_overran_is_counted_and_kept() -> None:
    """Work that finished late is not thrown away; the guard counts it, also when it was retried."""
    bench = Bench(Policy(max_attempts=2, timeout_seconds=5, backoff=STILL))
    answers = failing(TransientError("x"), answer="late")

    def work() -> Any:
        answer = answers()
        bench.clock.advance(5)
        return answer

    assert [bench.guard(work), bench.guard(work)] == ["late", "late"]
    assert bench.guard.overran == 2
    unlimited = Bench(Policy())
    unlimited.guard(unlimited.clock.advance, 1e9)
    assert unlimited.guard.overran == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"max_attempts": 0},
        {"max_attempts": 11},
        {"max_attempts": True},
        {"max_attempts": "3"},
        {"timeout_seconds": 0.5},
        {"timeout_seconds": 601},
        {"timeout_seconds": float("nan")},
        {"max_atempts": 3},
        {"backoff": {"strategy": "fibonacci"}},
        {"backoff": {"initial": -1}},
        {"backoff": {"initial": float("inf")}},
        {"backoff": {"initial": float("nan")}},
        {"backoff": {"initial": 5, "maximum": 1}},
        {"backoff": {"jitter": 1}},
        {"circuit_breaker": {"failure_threshold": 0, "recovery_timeout": 1}},
        {"circuit_breaker": {"failure_threshold": 1, "recovery_timeout": 0}},
        {"rate_limit": {"rate_limit_per_second": 0}},
    ],
)
def test_wrong_policies_are_refused(fields: dict[str, Any]) -> None:
    """A field outside its bounds, of another type or unknown is refused."""
    with pytest.raises(ValidationError):
        Policy.model_validate(fields)


def test_a_full_policy() -> None:
    """All fields of the old files are taken."""
    policy = Policy.model_validate(
        {
            "max_attempts": 10,
            "timeout_seconds": 600,
            "backoff": {"strategy": "linear", "initial": 1, "maximum": 1, "jitter": False},
            "circuit_breaker": {"failure_threshold": 5, "recovery_timeout": 60.0},
            "rate_limit": {"rate_limit_per_second": 5},
        }
    )
    assert policy.backoff.strategy == "linear"
    assert policy.takes_turns
