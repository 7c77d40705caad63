"""What a name means, and whether what it means can be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from medical_kg.orchestration.diagnosis.examining import LIMIT, Examined, examine_all

if TYPE_CHECKING:
    from medical_kg.orchestration.discovery import Origin
    from medical_kg.orchestration.explanation import Explanation
    from medical_kg.orchestration.registry import Installation


def explain_plugin(
    installation: Installation, name: str, *, door: str | None = None, timeout_seconds: float = LIMIT
) -> tuple[Explanation, ...]:
    """Return why a name (or ``distribution:name``) means what it means, for each door that has it, or for one.

    The plugin it means is tried in a process apart, so that one that cannot be loaded is told as broken; nothing is
    imported here. ``Installation.why`` tells the same without trying.
    """
    found = installation.why(name) if door is None else (installation.door(door).why(name),)
    chosen = [one.chosen for one in found if one.chosen is not None]
    claims = [installation.door(origin.door).claim(f"{origin.distribution}:{origin.name}") for origin in chosen]
    examined = examine_all(installation, claims, timeout_seconds)
    tried = {claim.origin: examined[id(claim)] for claim in claims if id(claim) in examined}
    return tuple(_as_tried(one, tried) for one in found)


def _as_tried(one: Explanation, tried: Mapping[Origin, Examined]) -> Explanation:
    if one.chosen is None or not (wrong := tried.get(one.chosen, Examined()).wrong):
        return one
    found = tuple(
        replace(claim, status="broken", reason=wrong) if claim.origin == one.chosen else claim for claim in one.found
    )
    reason = f"{one.chosen} is broken: {wrong}"
    return replace(one, found=found, chosen=None, reason=reason, advice="run medical-kg plugins doctor")
