"""Resilience: policies, the guard that applies one to calls, and the turns that calls take at a host.

``policy`` says what is wanted; ``guard`` retries calls and gives them their time; ``hosts`` holds the rules of circuit breaker and
rate limit; ``turns`` applies those before each request, with a state that all processes of a workspace share.
"""

from medical_kg.orchestration.resilience.guard import PATIENCE_SECONDS, RETRYABLE, Guard, OnRetry
from medical_kg.orchestration.resilience.hosts import HostChange, HostState, HostStates
from medical_kg.orchestration.resilience.policy import Backoff, CircuitBreaker, Policy, RateLimit
from medical_kg.orchestration.resilience.turns import HostTurns, MemoryHosts, Outcome, Tally, outcome_of

__all__ = [
    "PATIENCE_SECONDS",
    "RETRYABLE",
    "Backoff",
    "CircuitBreaker",
    "Guard",
    "HostChange",
    "HostState",
    "HostStates",
    "HostTurns",
    "MemoryHosts",
    "OnRetry",
    "Outcome",
    "Policy",
    "RateLimit",
    "Tally",
    "outcome_of",
]
