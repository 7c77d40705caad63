"""``medical_kg.lock``: written by ``plugins lock``, compared by ``plugins verify``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from medical_kg.orchestration.contract.errors import PluginError, SettingsError, StorageError, UsageError
from medical_kg.orchestration.contract.model import Model, plainly
from medical_kg.orchestration.discovery import SHORT
from medical_kg.orchestration.lock.entries import Entry, entry_of
from medical_kg.orchestration.registry import STAGES, StageType

if TYPE_CHECKING:
    from medical_kg.orchestration.discovery import Claim
    from medical_kg.orchestration.registry import Installation
    from medical_kg.orchestration.workspace import Workspace

LOCK_FILE = "medical_kg.lock"

Entries = Mapping[str, Mapping[str, Entry]]
"""Door, then the plugin's name (``distribution:name`` where the name alone means another one or none), to entry."""

SHOWN_WHOLE = ("distribution", "version", "behaviour")


class Lock(Model):
    """The content of the file, and what could not be locked."""

    version: Literal[1] = 1
    plugins: dict[str, dict[str, Entry]]

    def to_json(self) -> str:
        """Return the file's text: the same for the same plugins, on every machine."""
        kept = self.model_dump(exclude_defaults=True) | {"version": self.version}
        return json.dumps(kept, indent=2, sort_keys=True) + "\n"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one plugin that differs from a lock; ``field`` is ``plugin`` where it is there only then or now."""

    door: str
    name: str
    field: str
    old: str
    new: str

    def __str__(self) -> str:
        """Return it as shown to people; of hashes the beginning."""
        plugin = f"{self.name!r} ({self.door})"
        if self.field == "plugin":
            return f"{plugin} {'is new: ' + self.new if self.new else 'is gone: ' + self.old}"
        cut = None if self.field in SHOWN_WHOLE else SHORT
        return f"{plugin} {self.field} {self.old[:cut] or 'none'} -> {self.new[:cut] or 'none'}"


def lock_path(workspace: Workspace) -> Path:
    """Return where a workspace's lock stands: beside its settings file or, without one, beside the workspace."""
    return (workspace.settings_path or workspace.root).parent / LOCK_FILE


def make_lock(installation: Installation) -> tuple[Lock, tuple[str, ...]]:
    """Return the lock of everything that can be used, loading the stage types, and why the rest is left out."""
    plugins: dict[str, dict[str, Entry]] = {}
    left_out: list[str] = []
    for door in installation.doors():
        for claim in installation.door(door).claims():
            try:
                plugins.setdefault(door, {})[key_of(installation, claim)] = _entry(installation, claim)
            except PluginError as error:
                left_out.append(str(error))
    return Lock(plugins={door: entries for door, entries in plugins.items() if entries}), tuple(left_out)


def key_of(installation: Installation, claim: Claim) -> str:
    """Return what a plugin is called in a lock: its name, if that means it, else ``distribution:name``."""
    origin = claim.origin
    is_meant = installation.door(origin.door).standing(claim)[0] not in ("unused", "conflict")
    return origin.name if is_meant else f"{origin.distribution}:{origin.name}"


def _entry(installation: Installation, claim: Claim) -> Entry:
    origin, door = claim.origin, installation.door(claim.origin.door)
    asked = f"{origin.distribution}:{origin.name}"
    door.claim(asked)  # raises where it cannot be used
    loaded = door.get(asked) if origin.door == STAGES else None
    return entry_of(door.claim(asked), loaded if isinstance(loaded, StageType) else None)


def lock_plugins(workspace: Workspace) -> tuple[Lock, tuple[str, ...]]:
    """Write the lock of a workspace's plugins; return it, and why what cannot be used is left out.

    Raises:
        StorageError: the file cannot be written.
    """
    lock, left_out = make_lock(workspace.installation)
    path = lock_path(workspace)
    try:
        path.write_text(lock.to_json(), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
    return lock, left_out


def read_lock(workspace: Workspace) -> Lock | None:
    """Return the lock that stands beside the settings, None where there is none.

    Raises:
        SettingsError: it cannot be read, or is no lock.
    """
    path = lock_path(workspace)
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in (".".join(map(str, first["loc"])),) if part)
        msg = f"{path} is no lock: {where}{plainly(first['msg'])}; write it anew: medical-kg plugins lock"
        raise SettingsError(msg) from error


def verify_plugins(workspace: Workspace) -> tuple[Difference, ...]:
    """Return how a workspace's plugins differ from its lock.

    Raises:
        UsageError: there is no lock.
        SettingsError: the lock cannot be read.
    """
    lock = read_lock(workspace)
    if lock is None:
        raise UsageError(f"there is no {lock_path(workspace)}; write it: medical-kg plugins lock")
    return tuple(compare(lock.plugins, make_lock(workspace.installation)[0].plugins))


def compare(old: Entries, new: Entries) -> Iterator[Difference]:
    """Give every difference between two locks, by door and name."""
    for door in sorted({*old, *new}):
        before, after = old.get(door, {}), new.get(door, {})
        for name in sorted({*before, *after}):
            yield from _compare(door, name, before.get(name), after.get(name))


def _compare(door: str, name: str, old: Entry | None, new: Entry | None) -> Iterator[Difference]:
    if old is None or new is None:
        yield Difference(door, name, "plugin", _said(old), _said(new))
        return
    for field in Entry.model_fields:
        before, after = getattr(old, field), getattr(new, field)
        if before != after:
            yield Difference(door, name, field, before, after)


def _said(entry: Entry | None) -> str:
    return "" if entry is None else f"{entry.distribution} {entry.version}".strip()
