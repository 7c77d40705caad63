"""Resilience policies, and the guard that applies one to a call: retries with back-off, and a cooperative timeout.

A policy applies to one call of a stage: to one item (or one ``items_per_call`` group) in item mode, to ``run`` or
``pull`` otherwise. Only what may pass is retried: ``TransientError`` and the standard library's connection and timeout
errors. Retries have one owner: nothing above or below this module retries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, model_validator

from medical_kg.orchestration.contract.errors import TransientError
from medical_kg.orchestration.contract.model import Model

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from medical_kg.orchestration.contract.context import StageContext

T = TypeVar("T")

RETRYABLE = (TransientError, ConnectionError, TimeoutError)


class _Strict(Model):
    # Strict: `max_attempts: true` is a mistake, not one attempt.
    model_config = ConfigDict(strict=True)


class Backoff(_Strict):
    """How long to wait between attempts, in seconds.

    ``exponential`` doubles from ``initial``, ``linear`` adds ``initial`` each time, both up to ``maximum``; ``none``
    does not wait. ``jitter`` waits a random time between half of that and all of it.
    """

    strategy: Literal["exponential", "linear", "none"] = "exponential"
    initial: float = Field(default=0.5, ge=0, le=600)
    maximum: float = Field(default=30.0, ge=0, le=3600)
    jitter: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Backoff:
        if self.strategy != "none" and self.maximum < self.initial:
            msg = f"maximum ({self.maximum}) must not be below initial ({self.initial})"
            raise ValueError(msg)
        return self

    def delay(self, attempt: int, fraction: float) -> float:
        """Return the seconds to wait after failed attempt number ``attempt`` (from 1).

        ``fraction`` in [0, 1) is the random draw that jitter uses.
        """
        if self.strategy == "none":
            return 0.0
        grown = self.initial * (2 ** (attempt - 1) if self.strategy == "exponential" else attempt)
        full = min(grown, self.maximum)
        return full * (0.5 + fraction / 2) if self.jitter else full


class CircuitBreaker(_Strict):
    """Stop calling after ``failure_threshold`` failures in a row, try again after ``recovery_timeout`` seconds."""

    failure_threshold: int = Field(ge=1, le=100)
    recovery_timeout: float = Field(gt=0, le=3600)


class RateLimit(_Strict):
    """At most so many calls a second."""

    rate_limit_per_second: float = Field(gt=0, le=1000)


class Policy(_Strict):
    """How one call of a stage is guarded; ``timeout_seconds`` is per attempt."""

    max_attempts: int = Field(default=1, ge=1, le=10)
    timeout_seconds: float | None = Field(default=None, ge=1, le=600)
    backoff: Backoff = Backoff()
    circuit_breaker: CircuitBreaker | None = None
    rate_limit: RateLimit | None = None


NOT_ENFORCED: Mapping[str, str] = {
    "circuit_breaker": "failures in a row are counted by no one yet",
    "rate_limit": "calls are not slowed down yet",
}
"""Fields of a policy that are accepted and checked but have no effect in this release."""

OnRetry = Callable[[int, float, BaseException], None]
"""Told before each wait: the attempt that failed (from 1), the seconds to wait, the error."""


class Guard:
    """Applies a policy to calls.

    Args:
        policy: the policy.
        ctx: its clock gives the time and its ``start_call`` the deadline that the stage sees.
        on_retry: told of each retry.
        draw: gives the random fraction for jitter.
    """

    def __init__(self, policy: Policy, ctx: StageContext, on_retry: OnRetry, draw: Callable[[], float]) -> None:
        """Keep what calls need."""
        self._policy, self._ctx, self._on_retry, self._draw = policy, ctx, on_retry, draw
        self.overran = 0

    def __call__(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call the function as the policy says and return what it returns; the last error is raised as it is."""
        # The first attempt is made here: retry machinery costs more than most calls.
        try:
            return self._attempt(function, args, kwargs)
        except RETRYABLE as error:
            if self._policy.max_attempts == 1:
                raise
            return self._again(error, function, args, kwargs)

    def _attempt(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        self._ctx.start_call(self._policy.timeout_seconds)
        result = function(*args, **kwargs)
        if self._policy.timeout_seconds is not None and self._ctx.remaining() == 0.0:
            # The work is done; throwing it away would help nobody. It is counted and reported.
            self.overran += 1
        return result

    def _again(self, first: BaseException, function: Callable[..., T], args: Any, kwargs: Any) -> T:
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

        pending: list[BaseException] = [first]

        def attempt() -> T:
            if pending:
                raise pending.pop()
            return self._attempt(function, args, kwargs)

        retrying = Retrying(
            stop=stop_after_attempt(self._policy.max_attempts),
            wait=self._wait,
            retry=retry_if_exception_type(RETRYABLE),
            sleep=self._ctx.clock.sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        return retrying(attempt)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None) or 0.0
        return max(asked, self._policy.backoff.delay(state.attempt_number, self._draw()))

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert error is not None  # noqa: S101  # tenacity only sleeps after a failed attempt
        self._on_retry(state.attempt_number, state.upcoming_sleep, error)
