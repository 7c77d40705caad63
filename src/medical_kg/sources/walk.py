"""Finding the input files of a folder, in an order that is the same every time."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ABOUT_THE_DATA = frozenset(
    {"readme", "license", "licence", "notice", "manifest", "changelog", "copying", "authors", "citation", "checksums"}
)
"""Files of these names (any case and ending) speak about the data and are no data: they are passed over."""


class Found(NamedTuple):
    """A file: where it is, its path relative to the input with ``/``, and why it cannot be read, if so."""

    path: Path
    name: str
    problem: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The place in the order of all files."""
        return PurePosixPath(self.name).parts

    def changed_since(self, when: float) -> bool:
        """Whether it was written, or came to this place, since then (seconds since the epoch); also where that is not known."""
        try:
            found = self.path.stat()
        except OSError:
            return True
        return bool(self.problem) or max(found.st_mtime, found.st_ctime) >= when


def find_files(top: Path, pattern: str | None = None, start: str = "") -> Iterator[Found]:
    """Give the regular files under a folder, sorted by path; a file is given as itself.

    Hidden files and folders, files about the data (README …), links and special files are passed over; links because
    they may leave the folder or run in circles. A folder that cannot be listed is given with its problem.

    Args:
        top: a folder or a file.
        pattern: only files whose path matches it, e.g. ``*.json`` or ``trials/*.xml``.
        start: begin at this file (its relative name).
    """
    if not top.is_dir():
        yield Found(top, printable(top.name))
        return
    first = PurePosixPath(start).parts
    for found in _walk(top, ""):
        matches = pattern is None or PurePosixPath(found.name).match(pattern)
        if found.key >= first and (matches or found.problem):
            yield found


def _walk(folder: Path, prefix: str) -> Iterator[Found]:
    try:
        names, folders = _list(folder)
    except OSError as error:
        yield Found(folder, prefix.rstrip("/"), f"the folder cannot be listed: {error.strerror or error}")
        return
    for entry in _each(names):
        name = prefix + printable(entry)
        if entry in folders:
            yield from _walk(folder / entry, f"{name}/")
        else:
            yield Found(folder / entry, name)


def _list(folder: Path) -> tuple[str, set[str]]:
    """Return the names to visit, sorted, with a NUL between them, and which of them are folders.

    They are kept as long as the folder is read, and there may be a million: one text is a tenth of a list of texts.
    """
    names, folders = [], set()
    with os.scandir(folder) as listing:
        for entry in listing:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.add(entry.name)
            elif not entry.is_file(follow_symlinks=False) or _is_about_the_data(entry.name):
                continue
            names.append(entry.name)
    names.sort(key=None if all(map(_is_text, names)) else printable)
    return "\0".join(names), folders


def _each(names: str) -> Iterator[str]:
    start = 0
    while start < len(names):
        end = names.find("\0", start)
        end = len(names) if end < 0 else end
        yield names[start:end]
        start = end + 1


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_about_the_data(name: str) -> bool:
    return name.lower().split(".", 1)[0] in ABOUT_THE_DATA


def printable(name: str) -> str:
    """Return a file name as Unicode text; bytes that are no UTF-8 are written as hexadecimal escapes."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")
