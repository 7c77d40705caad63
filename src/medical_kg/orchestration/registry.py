"""What is installed behind each door, found without importing it, loaded one by one when first used.

A door is an entry-point group whose name begins with ``medical_kg.``; one generic ``Registry`` serves them all. A
plugin that cannot be loaded is quarantined with its traceback, and only who asks for it hears of it.
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, field_validator

from medical_kg.orchestration.contract.errors import MetadataError, PluginBroken, PluginConflict, PluginNotFound, near
from medical_kg.orchestration.contract.metadata import StageMetadata
from medical_kg.orchestration.contract.stage import Stage, method_of

T = TypeVar("T")
Status = Literal["installed", "blocked", "incompatible", "broken"]

CORE = "medical-kg"
DOOR_PREFIX = "medical_kg."
STAGES = "medical_kg.orchestration.stages"

logger = logging.getLogger(__name__)


class PluginSettings(BaseModel):
    """Table ``[plugins]`` of the settings: which distributions may provide plugins, and whose claim counts.

    ``allow`` (when given) and ``deny`` hold names of distributions and are applied before anything is imported;
    ``prefer`` maps a plugin's name to the distribution whose claim to it counts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    prefer: Mapping[str, str] = {}

    @field_validator("allow", "deny")
    @classmethod
    def _canonical(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(canonicalize_name(name) for name in names)

    def blocks(self, distribution: str) -> str | None:
        """Return why this distribution's plugins may not be used, or None when they may."""
        name = canonicalize_name(distribution)
        if name in self.deny:
            return "its distribution is on the deny list of [plugins]"
        if self.allow is not None and name not in self.allow and name != CORE:
            return "its distribution is not on the allow list of [plugins]"
        return None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin comes from: distribution, version, door, name and object (``module:attribute``)."""

    door: str
    name: str
    distribution: str
    version: str
    object: str

    def __str__(self) -> str:
        """Return distribution and version, as shown to people."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Claim:
    """One entry point: its origin, how to load it, and what is known of it without loading."""

    origin: Origin
    load: Callable[[], Any] = field(repr=False, compare=False)
    status: Status = "installed"
    reason: str = ""
    detail: str = field(default="", repr=False)

    @property
    def usable(self) -> bool:
        """Whether it may be loaded."""
        return self.status == "installed"


@dataclass(frozen=True, slots=True)
class StageType:
    """A loaded stage type: its name, class, metadata and origin."""

    name: str
    cls: type[Stage[Any]]
    metadata: StageMetadata
    origin: Origin


def accept_stage(claim: Claim, loaded: Any) -> StageType:
    """Return the stage type behind an entry point of the stage door.

    Raises:
        MetadataError: the object is not a stage class, or contradicts its metadata or its entry point's name.
    """
    origin = claim.origin
    plugin = f"{origin.name!r} from {origin}"
    if not (isinstance(loaded, type) and issubclass(loaded, Stage)):
        raise MetadataError(plugin, "entry point", origin.object, "must name a subclass of medical_kg.Stage")
    metadata = getattr(loaded, "metadata", None)
    if not isinstance(metadata, StageMetadata):
        raise MetadataError(plugin, "metadata", metadata, "the class needs a StageMetadata record named metadata")
    if metadata.stage_type != origin.name:
        reason = f"must equal the entry point's name {origin.name!r}"
        raise MetadataError(plugin, "stage_type", metadata.stage_type, reason)
    method = method_of(metadata)
    if getattr(loaded, method) is getattr(Stage, method):
        raise MetadataError(plugin, "mode", metadata.mode, f"the class must define {method}()")
    return StageType(origin.name, loaded, metadata, origin)


def accept_any(claim: Claim, loaded: Any) -> Any:
    """Return what is behind an entry point as it is; the door's user checks it."""
    del claim
    return loaded


class Registry(Generic[T]):
    """The plugins of one door: who claims which name, and the loaded objects.

    Args:
        door: the entry-point group.
        claims: every claim found, usable or not.
        accept: turns a loaded object into what the door gives; raises when it does not fit.
        prefer: settings that choose between claims to one name.
    """

    def __init__(
        self,
        door: str,
        claims: Iterable[Claim],
        accept: Callable[[Claim, Any], T],
        prefer: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the claims; nothing is loaded."""
        self.door = door
        self._accept = accept
        self._prefer = {name: canonicalize_name(distribution) for name, distribution in (prefer or {}).items()}
        self._claims = {(claim.origin.name, canonicalize_name(claim.origin.distribution)): claim for claim in claims}
        self._loaded: dict[Origin, T] = {}

    def __contains__(self, name: object) -> bool:
        """Whether some usable claim to the name exists; nothing is loaded."""
        return isinstance(name, str) and any(claim.usable for claim in self._claims_to(name))

    def names(self) -> tuple[str, ...]:
        """Return the names that have a usable claim, sorted, without loading any."""
        return tuple(sorted({claim.origin.name for claim in self._claims.values() if claim.usable}))

    def claims(self) -> tuple[Claim, ...]:
        """Return every claim, usable or not, by name and distribution, without loading any."""
        return tuple(self._claims[key] for key in sorted(self._claims))

    def claim(self, name: str) -> Claim:
        """Return the claim that counts for ``name`` (or ``distribution:name``), without loading it.

        Raises:
            PluginNotFound: nothing usable provides the name; the message says whether it is not installed, blocked,
                incompatible or misspelt.
            PluginBroken: it was tried before and is quarantined.
            PluginConflict: several distributions claim it and no setting prefers one.
        """
        claims = self._claims_to(name)
        usable = [claim for claim in claims if claim.usable]
        if len(usable) == 1:
            return usable[0]
        if usable:
            raise PluginConflict(self.door, name, [str(claim.origin) for claim in usable])
        raise self._absent(name, claims)

    def get(self, name: str) -> T:
        """Load (once) and return the plugin behind ``name`` or ``distribution:name``.

        Raises:
            PluginNotFound: as for ``claim``.
            PluginConflict: as for ``claim``.
            PluginBroken: it could not be loaded or does not fit the door; the traceback is kept.
        """
        claim = self.claim(name)
        if claim.origin not in self._loaded:
            self._loaded[claim.origin] = self._load(claim)
        return self._loaded[claim.origin]

    def add(self, name: str, plugin: Any, *, distribution: str = "in-code", version: str = "") -> None:
        """Register an object directly, e.g. in a test; it is checked at once like any other.

        Raises:
            PluginBroken: it does not fit the door.
        """
        shown = f"{getattr(plugin, '__module__', '?')}:{getattr(plugin, '__qualname__', plugin)}"
        origin = Origin(self.door, name, distribution, version, shown)
        claim = Claim(origin, lambda: plugin)
        self._loaded[origin] = self._load(claim)
        self._claims[name, canonicalize_name(distribution)] = claim

    def _claims_to(self, name: str) -> list[Claim]:
        distribution, _, plain = name.rpartition(":")
        claims = [claim for (known, _), claim in sorted(self._claims.items()) if known == plain]
        wanted = canonicalize_name(distribution) if distribution else self._prefer.get(plain)
        if wanted is None:
            return claims
        return [claim for claim in claims if canonicalize_name(claim.origin.distribution) == wanted]

    def _load(self, claim: Claim) -> T:
        try:
            return self._accept(claim, claim.load())
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".strip().removesuffix(":")
            broken = replace(claim, status="broken", reason=reason, detail=traceback.format_exc())
            self._claims[claim.origin.name, canonicalize_name(claim.origin.distribution)] = broken
            logger.warning(
                "plugin %r of %s from %s is quarantined: %s", claim.origin.name, self.door, claim.origin, reason
            )
            raise _broken(broken) from error

    def _absent(self, name: str, claims: list[Claim]) -> PluginNotFound | PluginBroken:
        for claim in claims:
            if claim.status == "broken":
                return _broken(claim)
            advice = "change [plugins] in medical_kg.toml" if claim.status == "blocked" else "install a fitting version"
            return PluginNotFound(self.door, name, f"{claim.origin} is {claim.status}: {claim.reason}", advice)
        plain = name.rpartition(":")[2]
        if plain in self._prefer and plain == name:
            reason = f"settings prefer distribution {self._prefer[plain]!r}, which does not provide it"
            return PluginNotFound(self.door, name, reason, "change [plugins.prefer] in medical_kg.toml")
        return PluginNotFound(self.door, name, "no installed distribution provides it", near(plain, self.names()))


def _broken(claim: Claim) -> PluginBroken:
    origin = claim.origin
    return PluginBroken(origin.door, origin.name, str(origin), claim.reason, claim.detail)


class Installation:
    """Everything installed behind the doors, as found when first asked; one registry per door.

    Args:
        settings: allow and deny lists and preferences.
        path: folders to look in instead of ``sys.path``.
    """

    def __init__(self, settings: PluginSettings | None = None, path: list[str] | None = None) -> None:
        """Keep the settings; nothing is looked up yet."""
        self._settings = settings or PluginSettings()
        self._path = path
        self._registries: dict[str, Registry[Any]] = {}

    @cached_property
    def _claims(self) -> dict[str, list[Claim]]:
        found: dict[str, list[Claim]] = {}
        for distribution in _distributions(self._path):
            for claim in _claims_of(distribution, self._settings):
                found.setdefault(claim.origin.door, []).append(claim)
        return found

    def doors(self) -> tuple[str, ...]:
        """Return the doors that have any claim."""
        return tuple(sorted(self._claims))

    def door(self, door: str) -> Registry[Any]:
        """Return the registry of a door; it is empty where nothing is installed."""
        if door not in self._registries:
            accept: Callable[[Claim, Any], Any] = accept_stage if door == STAGES else accept_any
            self._registries[door] = Registry(door, self._claims.get(door, ()), accept, self._settings.prefer)
        return self._registries[door]

    @property
    def stages(self) -> Registry[StageType]:
        """The registry of stage types."""
        return self.door(STAGES)

    def get(self, door: str, name: str) -> Any:
        """Load and return one plugin; errors as for ``Registry.get``."""
        return self.door(door).get(name)

    def names(self, door: str) -> tuple[str, ...]:
        """Return the usable names of a door, without loading any."""
        return self.door(door).names()


def _distributions(path: list[str] | None) -> Iterable[importlib.metadata.Distribution]:
    """Give each distribution that may provide a plugin, the first on the path where one is installed twice."""
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions(path=sys.path if path is None else path):
        text = distribution.read_text("entry_points.txt")
        # Most distributions have no plugin of ours; reading their metadata would be most of the cost of listing.
        if not text or DOOR_PREFIX not in text:
            continue
        name = canonicalize_name(distribution.metadata["Name"] or "")
        if name and name not in seen:
            seen.add(name)
            yield distribution


def _claims_of(distribution: importlib.metadata.Distribution, settings: PluginSettings) -> Iterable[Claim]:
    name, version = distribution.metadata["Name"], distribution.version
    status, reason = _standing(distribution, settings)
    for point in distribution.entry_points:
        if point.group.startswith(DOOR_PREFIX):
            origin = Origin(point.group, point.name, name, version, point.value)
            yield Claim(origin, point.load, status, reason)


def _standing(distribution: importlib.metadata.Distribution, settings: PluginSettings) -> tuple[Status, str]:
    name = distribution.metadata["Name"]
    if blocked := settings.blocks(name):
        return "blocked", blocked
    if canonicalize_name(name) != CORE and (misfit := _misfit(distribution.requires or ())):
        return "incompatible", misfit
    return "installed", ""


def _misfit(requires: Iterable[str]) -> str | None:
    """Return why a distribution with these requirements does not fit this release, or None when it does."""
    ours = importlib.metadata.version(CORE)
    for line in requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # a requirement on something else that the packaging library cannot read is not ours to judge
        if canonicalize_name(requirement.name) != CORE or (requirement.marker and not requirement.marker.evaluate()):
            continue
        if not requirement.specifier.contains(ours, prereleases=True):
            return f"it requires {CORE}{requirement.specifier}, this is {CORE} {ours}"
    return None
