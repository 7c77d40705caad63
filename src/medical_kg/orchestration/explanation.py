"""Why a name means the plugin it means, or none: what was looked for, what was found, and what decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from packaging.utils import canonicalize_name

from medical_kg.orchestration.contract.errors import PluginBroken, PluginConflict, PluginError, PluginNotFound
from medical_kg.orchestration.discovery import Claim, Origin, Status

Outcome = Claim | PluginError
"""The claim that counts for a name, or the error that says why none does."""

Standing = Status | Literal["conflict", "unused"]


@dataclass(frozen=True, slots=True)
class Found:
    """A claim to the name: its origin, how it stands and why, and where it is written (``file:line``)."""

    origin: Origin
    status: Standing
    reason: str
    place: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a name means behind a door.

    ``distribution`` is the one written before the name, ``preferred`` the one the settings prefer, either may be empty.
    ``chosen`` is the claim that counts, None where none does; ``reason`` says why, ``advice`` what to do about it.
    """

    door: str
    name: str
    distribution: str
    preferred: str
    found: tuple[Found, ...]
    chosen: Origin | None
    reason: str
    advice: str = ""


def explain(door: str, asked: str, claims: Sequence[Claim], preferred: str, outcome: Outcome) -> Explanation:
    """Return why ``asked`` (a name or ``distribution:name``) means what it means, given every claim to the name."""
    distribution, _, name = asked.rpartition(":")
    found = tuple(_found(claim, outcome, distribution) for claim in claims)
    if isinstance(outcome, Claim):
        reason = _choice(outcome, claims, distribution, preferred)
        return Explanation(door, name, distribution, preferred, found, outcome.origin, reason)
    reason, advice = _refusal(outcome)
    return Explanation(door, name, distribution, preferred, found, None, reason, advice)


def _refusal(error: PluginError) -> tuple[str, str]:
    """Return why nothing is chosen, and what to do."""
    if isinstance(error, PluginNotFound):
        return error.reason, error.advice
    if isinstance(error, PluginBroken):
        return f"{error.provenance} is broken: {error.reason}", "run medical-kg plugins doctor"
    said, _, advice = str(error).partition("; ")
    return f"it {said.partition(') ')[2]}", advice


def standing(claim: Claim, outcome: Outcome) -> tuple[Standing, str]:
    """Return how a claim stands, and why, given what its name means."""
    if not claim.usable:
        return claim.status, claim.reason
    if isinstance(outcome, PluginConflict):
        return "conflict", f"claimed by {' and '.join(outcome.claims)}"
    if isinstance(outcome, PluginError):
        return "unused", outcome.reason if isinstance(outcome, PluginNotFound) else str(outcome)
    # Not by identity: a claim is replaced when it is loaded, and who asks may hold the one from before.
    if canonicalize_name(outcome.origin.distribution) == canonicalize_name(claim.origin.distribution):
        return "installed", ""
    return "unused", f"settings prefer {outcome.origin.distribution}"


def _found(claim: Claim, outcome: Outcome, distribution: str) -> Found:
    status, reason = standing(claim, outcome)
    if status == "unused" and distribution:
        reason = f"{distribution} was asked for"
    return Found(claim.origin, status, reason, claim.place)


def _choice(chosen: Claim, claims: Sequence[Claim], distribution: str, preferred: str) -> str:
    if distribution:
        return f"{distribution} was asked for"
    if preferred == canonicalize_name(chosen.origin.distribution):
        return f"[plugins.prefer] chooses {preferred}"
    return "only it provides the name" if len(claims) == 1 else "the others cannot be used"
