"""The guard that applies a policy to calls: retries with back-off, a cooperative timeout, and turns.

A policy applies to one call of a stage: to one item (or one ``items_per_call`` group) in item mode, to ``run`` or
``pull`` otherwise. Only what may pass is retried: ``TransientError`` and the standard library's connection and timeout
errors. Retries have one owner: nothing above or below this module retries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from medical_kg.orchestration.contract.errors import TransientError
from medical_kg.orchestration.resilience.hosts import LONGEST_REST_SECONDS

if TYPE_CHECKING:
    from medical_kg.orchestration.contract.context import StageContext
    from medical_kg.orchestration.contract.turns import Turns
    from medical_kg.orchestration.resilience.policy import Policy

T = TypeVar("T")

RETRYABLE = (TransientError, ConnectionError, TimeoutError)

PATIENCE_SECONDS = 60.0
"""A server that asks for a longer rest than this is not waited for here, with a worker in hand: the call is put off."""

OnRetry = Callable[[int, float, BaseException], None]
"""Told before each wait: the attempt that failed (from 1), the seconds to wait, the error."""


class Guard:
    """Applies a policy to calls.

    Args:
        policy: the policy.
        ctx: its clock gives the time and its ``start_call`` the deadline that the stage sees.
        on_retry: told of each retry.
        draw: gives the random fraction for jitter.
        turns: asked before each attempt, and told how it went; None where the policy has neither circuit breaker nor
            rate limit, and where the service that makes the requests asks.

    ``attempts`` counts the attempts made, ``overran`` those that took longer than the policy's timeout.
    """

    def __init__(
        self,
        policy: Policy,
        ctx: StageContext,
        on_retry: OnRetry,
        draw: Callable[[], float],
        turns: Turns | None = None,
    ) -> None:
        """Keep what calls need."""
        self._policy, self._ctx, self._on_retry, self._draw, self._turns = policy, ctx, on_retry, draw, turns
        self.attempts = self.overran = 0
        # Most calls take no turns, and this is done for every item.
        self._attempt: Callable[..., Any] = self._timed if turns is None else self._in_turn

    def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call the function as the policy says and return what it returns; the last error is raised as it is.

        A ``TransientError`` after which the call is to be put off has ``put_off_for`` set.
        """
        # The first attempt is made here: retry machinery costs more than most calls.
        try:
            return self._attempt(function, args, kwargs)  # type: ignore[no-any-return]  # what the function returned
        except RETRYABLE as error:
            if not self._goes_on(error, 1):
                raise
            return self._again(error, function, args, kwargs)

    def _in_turn(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        assert self._turns is not None  # noqa: S101  # otherwise the attempt is made without
        turn = self._turns.take("")
        try:
            result = self._timed(function, args, kwargs)
        except BaseException as error:
            turn.over(error)
            raise
        turn.over()
        return result

    def _timed(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        self.attempts += 1
        self._ctx.start_call(self._policy.timeout_seconds)
        result = function(*args, **kwargs)
        if self._policy.timeout_seconds is not None and self._ctx.remaining() == 0.0:
            # The work is done; throwing it away would help nobody. It is counted and reported.
            self.overran += 1
        return result

    def _goes_on(self, error: BaseException, attempt: int) -> bool:
        """Whether the call is to be made again here after its ``attempt``-th failure; says on the error if it is put off."""
        if not isinstance(error, RETRYABLE):
            return False
        if getattr(error, "put_off_for", None) is not None:
            return False  # no attempt was made
        asked = getattr(error, "retry_after", None) or 0.0
        last = attempt >= self._policy.max_attempts
        if asked <= PATIENCE_SECONDS:
            return not last
        if isinstance(error, TransientError) and not last and asked <= LONGEST_REST_SECONDS:
            error.put_off_for = asked
        return False

    def _again(self, first: BaseException, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        import stamina

        _leave_telling_to_us()
        failed = 0
        pending: list[BaseException] = [first]

        def attempt() -> T:
            if pending:
                raise pending.pop()
            return self._attempt(function, args, kwargs)  # type: ignore[no-any-return]  # as above

        def judge(error: BaseException) -> bool | float:
            nonlocal failed
            failed += 1
            if not self._goes_on(error, failed):
                return False
            asked = getattr(error, "retry_after", None) or 0.0
            delay = max(asked, self._policy.backoff.delay(failed, self._draw()))
            self._on_retry(failed, delay, error)
            # Waited for here, by the clock that everything goes by; nothing is left to wait for.
            self._ctx.clock.sleep(delay)
            return 0.0

        return stamina.RetryingCaller(attempts=self._policy.max_attempts, timeout=None)(judge, attempt)


@cache
def _leave_telling_to_us() -> None:
    """Take away the hooks with which stamina tells of retries unless an application has set its own.

    They write to standard output, where the answers of commands go, and with the arguments of calls; the engine tells of
    retries by its events and in the history.
    """
    from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

    talkative = ("stamina.instrumentation._structlog", "stamina.instrumentation._logging")
    set_on_retry_hooks([hook for hook in get_on_retry_hooks() if getattr(hook, "__module__", "") not in talkative])
