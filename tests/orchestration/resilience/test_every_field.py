"""Every field of a policy has its effect: each proof gives another answer when the field is ignored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from medical_kg import StageContext, TransientError
from medical_kg.orchestration.contract.errors import CircuitOpen
from medical_kg.orchestration.resilience import Guard, HostTurns, MemoryHosts, Policy
from medical_kg.testing import FakeClock

MANY = {"max_attempts": 6, "backoff": {"initial": 1.0, "maximum": 100.0, "jitter": False}}
BREAKER = {"failure_threshold": 3, "recovery_timeout": 40.0}


class Calls:
    """Calls under a policy: when each attempt was made, in seconds from the beginning, and the time that it had."""

    def __init__(self, policy: dict[str, Any], draw: float = 0.5) -> None:
        self.policy, self.clock = Policy.model_validate(policy), FakeClock(0.0)
        logger = logging.LoggerAdapter(logging.getLogger("test"), {})
        self.ctx = StageContext("p", "s", "sub", "b", "t", config=None, logger=logger, clock=self.clock)
        turns = HostTurns("test", self.policy, MemoryHosts(), self.clock) if self.policy.takes_turns else None
        self.guard = Guard(self.policy, self.ctx, lambda *_: None, lambda: draw, turns)
        self.at: list[float] = []
        self.left: list[float | None] = []

    def make(self, *, works: bool) -> BaseException | None:
        def call() -> None:
            self.at.append(round(self.clock.now(), 6))
            self.left.append(self.ctx.remaining())
            if not works:
                raise TransientError("x")

        try:
            self.guard(call)
        except TransientError as error:
            return error
        return None


def attempts(policy: dict[str, Any]) -> int:
    calls = Calls(policy)
    calls.make(works=False)
    return len(calls.at)


def times(policy: dict[str, Any]) -> list[float]:
    calls = Calls(policy, draw=0.25)
    calls.make(works=False)
    return calls.at


def time_left(policy: dict[str, Any]) -> float | None:
    calls = Calls(policy)
    calls.make(works=True)
    return calls.left[0]


def failures_let_through(policy: dict[str, Any]) -> int:
    calls = Calls(policy)
    while not isinstance(calls.make(works=False), CircuitOpen):
        assert len(calls.at) < 200
    return len(calls.at)


def closed_for(policy: dict[str, Any]) -> int:
    """Whole seconds for which nothing is called once the breaker has opened."""
    calls = Calls(policy)
    failures_let_through_by = calls.policy.circuit_breaker
    assert failures_let_through_by is not None
    for _ in range(failures_let_through_by.failure_threshold):
        calls.make(works=False)
    seconds = 0
    while isinstance(calls.make(works=True), CircuitOpen):
        calls.clock.advance(1.0)
        seconds += 1
    return seconds


def twenty_calls(policy: dict[str, Any]) -> float:
    calls = Calls(policy)
    for _ in range(20):
        calls.make(works=True)
    return round(calls.at[-1], 3)


def backoff(**fields: Any) -> dict[str, Any]:
    return {**MANY, "backoff": {**MANY["backoff"], **fields}}  # type: ignore[dict-item]  # a mapping, as written above


PROOFS: dict[str, list[tuple[Callable[[dict[str, Any]], Any], dict[str, Any], Any]]] = {
    "max_attempts": [(attempts, {"max_attempts": number}, number) for number in range(1, 11)],
    "timeout_seconds": [
        *((time_left, {"timeout_seconds": seconds}, seconds) for seconds in (1.0, 37.0, 600.0)),
        (time_left, {}, None),
    ],
    "backoff.strategy": [
        (times, backoff(strategy="exponential"), [0, 1, 3, 7, 15, 31]),
        (times, backoff(strategy="linear"), [0, 1, 3, 6, 10, 15]),
        (times, backoff(strategy="none"), [0, 0, 0, 0, 0, 0]),
    ],
    "backoff.initial": [(times, backoff(initial=3.0), [0, 3, 9, 21, 45, 93])],
    "backoff.maximum": [(times, backoff(maximum=5.0), [0, 1, 3, 7, 12, 17])],
    "backoff.jitter": [(times, backoff(jitter=True), [0, 0.625, 1.875, 4.375, 9.375, 19.375])],
    "circuit_breaker.failure_threshold": [
        (failures_let_through, {"circuit_breaker": {**BREAKER, "failure_threshold": number}}, number)
        for number in (1, 3, 100)
    ],
    "circuit_breaker.recovery_timeout": [
        (closed_for, {"circuit_breaker": {**BREAKER, "recovery_timeout": seconds}}, seconds)
        for seconds in (2.0, 40.0, 3600.0)
    ],
    # The first needs no wait; the others follow evenly.
    "rate_limit.rate_limit_per_second": [
        (twenty_calls, {"rate_limit": {"rate_limit_per_second": 5.0}}, 3.8),
        (twenty_calls, {"rate_limit": {"rate_limit_per_second": 0.5}}, 38.0),
        (twenty_calls, {"rate_limit": {"rate_limit_per_second": 1000.0}}, 0.019),
    ],
}


def fields_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        inner = [kind for kind in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_model(kind)]
        found += fields_of(inner[0], f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return found


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_no_field_is_without_proof() -> None:
    """The table below has every field of a policy."""
    assert sorted(PROOFS) == sorted(fields_of(Policy))


@pytest.mark.parametrize(
    ("observe", "policy", "expected"),
    [
        pytest.param(*proof, id=f"{name}-{index}")
        for name, proofs in PROOFS.items()
        for index, proof in enumerate(proofs)
    ],
)
def test_a_field_has_its_effect(
    observe: Callable[[dict[str, Any]], Any], policy: dict[str, Any], expected: Any
) -> None:
    """What is observed of calls under the policy is what the field says."""
    assert observe(policy) == expected


def test_tokens_are_charged_per_attempt() -> None:
    """Repeated attempts take their turns like any other: 5 a second also where no back-off keeps them apart."""
    still = {"strategy": "none", "initial": 0.0, "maximum": 0.0}
    assert times({"max_attempts": 6, "backoff": still, "rate_limit": {"rate_limit_per_second": 5.0}}) == [
        0, 0.2, 0.4, 0.6, 0.8, 1.0,
    ]  # fmt: skip


def test_waiting_for_a_turn_is_not_the_calls_time() -> None:
    """A call that had to wait for its turn has its whole ``timeout_seconds`` all the same."""
    calls = Calls({"timeout_seconds": 2.0, "rate_limit": {"rate_limit_per_second": 0.1}})
    calls.make(works=True)
    calls.make(works=True)
    assert (calls.at, calls.left) == ([0, 10], [2.0, 2.0])
