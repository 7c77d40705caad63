"""Taking turns at hosts: before each attempt the shared state is asked, and told afterwards how it went.

The state belongs to a policy's name and a host, for all processes and tenants of a workspace: a host that is asked too often
does not care who asks. It is read before each attempt; written when there is a rate limit, when an attempt fails,
and when one succeeds after failures. Under a policy with neither field nothing is read or written.

A service may say how often it lets itself be asked (``per_second``). That is kept for its host beside the policies, since it
holds for whoever asks.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from medical_kg.orchestration.contract.errors import CircuitOpen, TransientError
from medical_kg.orchestration.resilience.guard import PATIENCE_SECONDS, RETRYABLE
from medical_kg.orchestration.resilience.hosts import HostChange, HostState, HostStates, Leave, ask, end
from medical_kg.orchestration.resilience.policy import Policy, RateLimit

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Clock

T = TypeVar("T")

PACED = "*"
"""Stands for every policy: what a host lets all do together who keep to its pace."""

OnChange = Callable[[str, HostChange, HostState], None]
"""Told of each change of a breaker: the host, the change, and how it stands then."""


@dataclass(slots=True)
class Tally:
    """What turns came to: how many waited, how long (seconds), and how many were refused."""

    waits: int = 0
    waited: float = 0.0
    refused: int = 0


class Outcome(NamedTuple):
    """How an attempt ended: whether the host failed (None: nobody knows), and for how long the server asked for rest."""

    failed: bool | None
    rest: float | None = None


def outcome_of(error: BaseException | None) -> Outcome:
    """Return how an attempt ended that raised this; None where it raised nothing."""
    if isinstance(error, RETRYABLE):
        return Outcome(failed=True, rest=getattr(error, "retry_after", None))
    # What is no Exception has interrupted the attempt: it says nothing of the host.
    return Outcome(failed=False if error is None or isinstance(error, Exception) else None)


class _Begun(NamedTuple):
    """An attempt under way: where to, the host's failures before it, and the pace the host sets."""

    host: str
    failures: int
    per_second: float | None


@lru_cache(maxsize=16)
def _pace(per_second: float) -> Policy:
    return Policy(rate_limit=RateLimit(rate_limit_per_second=per_second))


class HostTurns:
    """``Turns`` for the calls of one stage.

    Args:
        name: the policy's name.
        policy: the policy.
        states: where the state of hosts is.
        clock: time.
        on_change: told of each change of a breaker.

    ``on_wait`` is told the seconds of each wait, before it, so that they do not count as the call's time.
    """

    def __init__(
        self, name: str, policy: Policy, states: HostStates, clock: Clock, on_change: OnChange = lambda *_: None
    ) -> None:
        """Nothing is asked yet."""
        self._name, self._policy, self._states, self._clock = name, policy, states, clock
        self._on_change = on_change
        self._begun: dict[str, _Begun] = {}
        self.on_wait: Callable[[float], None] = lambda _: None
        self.tally = Tally()

    def take(self, host: str, per_second: float | None = None) -> _Turn:
        """See ``Turns.take``."""
        attempt, wait = self.begin(host, per_second)
        if wait > 0:
            self.on_wait(wait)
            self._clock.sleep(wait)
        return _Turn(self, attempt)

    def begin(self, host: str, per_second: float | None = None) -> tuple[str, float]:
        """Return the name of an attempt, and the seconds to wait before it is made.

        Raises:
            CircuitOpen: the breaker is open.
            TransientError: the wait would be too long to be waited for here; ``retry_after`` says how long it is.
        """
        attempt = uuid.uuid4().hex
        leave = self._granted(host, attempt, per_second)
        if leave.refused is not None:
            self.tally.refused += 1
            if leave.open:
                raise CircuitOpen(self._what(host), leave.failures, leave.refused)
            told = f"{self._what(host)} may not be asked for another {leave.refused:.0f} s"
            error = TransientError(told, retry_after=leave.refused)
            error.put_off_for = leave.refused
            raise error
        if leave.wait > 0:
            self.tally.waits += 1
            self.tally.waited += leave.wait
        self._begun[attempt] = _Begun(host, leave.failures, per_second)
        if leave.change:
            self._on_change(host, leave.change, HostState(leave.failures))
        return attempt, leave.wait

    def _granted(self, host: str, attempt: str, per_second: float | None) -> Leave:
        """Return the leave of the policy and, behind it, of the host's own pace."""
        now = self._clock.now()
        leave = self._leave(host, attempt, now) if self._policy.takes_turns else Leave()
        if per_second is None or leave.refused is not None:
            return leave
        paced = self._asked(PACED, _pace(per_second), host, attempt, now + leave.wait)
        if paced.refused is None:
            return leave._replace(wait=leave.wait + paced.wait)
        if self._policy.takes_turns:
            self._end(self._name, self._policy, host, attempt, Outcome(failed=None))
        return paced

    def _leave(self, host: str, attempt: str, now: float) -> Leave:
        if self._policy.rate_limit is None:
            state = self._states.host(self._name, host)
            changed, leave = ask(state, self._policy, now, attempt, PATIENCE_SECONDS)
            if changed == state:
                return leave
        return self._asked(self._name, self._policy, host, attempt, now)

    def _asked(self, name: str, policy: Policy, host: str, attempt: str, now: float) -> Leave:
        return self._states.change_host(name, host, lambda state: ask(state, policy, now, attempt, PATIENCE_SECONDS))

    def over(self, attempt: str, outcome: Outcome) -> None:
        """Say how an attempt ended; only the first word counts."""
        begun = self._begun.pop(attempt, None)
        if begun is None:
            return
        if begun.per_second is not None and outcome.rest:
            self._end(PACED, _pace(begun.per_second), begun.host, attempt, outcome)
        # A success after no failure changes nothing. One that another process has met meanwhile stays: it is the later word.
        changes = outcome.failed is not False or begun.failures > 0
        if (changes and self._policy.circuit_breaker is not None) or (self._policy.takes_turns and outcome.rest):
            self._end(self._name, self._policy, begun.host, attempt, outcome)

    def _end(self, name: str, policy: Policy, host: str, attempt: str, outcome: Outcome) -> None:
        now = self._clock.now()

        def step(state: HostState) -> tuple[HostState, tuple[HostState, HostChange | None]]:
            after, change = end(state, policy, now, attempt, failed=outcome.failed, rest=outcome.rest)
            return after, (after, change)

        after, change = self._states.change_host(name, host, step)
        if change:
            self._on_change(host, change, after)

    def give_up(self, error: BaseException) -> None:
        """Say of every attempt that is under way that it ended so: whoever made them is no more."""
        for attempt in list(self._begun):
            self.over(attempt, outcome_of(error))

    def _what(self, host: str) -> str:
        return f"host {host} (policy {self._name})" if host else f"policy {self._name}"


class _Turn:
    """Leave for one request, by name."""

    def __init__(self, turns: HostTurns, attempt: str) -> None:
        self._turns, self._attempt = turns, attempt

    def over(self, error: BaseException | None = None) -> None:
        """See ``Turn.over``."""
        self._turns.over(self._attempt, outcome_of(error))


@dataclass(slots=True)
class MemoryHosts:
    """``HostStates`` of one process, e.g. of a test."""

    states: dict[tuple[str, str], HostState] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def host(self, policy: str, host: str) -> HostState:
        """Return what is known of a host."""
        return self.states.get((policy, host), HostState())

    def change_host(self, policy: str, host: str, step: Callable[[HostState], tuple[HostState, T]]) -> T:
        """Replace what is known."""
        with self._lock:
            self.states[policy, host], given = step(self.host(policy, host))
        return given
