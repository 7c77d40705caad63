"""The rules of circuit breaker and rate limit, as pure functions over what is known of a host under a policy.

The breaker is closed until ``failure_threshold`` failures in a row open it. Once ``recovery_timeout`` has passed it is half-open:
one attempt, the trial, is let through, and its end closes the breaker or opens it again (M. Nygard, "Release It!", 2007).
A trial whose process was killed is given up after a while, so that another may be made. What other attempts say
while the breaker is not closed changes nothing: they began before it opened.

The rate limit is a token bucket that holds one token (the generic cell rate algorithm, ITU-T I.371, without burst): attempts
are spaced, so no second has more of them than the limit says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from medical_kg.orchestration.resilience.policy import Policy

T = TypeVar("T")

HostChange = Literal["opened", "half-open", "closed"]

LONGEST_REST_SECONDS = 86_400.0
"""The longest time that a server's Retry-After is believed: a day."""
LONGEST_CALL_SECONDS = 600.0
"""How long a trial may take under a policy without ``timeout_seconds``, before it is held to be lost."""
GRACE_SECONDS = 30.0
"""How long past its ``timeout_seconds`` a trial is waited for: the timeout is cooperative."""


@dataclass(frozen=True, slots=True)
class HostState:
    """What is known of a host under a policy. Times are seconds since the epoch.

    Attributes:
        failures: failures in a row.
        open_until: when a trial may be made; None while the breaker is closed.
        trial, trial_until: the attempt that is the trial, and until when it is waited for; empty when there is none.
        next_at: no attempt may be made before, by the rate limit or because the server asked for rest.
    """

    failures: int = 0
    open_until: float | None = None
    trial: str = ""
    trial_until: float = 0.0
    next_at: float = 0.0

    def breaker(self, now: float) -> Literal["closed", "open", "half-open"]:
        """Return how the breaker stands."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half-open"


class HostStates(Protocol):
    """Where the state of hosts is kept, by the policy's name and the host."""

    def host(self, policy: str, host: str) -> HostState:
        """Return what is known of a host."""

    def change_host(self, policy: str, host: str, step: Callable[[HostState], tuple[HostState, T]]) -> T:
        """Replace what is known by what ``step`` makes of it, with nobody in between; returns what else it gives."""


class Leave(NamedTuple):
    """What an attempt is told: to start after ``wait`` seconds, or (``refused``) not before so many seconds have passed."""

    wait: float = 0.0
    refused: float | None = None
    open: bool = False
    change: HostChange | None = None
    failures: int = 0


def ask(state: HostState, policy: Policy, now: float, attempt: str, patience: float) -> tuple[HostState, Leave]:
    """Return what an attempt may do, and the state after that. One that is refused leaves no trace."""
    trial = policy.circuit_breaker is not None and state.open_until is not None
    if trial and (left := _closed_for(state, now)) > 0:
        return state, Leave(refused=left, open=True, failures=state.failures)
    wait = max(0.0, state.next_at - now)
    if wait > patience:
        return state, Leave(refused=wait, failures=state.failures)
    if policy.rate_limit is not None:
        state = replace(state, next_at=now + wait + 1 / policy.rate_limit.rate_limit_per_second)
    if trial:
        lasting = LONGEST_CALL_SECONDS if policy.timeout_seconds is None else policy.timeout_seconds + GRACE_SECONDS
        state = replace(state, trial=attempt, trial_until=now + wait + lasting)
    return state, Leave(wait, change="half-open" if trial else None, failures=state.failures)


def _closed_for(state: HostState, now: float) -> float:
    """Return how long no attempt may be made because the breaker is open, or its trial is under way."""
    assert state.open_until is not None  # noqa: S101  # the caller has looked
    return max(state.open_until, state.trial_until if state.trial else 0.0) - now


def end(
    state: HostState, policy: Policy, now: float, attempt: str, *, failed: bool | None, rest: float | None
) -> tuple[HostState, HostChange | None]:
    """Return the state after an attempt, and how the breaker changed.

    ``failed`` is None where nobody knows, since the attempt was interrupted; ``rest`` is for how many seconds the server asked
    not to be called.
    """
    rest = min(rest or 0.0, LONGEST_REST_SECONDS)
    if rest:
        state = replace(state, next_at=max(state.next_at, now + rest))
    if policy.circuit_breaker is None:
        return state, None
    if state.open_until is not None and attempt != state.trial:
        return state, None
    if failed is None:
        return replace(state, trial=""), None
    if not failed:
        return HostState(next_at=state.next_at), None if state.open_until is None else "closed"
    failures = state.failures + 1
    if state.open_until is None and failures < policy.circuit_breaker.failure_threshold:
        return replace(state, failures=failures), None
    until = now + max(policy.circuit_breaker.recovery_timeout, rest)
    return HostState(failures, until, next_at=state.next_at), "opened"
