"""What a policy may say, and what each field means."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from medical_kg.orchestration.contract.model import Model


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
    """Stop calling after ``failure_threshold`` failures in a row; after ``recovery_timeout`` seconds let one call try."""

    failure_threshold: int = Field(ge=1, le=100)
    recovery_timeout: float = Field(gt=0, le=3600)


class RateLimit(_Strict):
    """At most so many attempts a second, evenly spaced; counted for all processes of a workspace together."""

    rate_limit_per_second: float = Field(gt=0, le=1000)


class Policy(_Strict):
    """How one call of a stage is guarded; ``timeout_seconds`` is per attempt."""

    max_attempts: int = Field(default=1, ge=1, le=10)
    timeout_seconds: float | None = Field(default=None, ge=1, le=600)
    backoff: Backoff = Backoff()
    circuit_breaker: CircuitBreaker | None = None
    rate_limit: RateLimit | None = None

    @property
    def takes_turns(self) -> bool:
        """Whether a call must ask before it is made: the policy has a circuit breaker or a rate limit."""
        return self.circuit_breaker is not None or self.rate_limit is not None
