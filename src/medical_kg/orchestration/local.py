"""A project's own modules as plugins: named in ``[plugins.local.DOOR]`` of the settings, found in the settings' folder.

They are listed without importing them, with the distribution ``local`` and the hash of their source, so that an edit is
seen by the next process without installing anything. A module is loaded from that folder under its own name; where a
different module has that name already, neither takes the other's place: the claim is broken and names both.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from medical_kg.orchestration.discovery import LOCAL, SETTINGS_FILE, Claim, Origin, PluginSettings, door_of


def find_local(settings: PluginSettings, folder: Path) -> Iterator[Claim]:
    """Give a claim for every plugin that the settings in ``folder`` name; one that cannot be found is broken."""
    lines = _lines(folder / SETTINGS_FILE)
    for given, entries in settings.local.items():
        table = f"[plugins.local.{given}]"
        for name, value in entries.items():
            entry = EntryPoint(name, value, door_of(given) or given)
            yield replace(_claim(entry, table, folder), written_in=_place(folder / SETTINGS_FILE, lines, table, name))


def _claim(entry: EntryPoint, table: str, folder: Path) -> Claim:
    top = _top(entry)
    load, loaded_source = partial(_load, entry, folder), partial(_source, top, folder)
    origin = Origin(entry.group, entry.name, LOCAL, "", entry.value)
    try:
        _check(top, folder)
    except ImportError as error:
        return Claim(origin, load, "broken", f"{error}, or correct {table} {entry.name} in {SETTINGS_FILE}")
    except OSError as error:
        reason = f"its source {error.filename} cannot be read: {error.strerror}; make it readable"
        return Claim(origin, load, "broken", reason)
    return Claim(origin, load, loaded_source=loaded_source).as_loaded()


def _lines(file: Path) -> list[str]:
    """Return the lines of the settings; none where they come from elsewhere."""
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _place(file: Path, lines: Sequence[str], table: str, name: str) -> str:
    """Return where an entry is written, as ``file:line``, as far as it can be found without a parser of positions."""
    head = next((number for number, line in enumerate(lines) if line.strip().startswith(table)), len(lines))
    for number in range(head, len(lines)):
        if lines[number].partition("=")[0].strip().strip("\"'") == name:
            return f"{file}:{number + 1}"
    return str(file) if lines else ""


def source_hash(file: Path) -> str:
    """Return the sha256 (hex) over a module's source: its file, or every ``.py`` file of its package by relative path.

    Raises:
        OSError: a file cannot be read.
    """
    files, base = [file], file.parent
    if file.name == "__init__.py":
        files, base = [path for path in file.parent.rglob("*.py") if not path.is_dir()], file.parent.parent
    digest = sha256()
    for name, path in sorted((path.relative_to(base).as_posix(), path) for path in files):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


def _top(entry: EntryPoint) -> str:
    return entry.module.partition(".")[0]


def _check(top: str, folder: Path) -> Path:
    """Return the file of a module that may be loaded.

    Raises:
        ImportError: it is not there, or a different module has its name; the message ends in what to do.
        OSError: it cannot be read.
    """
    spec = _find(top, folder)
    if spec is None or spec.origin is None:
        raise ImportError(f"there is no {top}.py and no {top}/__init__.py in {folder}; write one")
    file = Path(spec.origin)
    if other := _other(top, file):
        raise ImportError(f"the module {file} has the name of another one, {other}; rename it")
    _source(top, folder)
    return file


def _find(top: str, folder: Path | str) -> ModuleSpec | None:
    return FileFinder(str(folder), (_FromSource, SOURCE_SUFFIXES)).find_spec(top)


def _other(top: str, file: Path) -> str:
    """Return the place of a different module of this name, imported or installed; empty where there is none."""
    if top in sys.modules:
        place = getattr(sys.modules[top], "__file__", None) or f"which is imported as {top!r}"
    else:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):  # some importer cannot say
            return ""
        if spec is None or spec.origin is None:  # a folder without __init__.py gives way to any module
            return ""
        place = spec.origin if spec.has_location else f"which is part of Python ({spec.origin})"
    return "" if _is_same(place, file) else place


def _is_same(place: str, file: Path) -> bool:
    return Path(place).resolve() == file.resolve()


def _source(top: str, folder: Path) -> str:
    """Return the hash of what was loaded, in a process that has loaded it, else of what would be."""
    if top in sys.modules and _FINDER.folders.get(top) == folder:
        return _FINDER.sources[top]
    spec = _find(top, folder)
    return source_hash(Path(str(spec and spec.origin)))


def _load(entry: EntryPoint, folder: Path) -> Any:
    top = _top(entry)
    file = _check(top, folder)
    if top not in sys.modules:
        _FINDER.add(top, folder, source_hash(file))
    try:
        return entry.load()
    finally:
        if top not in sys.modules:
            _FINDER.remove(top)


class _FromSource(SourceFileLoader):
    """Loads a module from its source only: a stored translation is told from an edited source by second and size."""

    def path_stats(self, path: str) -> Any:
        """Say that there is no stored translation, and that none shall be stored."""
        raise OSError(path)


class _Finder:
    """Finds the local modules of this process, and the modules in them if they are packages."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.sources: dict[str, str] = {}

    def add(self, top: str, folder: Path, source: str) -> None:
        self.folders[top], self.sources[top] = folder, source
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self, top: str) -> None:
        self.folders.pop(top, None)
        self.sources.pop(top, None)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return where a module is loaded from, None if it is none of ours."""
        del target
        folder = self.folders.get(name.partition(".")[0])
        if folder is None:
            return None
        places = [str(folder)] if path is None else path
        found = (FileFinder(place, (_FromSource, SOURCE_SUFFIXES)).find_spec(name) for place in places)
        return next((spec for spec in found if spec is not None), None)


_FINDER = _Finder()
