"""The plugins of each door: found without importing them, loaded one by one when first used.

A door is an entry-point group whose name begins with ``medical_kg.``; one generic ``Registry`` serves them all. A
plugin that cannot be loaded is quarantined with its traceback, and only who asks for it hears of it.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from packaging.utils import canonicalize_name

from medical_kg.orchestration.contract.errors import (
    MetadataError,
    PluginBroken,
    PluginConflict,
    PluginError,
    PluginNotFound,
    near,
)
from medical_kg.orchestration.contract.metadata import StageMetadata
from medical_kg.orchestration.contract.stage import Stage, method_of
from medical_kg.orchestration.discovery import (
    CORE,
    DOOR_PREFIX,
    STAGES,
    Claim,
    Origin,
    PluginSettings,
    Status,
    find_claims,
)
from medical_kg.orchestration.explanation import Explanation, Outcome, Standing, explain, standing
from medical_kg.orchestration.interruption import watched

__all__ = [
    "CORE",
    "DOOR_PREFIX",
    "STAGES",
    "Claim",
    "Installation",
    "Origin",
    "PluginSettings",
    "Registry",
    "StageType",
    "Status",
    "accept_any",
    "accept_stage",
]

T = TypeVar("T")

ANY_DOOR = "any door"

KEEPING = ("kept", "forget")
"""The methods of a stage that keeps things."""

logger = logging.getLogger(__name__)


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
    for needed in KEEPING if metadata.keeps else ():
        if getattr(loaded, needed) is getattr(Stage, needed):
            raise MetadataError(plugin, "keeps", metadata.keeps, f"the class must define {needed}()")
    return StageType(origin.name, loaded, metadata, origin)


def accept_any(claim: Claim, loaded: Any) -> Any:
    """Return what is behind an entry point as it is; the door's user checks it."""
    del claim
    return loaded


class Registry(Generic[T]):
    """The plugins of one door: who claims which name, and the loaded objects. Threads may share it.

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
        self._claims = {_key(claim): claim for claim in claims}
        self._loaded: dict[tuple[str, str], T] = {}
        self._failed: set[tuple[str, str]] = set()
        # Reentrant: a plugin may ask for another one while it is imported.
        self._lock = threading.RLock()

    def __contains__(self, name: object) -> bool:
        """Whether some usable claim to the name exists; nothing is loaded."""
        return isinstance(name, str) and any(claim.usable for claim in self._claims_to(name))

    def names(self) -> tuple[str, ...]:
        """Return the names that have a usable claim, sorted, without loading any."""
        return tuple(sorted({claim.origin.name for claim in self.claims() if claim.usable}))

    def claims(self) -> tuple[Claim, ...]:
        """Return every claim, usable or not, by name and distribution, without loading any."""
        # Copied, not locked: looking need not wait for what another thread is loading.
        claims = dict(self._claims)
        return tuple(claims[key] for key in sorted(claims))

    def claim(self, name: str) -> Claim:
        """Return the claim that counts for ``name`` (or ``distribution:name``), without loading it.

        Raises:
            PluginNotFound: nothing usable provides the name; the message says whether it is not installed, blocked,
                incompatible or misspelt.
            PluginBroken: it was tried before and is quarantined, or what its distribution says of it is damaged.
            PluginConflict: several distributions claim it and no setting prefers one.
        """
        claims = self._claims_to(name)
        # One that failed to load still contends: what a name means must not depend on what was tried before.
        contenders = [claim for claim in claims if claim.usable or _key(claim) in self._failed]
        if len(contenders) > 1:
            raise PluginConflict(self.door, name, [str(claim.origin) for claim in contenders])
        if contenders and contenders[0].usable:
            return contenders[0]
        raise self._absent(name, contenders or claims)

    def get(self, name: str) -> T:
        """Load (once) and return the plugin behind ``name`` or ``distribution:name``.

        Raises:
            PluginNotFound: as for ``claim``.
            PluginConflict: as for ``claim``.
            PluginBroken: it could not be loaded or does not fit the door; the traceback is kept.
        """
        key = _key(self.claim(name))
        if key not in self._loaded:
            with self._lock:
                # Another thread may have loaded or quarantined it meanwhile.
                claim = self.claim(name)
                if key not in self._loaded:
                    self._loaded[key] = self._load(claim)
        return self._loaded[key]

    def why(self, name: str) -> Explanation:
        """Return why ``name`` (or ``distribution:name``) means what it means, or nothing; nothing is loaded."""
        plain = name.rpartition(":")[2]
        claims = [claim for claim in self.claims() if claim.origin.name == plain]
        return explain(self.door, name, claims, self._prefer.get(plain, ""), self._outcome(name))

    def standing(self, claim: Claim) -> tuple[Standing, str]:
        """Return how a claim of this door stands, and why: whether it may be loaded, and whether its name means it."""
        return standing(claim, self._outcome(claim.origin.name))

    def _outcome(self, name: str) -> Outcome:
        try:
            return self.claim(name)
        except PluginError as error:
            return error

    def add(self, name: str, plugin: Any, *, distribution: str = "in-code", version: str = "") -> None:
        """Register an object directly, e.g. in a test; it is checked at once like any other.

        It takes the place of what the same distribution had under this name. It competes with what other
        distributions have there: see ``claim``.

        Raises:
            PluginBroken: it does not fit the door; nothing is registered.
        """
        shown = f"{getattr(plugin, '__module__', '?')}:{getattr(plugin, '__qualname__', plugin)}"
        claim = Claim(Origin(self.door, name, distribution, version, shown), lambda: plugin)
        loaded = self._try(claim)
        if isinstance(loaded, _Broken):
            raise _error(loaded.claim) from loaded.cause
        with self._lock:
            self._loaded[_key(claim)] = loaded.plugin
            self._claims[_key(claim)] = claim

    def _claims_to(self, name: str) -> list[Claim]:
        distribution, _, plain = name.rpartition(":")
        claims = [claim for claim in self.claims() if claim.origin.name == plain]
        wanted = canonicalize_name(distribution) if distribution else self._prefer.get(plain)
        if wanted is None:
            return claims
        return [claim for claim in claims if canonicalize_name(claim.origin.distribution) == wanted]

    def _load(self, claim: Claim) -> T:
        loaded, key = self._try(claim), _key(claim)
        if isinstance(loaded, _Loaded):
            self._claims[key] = loaded.claim
            return loaded.plugin
        origin, broken = claim.origin, loaded.claim
        self._failed.add(key)
        self._claims[key] = broken
        logger.warning("plugin %r of %s from %s is quarantined: %s", origin.name, self.door, origin, broken.reason)
        raise _error(broken) from loaded.cause

    def _try(self, claim: Claim) -> _Loaded[T] | _Broken:
        # When somebody stops the program, that comes out of this block, whatever the plugin makes of it.
        with watched():
            try:
                plugin = claim.load()
                claim = claim.as_loaded()
                return _Loaded(claim, self._accept(claim, plugin))
            except BaseException as error:  # noqa: BLE001  # a module may raise anything, SystemExit too
                reason = f"{type(error).__name__}: {_message(error)}".strip().removesuffix(":")
                return _Broken(replace(claim, status="broken", reason=reason, detail=traceback.format_exc()), error)

    def _absent(self, name: str, claims: list[Claim]) -> PluginNotFound | PluginBroken:
        for claim in claims:
            if claim.status == "broken":
                return _error(claim)
        if claims:
            blocked = any(claim.status == "blocked" for claim in claims)
            advice = "change [plugins] in medical_kg.toml" if blocked else "install a fitting version"
            reason = "; ".join(f"{claim.origin} is {claim.status}: {claim.reason}" for claim in claims)
            return PluginNotFound(self.door, name, reason, advice)
        distribution, _, plain = name.rpartition(":")
        preferred = "" if distribution else self._prefer.get(plain, "")
        others = " and ".join(str(claim.origin) for claim in self.claims() if claim.origin.name == plain)
        if preferred:
            reason = f"settings prefer distribution {preferred!r}, which does not provide it"
            return PluginNotFound(self.door, name, reason, "change [plugins.prefer] in medical_kg.toml")
        if distribution and others:
            reason = f"distribution {distribution!r} does not provide it"
            return PluginNotFound(self.door, name, reason, f"it is provided by {others}")
        return PluginNotFound(self.door, name, "no installed distribution provides it", near(plain, self.names()))


def _key(claim: Claim) -> tuple[str, str]:
    """Return what a claim is known by; a local module's origin changes when it is loaded."""
    return claim.origin.name, canonicalize_name(claim.origin.distribution)


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[T]):
    """A claim whose plugin could be loaded, as it is then known, and the plugin."""

    claim: Claim
    plugin: T


@dataclass(frozen=True, slots=True)
class _Broken:
    """A claim that could not be loaded, and why."""

    claim: Claim
    cause: BaseException


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # an error that cannot say what it is must not harm who asks
        return "its message cannot be shown"


def _error(claim: Claim) -> PluginBroken:
    origin = claim.origin
    return PluginBroken(origin.door, origin.name, str(origin), claim.reason, claim.detail)


class Installation:
    """Everything installed behind the doors, as found when first asked; one registry per door.

    Args:
        settings: allow and deny lists and preferences.
        path: folders to look in instead of ``sys.path``.
        folder: where the settings stand and local modules are looked for; the current one unless given.
    """

    def __init__(
        self, settings: PluginSettings | None = None, path: list[str] | None = None, folder: Path | None = None
    ) -> None:
        """Keep the settings; nothing is looked up yet."""
        # The defaults need no validating, and building what validates costs as much as listing.
        self.settings = settings or PluginSettings.model_construct()
        self.path = path
        self.folder = (folder or Path()).absolute()
        self._found: dict[str, list[Claim]] | None = None
        self._registries: dict[str, Registry[Any]] = {}
        self._lock = threading.Lock()

    def doors(self) -> tuple[str, ...]:
        """Return the doors that have any claim."""
        with self._lock:
            made = {door for door, registry in self._registries.items() if registry.claims()}
            return tuple(sorted(made.union(self._claims())))

    def door(self, door: str) -> Registry[Any]:
        """Return the registry of a door; it is empty where nothing is installed."""
        with self._lock:
            if door not in self._registries:
                accept: Callable[[Claim, Any], Any] = accept_stage if door == STAGES else accept_any
                self._registries[door] = Registry(door, self._claims().get(door, ()), accept, self._prefer(door))
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

    def why(self, name: str) -> tuple[Explanation, ...]:
        """Return why a name means what it means, for every door that has a claim to it; one for none if none has."""
        plain = name.rpartition(":")[2]
        claimed = {door: [claim.origin.name for claim in self.door(door).claims()] for door in self.doors()}
        if doors := [door for door, names in claimed.items() if plain in names]:
            return tuple(self.door(door).why(name) for door in doors)
        advice = near(plain, [known for names in claimed.values() for known in names])
        nothing = PluginNotFound(ANY_DOOR, name, "no installed distribution provides it", advice)
        return (explain(ANY_DOOR, name, (), "", nothing),)

    def _claims(self) -> dict[str, list[Claim]]:
        if self._found is None:
            found: dict[str, list[Claim]] = {}
            for claim in chain(find_claims(self.settings, self.path), self._local()):
                found.setdefault(claim.origin.door, []).append(claim)
            self._found = found
        return self._found

    def _local(self) -> Iterable[Claim]:
        if not self.settings.local:
            return ()
        from medical_kg.orchestration.local import find_local

        return find_local(self.settings, self.folder)

    def _prefer(self, door: str) -> dict[str, str]:
        """Return the preferences that are meant for this door: all but those whose distribution fits another one."""
        wanted = {name: canonicalize_name(distribution) for name, distribution in self.settings.prefer.items()}
        claimed = {
            (name, chosen): {
                claim.origin.door
                for claims in self._claims().values()
                for claim in claims
                if claim.origin.name == name and canonicalize_name(claim.origin.distribution) == chosen
            }
            for name, chosen in wanted.items()
        }
        return {name: chosen for (name, chosen), doors in claimed.items() if door in doors or not doors}
