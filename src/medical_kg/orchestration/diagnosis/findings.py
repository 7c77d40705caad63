"""Findings: how each plugin stands, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from packaging.utils import canonicalize_name

from medical_kg.orchestration.diagnosis.examining import LIMIT, Examined, examine_all
from medical_kg.orchestration.discovery import CORE, LOCAL, SETTINGS_FILE, find_damaged
from medical_kg.orchestration.explanation import Standing

if TYPE_CHECKING:
    from medical_kg.orchestration.discovery import Claim
    from medical_kg.orchestration.registry import Installation

Judged = Standing | Literal["shadowed"]

COMMANDS = "medical_kg.commands"

PROBLEMS: frozenset[Judged] = frozenset({"broken", "incompatible", "conflict"})
"""What somebody has to mend; the other ways not to be used are somebody's choice."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How one plugin stands; or one preference that nothing fulfils (without door), or a damaged distribution (no name).

    ``reason`` says why it stands so, ``remedy`` what to type or to write; both are empty where all is well. ``notes``
    are side effects of its import, ``seconds`` is how long that took (None: it was not tried), ``detail`` a traceback.
    """

    door: str
    name: str
    distribution: str
    version: str
    object: str
    status: Judged
    reason: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    place: str = ""
    detail: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether it must be mended, rather than being so by somebody's choice."""
        return self.status in PROBLEMS


def diagnose(
    installation: Installation, *, timeout_seconds: float = LIMIT, own_commands: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Judge every claim behind every door, and try every plugin that may be loaded in a process apart.

    Args:
        installation: what is installed, and the settings.
        timeout_seconds: how long the import of one plugin may take.
        own_commands: names that commands of packages cannot have, as the command line has them itself.
    """
    claims = [claim for door in installation.doors() for claim in installation.door(door).claims()]
    examined = examine_all(installation, [claim for claim in claims if claim.usable], timeout_seconds)
    found = [_finding(installation, claim, examined, own_commands) for claim in claims]
    return (*found, *_unmet(installation, claims), *_damaged(installation))


def _finding(
    installation: Installation, claim: Claim, examined: Mapping[int, Examined], own_commands: Collection[str]
) -> Finding:
    origin, tried = claim.origin, examined.get(id(claim), Examined())
    status: Judged
    status, reason = installation.door(origin.door).standing(claim)
    if status == "installed" and origin.door == COMMANDS and origin.name in own_commands:
        status, reason = "shadowed", "a built-in command has this name"
    if tried.wrong:
        status, reason = "broken", tried.wrong
    return Finding(
        door=origin.door,
        name=origin.name,
        distribution=origin.distribution,
        version=origin.version,
        object=origin.object,
        status=status,
        reason=reason,
        remedy=_remedy(installation, claim, status, reason),
        notes=tried.notes,
        seconds=tried.seconds,
        place=claim.place,
        detail=tried.detail,
    )


def _remedy(installation: Installation, claim: Claim, status: Judged, reason: str) -> str:
    name, distribution = claim.origin.name, claim.origin.distribution
    is_local = canonicalize_name(distribution) == LOCAL
    if status == "broken" and is_local and not claim.found_in:
        return f"mend {claim.origin.object}, or take its line out of {claim.place or SETTINGS_FILE}"
    if status == "broken" and claim.status == "broken":
        return f"pip install --force-reinstall {distribution}"
    if status == "broken":
        mend = f"pip install --upgrade {distribution}"
        if reason.startswith("ModuleNotFoundError"):
            mend = f"pip install --force-reinstall {distribution}, which brings what it requires"
        return f'{mend}, or do without it: [plugins] deny = ["{distribution}"] in {SETTINGS_FILE}'
    remedies: dict[Judged, str] = {
        "installed": "",
        "blocked": _unblock(installation, distribution),
        "incompatible": f"pip install --upgrade {distribution}, or the release of {CORE} that it requires",
        "conflict": f'[plugins.prefer] "{name}" = "{distribution}" in {SETTINGS_FILE}, or the other one',
        "unused": f"none needed; a pipeline may write {distribution}:{name}",
        "shadowed": "none needed; its author can rename the entry point",
    }
    return remedies[status]


def _unblock(installation: Installation, distribution: str) -> str:
    if canonicalize_name(distribution) in installation.settings.deny:
        return f"to allow it, take {distribution!r} out of [plugins] deny in {SETTINGS_FILE}"
    return f"to allow it, add {distribution!r} to [plugins] allow in {SETTINGS_FILE}"


def _unmet(installation: Installation, claims: Collection[Claim]) -> Iterator[Finding]:
    """Give the preferences that nothing fulfils: nobody's claim to such a name counts."""
    made = {(claim.origin.name, canonicalize_name(claim.origin.distribution)) for claim in claims}
    for name, distribution in installation.settings.prefer.items():
        if (name, canonicalize_name(distribution)) not in made:
            reason = f"settings prefer distribution {distribution!r}, which does not provide it"
            remedy = f"pip install {distribution}, or change [plugins.prefer] in {SETTINGS_FILE}"
            yield Finding("", name, distribution, "", "", "broken", reason, remedy)


def _damaged(installation: Installation) -> Iterator[Finding]:
    for distribution, reason in find_damaged(installation.path):
        remedy = f"pip install --force-reinstall {distribution}"
        yield Finding("", "", distribution, "", "", "broken", f"its plugins cannot be listed: {reason}", remedy)
