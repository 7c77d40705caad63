"""Folders of files named by the sha256 of their content, two digits of it as a folder: storing beside taking away.

Whoever stores holds a shared lock on the two-digit folder while it makes sure that a file is there and touches it;
whoever takes away holds it alone, and leaves what was touched lately. So a file that somebody counts on is never taken
between its store and the moment the ledger mentions it.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMED = re.compile(r"([0-9a-f]{64})([^/]*)")

FRESH_SECONDS = 3600.0
"""What was touched less long ago may be about to be mentioned: it is not taken away, whoever asks."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored file: its digest and suffix, its bytes, and when it was last stored (seconds since the epoch)."""

    digest: str
    suffix: str
    size: int
    touched: float


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Keep everybody from taking files of a two-digit folder away while the block runs."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems lock no folders; there a file's age alone protects it.
        with suppress(OSError):
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def touch(path: Path) -> None:
    """Note that a file that is there was stored once more; one of another user keeps its age."""
    with suppress(PermissionError):
        os.utime(path)


def stored(root: Path) -> Iterator[Kept]:
    """Yield the finished files below a folder; one that goes away meanwhile is left out.

    Raises:
        StorageError: the folder cannot be read.
    """
    with _reading(root):
        for path in sorted(root.glob("[0-9a-f][0-9a-f]/*")):
            name = NAMED.fullmatch(path.name)
            with suppress(FileNotFoundError):
                if name is not None and path.is_file():
                    found = path.stat()
                    yield Kept(name[1], name[2], found.st_size, found.st_mtime)


def leftovers(root: Path, *, touched_before: float) -> Iterator[tuple[Path, int]]:
    """Yield the unfinished files (hidden ones) that killed processes left behind before a time, with their bytes.

    Raises:
        StorageError: the folder cannot be read.
    """
    with _reading(root):
        for path in unfinished(root):
            with suppress(FileNotFoundError):
                found = path.stat()
                if path.is_file() and found.st_mtime < min(touched_before, time.time() - FRESH_SECONDS):
                    yield path, found.st_size


def unfinished(root: Path) -> list[Path]:
    """Return the unfinished files (hidden ones), whether somebody is writing them or was killed.

    Raises:
        StorageError: the folder cannot be read.
    """
    with _reading(root):
        return sorted((*root.glob(".*"), *root.glob("[0-9a-f][0-9a-f]/.*")))


def remove(path: Path) -> bool:
    """Remove a file at once, whoever counts on it; returns whether it was there.

    Raises:
        StorageError: the file cannot be removed.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _immovable(path, error) from error
    return True


@contextmanager
def _reading(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{root} cannot be looked through: {error.strerror or error}") from error


def take_away(path: Path, *, touched_before: float) -> bool:
    """Remove a stored file unless it was stored again since; returns whether it is gone by this call.

    Raises:
        StorageError: the file cannot be removed.
    """
    try:
        with _locked(path.parent, fcntl.LOCK_EX):
            if path.stat().st_mtime >= min(touched_before, time.time() - FRESH_SECONDS):
                return False
            path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _immovable(path, error) from error
    return True


def _immovable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be removed: {error.strerror or error}")
