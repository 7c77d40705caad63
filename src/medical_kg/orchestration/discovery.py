"""Who claims which name behind which door, read from the metadata of installed distributions; nothing is imported.

The two files are read here instead of by ``importlib.metadata``: there one distribution with a damaged file stops the
whole listing, here its entries are listed as broken and the others are not touched.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Annotated, Any, Literal

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from pydantic import AfterValidator, field_validator
from pydantic_core import PydanticCustomError

from medical_kg.orchestration.contract.errors import near
from medical_kg.orchestration.contract.model import Model

Status = Literal["installed", "blocked", "incompatible", "broken"]

CORE = "medical-kg"
LOCAL = "local"
"""Stands for the distribution of what ``[plugins.local.DOOR]`` of the settings names."""
SETTINGS_FILE = "medical_kg.toml"
DOOR_PREFIX = "medical_kg."
STAGES = "medical_kg.orchestration.stages"
DOORS = (
    STAGES,
    *(f"{DOOR_PREFIX}{word}" for word in ("commands", "embedders", "formats", "sources", "stores")),
)
"""The doors of this release; a package may open more, each with ``medical_kg.`` before its name."""
ENTRY_POINTS = "entry_points.txt"
OBJECT = re.compile(r"\w+(\.\w+)*\s*(:\s*\w+(\.\w+)*)?\s*(\[.*\])?")
"""``module:attribute``, and the extras that old entry points may name."""

HEADER = re.compile(r"^(Name|Version|Requires-Dist):(.*)", re.IGNORECASE | re.MULTILINE)
"""The headers of METADATA that matter here."""
ON_CORE = re.compile(r"medical[-_.]+kg(?![\w.-])", re.IGNORECASE)
"""The beginning of a requirement on this distribution, in any spelling; on something else is not ours to judge."""
PLAIN = re.compile(r"[\w.-]+\s*([<>=!~][\w\s.,<>=!~*+-]*)?")
"""A requirement without extras, address and marker: the common case, for which the full parser is slow."""

AT_ONCE = 65_536
"""Bytes that are read at once: more than most metadata files have."""
SHORT = 12
"""Digits of a hash that people are shown."""

logger = logging.getLogger(__name__)


def door_of(given: str) -> str | None:
    """Return a door by its full name, or one of this release by its last word; None where there is none."""
    if given.startswith(DOOR_PREFIX):
        return given
    return next((door for door in DOORS if door.rpartition(".")[2] == given), None)


def _as_door(given: str) -> str:
    if door_of(given) is None:
        words = [door.rpartition(".")[2] for door in DOORS]
        raise PydanticCustomError("door", "there is no such door; {advice}", {"advice": near(given, words)})
    return given


def _as_name(given: str) -> str:
    if not given.strip() or ":" in given:
        raise PydanticCustomError("name", "a plugin's name is a text without a colon")
    return given


def _as_object(given: str) -> str:
    if ":" not in given or not OBJECT.fullmatch(given):
        raise PydanticCustomError("object", "must be 'module:attribute', not {given}", {"given": repr(given)})
    return given


class PluginSettings(Model):
    """Table ``[plugins]`` of the settings: who may provide plugins, whose claim counts, and modules of one's own.

    ``allow`` (when given) and ``deny`` hold names of distributions and are applied before anything is imported;
    ``prefer`` maps a plugin's name to the distribution whose claim to it counts. ``local`` maps a door (its name or the
    last word of it) to plugins in the folder of the settings, name to ``module:attribute``. ``on_lock_mismatch`` says
    what a run does when plugins differ from their lock.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    prefer: Mapping[str, str] = {}
    local: Mapping[
        Annotated[str, AfterValidator(_as_door)],
        Mapping[Annotated[str, AfterValidator(_as_name)], Annotated[str, AfterValidator(_as_object)]],
    ] = {}
    on_lock_mismatch: Literal["warn", "refuse"] = "warn"

    @field_validator("allow", "deny")
    @classmethod
    def _canonical(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(canonicalize_name(name) for name in names)

    @field_validator("local")
    @classmethod
    def _once(cls, tables: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
        for given in tables:
            if given.startswith(DOOR_PREFIX) and any(door_of(other) == given for other in tables if other != given):
                raise PydanticCustomError("twice", "{door} has two tables; write one", {"door": given})
        return tables

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
    """Where a plugin comes from: distribution, version, door, name and object (``module:attribute``).

    A local module has the distribution ``local``, its ``source`` is the sha256 (hex) of its source, and its version the
    beginning of that. Of a distribution's plugin ``source`` is empty.
    """

    door: str
    name: str
    distribution: str
    version: str
    object: str
    source: str = ""

    def __str__(self) -> str:
        """Return distribution and version, as shown to people."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Claim:
    """One entry point: its origin, how to load it, and what is known of it without loading.

    ``found_in`` is the distribution and ``line`` the line of its entry points. For a local module ``written_in`` is its
    place in the settings, and ``loaded_source`` gives the hash of what was loaded: the file may have changed since it
    was listed. A plugin made in code has none of these.
    """

    origin: Origin
    load: Callable[[], Any] = field(repr=False, compare=False)
    status: Status = "installed"
    reason: str = ""
    detail: str = field(default="", repr=False)
    found_in: importlib.metadata.Distribution | None = field(default=None, repr=False, compare=False)
    line: int = field(default=0, repr=False, compare=False)
    written_in: str = field(default="", repr=False, compare=False)
    loaded_source: Callable[[], str] | None = field(default=None, repr=False, compare=False)

    @property
    def usable(self) -> bool:
        """Whether it may be loaded."""
        return self.status == "installed"

    @property
    def place(self) -> str:
        """Where it is written, as ``file:line``; empty where that is not known."""
        folder = getattr(self.found_in, "_path", None)  # private, but importlib.metadata has no other way to tell
        return self.written_in if folder is None else f"{str(folder).rstrip('/')}/{ENTRY_POINTS}:{self.line}"

    def as_loaded(self) -> Claim:
        """Return it with the source that was loaded."""
        if self.loaded_source is None:
            return self
        source = self.loaded_source()
        return replace(self, origin=replace(self.origin, source=source, version=source[:SHORT]))


@dataclass(frozen=True, slots=True)
class _About:
    """What a distribution says of itself, and what is wrong with how it says it."""

    name: str
    version: str
    requires: tuple[str, ...]
    damage: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of ``entry_points.txt``, and why it cannot be used, if so."""

    door: str
    name: str
    object: str
    wrong: str
    line: int


def find_claims(settings: PluginSettings, path: list[str] | None = None) -> Iterator[Claim]:
    """Give every claim to a name behind a door, usable or not.

    Where a distribution is installed twice, the first on the path (``sys.path`` unless given) counts, as for imports.
    """
    seen: set[str] = set()
    for distribution, folder_name in _distributions(path, seen):
        text, damage = _read(distribution, ENTRY_POINTS)
        # Most distributions have no plugin of ours; reading their metadata would be most of the cost of listing.
        if DOOR_PREFIX in text:
            about = _about(distribution, folder_name, damage)
            canonical = canonicalize_name(about.name)
            # A folder with another name than its distribution is left behind by an interrupted installation.
            if canonical == folder_name or canonical not in seen:
                seen.add(canonical)
                yield from _claims_of(distribution, about, _entries(text), settings)
        elif damage:
            logger.warning("plugins of distribution %r, if it has any, cannot be listed: %s", folder_name, damage)


def find_damaged(path: list[str] | None = None) -> Iterator[tuple[str, str]]:
    """Give each distribution whose entry points cannot be read, so that it gives no claim either, and what is wrong."""
    for distribution, folder_name in _distributions(path, set()):
        text, damage = _read(distribution, ENTRY_POINTS)
        if damage and DOOR_PREFIX not in text:
            yield folder_name, damage


def _distributions(path: list[str] | None, seen: set[str]) -> Iterator[tuple[importlib.metadata.Distribution, str]]:
    """Give what is installed, with the name of its folder, each name once; ``seen`` has the names that were given."""
    for distribution in importlib.metadata.distributions(path=sys.path if path is None else path):
        folder_name = _folder_name(distribution)
        if folder_name not in seen:
            seen.add(folder_name)
            yield distribution, folder_name


def _folder_name(distribution: importlib.metadata.Distribution) -> str:
    # Private, but what importlib.metadata.entry_points() itself goes by: the public name reads METADATA.
    try:
        return str(distribution._normalized_name).replace("_", "-")  # type: ignore[attr-defined]  # noqa: SLF001
    except Exception:  # noqa: BLE001  # a folder without a name, whose METADATA may be damaged in any way
        return "unnamed"


def _read(distribution: importlib.metadata.Distribution, file: str) -> tuple[str, str]:
    """Return a metadata file's text as far as it can be read, and what is wrong with it."""
    try:
        content = _content(distribution, file)
        return (distribution.read_text(file) or "" if content is None else content.decode()), ""
    except UnicodeDecodeError as error:
        return error.object.decode(errors="replace"), f"its {file} is damaged: it is not UTF-8"
    except OSError as error:
        return "", f"its {file} cannot be read: {error.strerror}"


def _content(distribution: importlib.metadata.Distribution, file: str) -> bytes | None:
    """Return a metadata file from a plain folder as it is; None where ``read_text`` must say, as of one in an archive.

    Opening a text file by its path costs more than the rest of listing, and this is done for every distribution.
    """
    try:
        folder = os.fspath(distribution._path)  # type: ignore[attr-defined]  # noqa: SLF001  # private, see read_text
        number = os.open(f"{folder}/{file}", os.O_RDONLY | os.O_CLOEXEC)
    except (AttributeError, TypeError, OSError):
        return None
    try:
        content = os.read(number, AT_ONCE)
        while more := os.read(number, AT_ONCE) if len(content) % AT_ONCE == 0 else b"":
            content += more
    except OSError:
        return None
    finally:
        os.close(number)
    return content.replace(b"\r\n", b"\n")


def _about(distribution: importlib.metadata.Distribution, folder_name: str, damage: str) -> _About:
    text, unreadable = _read(distribution, "METADATA")
    text = text or _read(distribution, "PKG-INFO")[0]
    found: dict[str, list[str]] = {"name": [], "version": [], "requires-dist": []}
    for header, value in HEADER.findall(text.partition("\n\n")[0]):
        found[header.lower()].append(value.strip())
    lacking = [header for header in ("Name", "Version") if not any(found[header.lower()])]
    damage = damage or unreadable or (f"its METADATA has no {' and no '.join(lacking)}" if lacking else "")
    name, version = (next(iter(found[header]), "") for header in ("name", "version"))
    return _About(name or folder_name, version, tuple(found["requires-dist"]), damage)


def _claims_of(
    distribution: importlib.metadata.Distribution, about: _About, entries: Iterable[_Entry], settings: PluginSettings
) -> Iterable[Claim]:
    status, reason = _standing(about, settings)
    claims: dict[tuple[str, str], Claim] = {}
    for entry in entries:
        origin = Origin(entry.door, entry.name, about.name, about.version, entry.object)
        claim = Claim(origin, partial(_load, entry), status, reason, "", distribution, entry.line)
        if entry.wrong and claim.usable:
            claim = replace(claim, status="broken", reason=entry.wrong)
        other = claims.setdefault((entry.door, entry.name), claim)
        if other.usable and other.origin != origin:
            twice = f"its {ENTRY_POINTS} names it twice: {other.origin.object!r} and {entry.object!r}"
            claims[entry.door, entry.name] = replace(other, status="broken", reason=twice)
    return claims.values()


def _load(entry: _Entry) -> Any:
    return importlib.metadata.EntryPoint(name=entry.name, value=entry.object, group=entry.door).load()


def _entries(text: str) -> Iterator[_Entry]:
    door = ""
    for number, given in enumerate(text.split("\n"), start=1):
        line = given.strip()
        if line[:1] == "[" and line[-1] == "]":
            name = line[1:-1].strip()
            door = name if name.startswith(DOOR_PREFIX) else ""
        elif door and line and line[0] != "#":
            name, _, value = line.partition("=")
            name, value = name.strip(), value.strip()
            wrong = ""
            if not name or ":" in name or not OBJECT.fullmatch(value):
                wrong = f"line {number} of its {ENTRY_POINTS} is {line!r}, not name = module:attribute"
            yield _Entry(door, name, value, wrong, number)


def _standing(about: _About, settings: PluginSettings) -> tuple[Status, str]:
    if blocked := settings.blocks(about.name):
        return "blocked", blocked
    if canonicalize_name(about.name) == LOCAL:
        return "broken", f"the name {LOCAL!r} stands for modules named in {SETTINGS_FILE}; a distribution needs another"
    if about.damage:
        return "broken", f"{about.damage}; install {about.name} anew"
    if canonicalize_name(about.name) != CORE and (misfit := _misfit(about.requires)):
        return "incompatible", misfit
    return "installed", ""


def _misfit(requires: Iterable[str]) -> str | None:
    """Return why a distribution with these requirements does not fit this release, or None when it does."""
    from medical_kg import __version__ as ours

    return next(filter(None, (_clash(line, ours) for line in filter(ON_CORE.match, requires))), None)


@cache
def _clash(line: str, ours: str) -> str | None:
    """Return why a requirement on us does not admit this release; plugins by and large write the same few."""
    try:
        specifier = _specifier(line)
    except (InvalidRequirement, InvalidSpecifier, UndefinedComparison, UndefinedEnvironmentName) as error:
        return f"its requirement {line!r} cannot be read: {str(error).splitlines()[0]}"
    if specifier is not None and not specifier.contains(ours, prereleases=True):
        return f"it requires {CORE}{specifier}, this is {CORE} {ours}"
    return None


def _specifier(line: str) -> SpecifierSet | None:
    """Return which releases a requirement on us admits, or None where it does not apply."""
    if plain := PLAIN.fullmatch(line):
        return SpecifierSet(plain[1] or "")
    requirement = Requirement(line)
    applies = requirement.marker is None or requirement.marker.evaluate()
    return requirement.specifier if applies else None
