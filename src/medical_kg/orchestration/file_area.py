"""Service ``files``: the workspace's file area, and reading local files below allowed folders."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import tempfile
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from medical_kg.orchestration.content import Kept, stored, storing, take_away
from medical_kg.orchestration.contract import StoredFile
from medical_kg.orchestration.contract.errors import ItemRejected, StorageError
from medical_kg.orchestration.contract.urls import safe_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SUFFIX = re.compile(r"(?:\.[a-z0-9]{1,16}){0,2}")
UNFINISHED = ".incoming-"
STORED = re.compile(rf"file-area:([0-9a-f]{{64}})({SUFFIX.pattern})")


class FileArea:
    """Files below one folder, named by the SHA-256 of their content.

    A stored file's uri is ``file-area:DIGEST.suffix``; it names no folder, so it stays valid when the workspace moves.

    Args:
        root: the area's own folder, e.g. ``files`` in the workspace.
        allow_roots: folders below which ``open`` also reads ``file://`` uris.
    """

    def __init__(self, root: Path, *, allow_roots: Sequence[Path] = ()) -> None:
        """Keep the folders; nothing is made before the first ``put``."""
        self.folder = root
        self._allow_roots = tuple(allow_roots)
        self._swept = False

    def put(self, chunks: Iterable[bytes], *, suffix: str = "") -> StoredFile:
        """Store the bytes under the name of their content; a break in the middle leaves nothing behind.

        Equal content gives an equal uri, and replaces what stood there. Errors of ``chunks`` itself pass through.

        Raises:
            StorageError: the file could not be written (the disk is full, the folder is not writable), or the suffix is
                not like ``.pdf``.
        """
        _check_suffix(suffix)
        incoming = self.begin()
        try:
            for chunk in chunks:
                incoming.write(chunk)
            return incoming.keep(suffix=suffix)
        finally:
            incoming.discard()

    def begin(self) -> Incoming:
        """Begin a file that is written in pieces, over a while; it is gone unless it is kept.

        What killed processes left unfinished in the area is swept away first.

        Raises:
            StorageError: the file could not be made.
        """
        with self._storing():
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._swept:
                self._swept = True
                _sweep(self.folder)
            return Incoming(*_new_file(self.folder), self)

    def open(self, uri: str) -> BinaryIO:
        """Open a stored file, or a ``file://`` uri below an allowed folder, for reading.

        Raises:
            StorageError: the file is gone, or the uri names nothing this area may open.
        """
        stored = STORED.fullmatch(uri)
        try:
            if stored:
                return self._path(stored[1], stored[2]).open("rb")
            return open_local(uri, self._allow_roots)
        except (OSError, ItemRejected) as error:
            raise StorageError(f"{safe_url(uri)} cannot be opened: {error}") from error

    def path(self, uri: str) -> Path | None:
        """Return where a stored file of this uri lies, or would lie; None for a uri that names no stored file."""
        stored = STORED.fullmatch(uri)
        return self._path(stored[1], stored[2]) if stored else None

    def stored(self) -> Iterator[Kept]:
        """Yield the stored files.

        Raises:
            StorageError: the folder cannot be read.
        """
        return stored(self.folder)

    def discard(self, sha256: str, suffix: str, *, touched_before: float) -> bool:
        """Remove a file unless it was stored again since that time; see ``CheckpointStore.discard``.

        Raises:
            StorageError: it cannot be removed.
        """
        return take_away(self._path(sha256, suffix), touched_before=touched_before)

    def _path(self, sha256: str, suffix: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}{suffix}"

    def _move(self, incoming: Path, target: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        with storing(target.parent):
            incoming.replace(target)
        _sync_folder(target.parent)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = error.strerror or str(error)
            raise StorageError(f"cannot write below {self.folder}: {what}; nothing was kept") from error


class Incoming:
    """A file of the area that is being written: kept under the name of its content at the end, or gone.

    Nobody else sees it. It is locked, so that who sweeps leaves it alone, and goes with its process.

    Args:
        descriptor: the open file.
        path: where it lies, in the same file system as its later place.
        area: the area.
    """

    def __init__(self, descriptor: int, path: Path, area: FileArea) -> None:
        """Begin with nothing."""
        self.size = 0
        self._descriptor, self._path, self._area = descriptor, path, area
        self._digest = hashlib.sha256()
        self._discard = weakref.finalize(self, _remove, descriptor, path)

    def discard(self) -> None:
        """Give it up; after it was kept this does nothing."""
        self._discard()

    def write(self, chunk: bytes) -> None:
        """Write more of it.

        Raises:
            StorageError: it could not be written.
        """
        self._digest.update(chunk)
        self.size += len(chunk)
        with self._area._storing():  # noqa: SLF001  # a part of the area
            _write_all(self._descriptor, chunk)

    def keep(self, *, suffix: str = "") -> StoredFile:
        """Make it one of the area's files: on the disk, whole, under the name of its content.

        Raises:
            StorageError: it could not be written, or the suffix is not like ``.pdf``.
        """
        _check_suffix(suffix)
        sha256 = self._digest.hexdigest()
        area = self._area
        with area._storing():  # noqa: SLF001  # a part of the area
            os.fsync(self._descriptor)
            area._move(self._path, area._path(sha256, suffix))  # noqa: SLF001  # as above
        self.discard()
        return StoredFile(uri=f"file-area:{sha256}{suffix}", sha256=sha256, size=self.size)


def _check_suffix(suffix: str) -> None:
    if not SUFFIX.fullmatch(suffix):
        raise StorageError(f"a stored file cannot have the suffix {suffix!r}; give one like '.pdf' or '.tar.gz'")


def _new_file(folder: Path) -> tuple[int, Path]:
    """Make a file and lock it; one that was swept away in between is made again."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=UNFINISHED)
        with suppress(OSError):  # some network file systems lock nothing; there nothing is swept either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)


def _remove(descriptor: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove the unfinished files that nobody is writing: their lock went with their process."""
    for path in folder.glob(f"{UNFINISHED}*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _write_all(descriptor: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:  # one write may take only a part, e.g. when the disk is nearly full
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_local(uri: str, allow_roots: Sequence[Path]) -> BinaryIO:
    """Open the plain file of a ``file://`` uri that lies, symbolic links followed, below an allowed folder.

    Raises:
        ItemRejected: the uri is no ``file:///path`` of this machine, lies elsewhere, or is no plain file.
    """
    path = _local_path(uri)
    if not any(path.is_relative_to(root.resolve()) for root in allow_roots):
        raise ItemRejected(
            f"{path} is not below an allowed folder; to allow it, add its folder to allow_roots under [http] in "
            f"medical_kg.toml"
        )
    try:
        # The links were followed above: one that appears since then is not, and a pipe must not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ItemRejected(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ItemRejected(f"{path} is not a plain file")
    return os.fdopen(descriptor, "rb")


def _local_path(uri: str) -> Path:
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise ItemRejected(f"{safe_url(uri)} is not the address of a file of this machine; write file:///path")
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError) as error:
        raise ItemRejected(f"{safe_url(uri)} cannot be followed: {error}") from error
