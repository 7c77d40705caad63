"""Service ``files``: the workspace's file area, and reading local files below allowed folders."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from contextlib import contextmanager
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

    def put(self, chunks: Iterable[bytes], *, suffix: str = "") -> StoredFile:
        """Store the bytes under the name of their content; a break in the middle leaves nothing behind.

        Equal content gives an equal uri, and replaces what stood there.

        Raises:
            StorageError: the file could not be written (the disk is full, the folder is not writable), or the suffix is
                not like ``.pdf``.
        """
        if not SUFFIX.fullmatch(suffix):
            raise StorageError(f"a stored file cannot have the suffix {suffix!r}; give one like '.pdf' or '.tar.gz'")
        with self._incoming() as (descriptor, incoming):
            sha256, size = self._write(descriptor, chunks)
            self._move(incoming, self._path(sha256, suffix))
        return StoredFile(uri=f"file-area:{sha256}{suffix}", sha256=sha256, size=size)

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

    @contextmanager
    def _incoming(self) -> Iterator[tuple[int, Path]]:
        """Open a file in the same file system as its later place; it is gone afterwards unless it was moved."""
        with self._storing():
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=".incoming-")
        try:
            yield descriptor, Path(name)
        finally:
            os.close(descriptor)
            Path(name).unlink(missing_ok=True)

    def _write(self, descriptor: int, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Write the chunks to the disk; returns their digest and size. Errors of ``chunks`` itself pass through."""
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            with self._storing():
                _write_all(descriptor, chunk)
        with self._storing():
            os.fsync(descriptor)
        return digest.hexdigest(), size

    def _move(self, incoming: Path, target: Path) -> None:
        with self._storing():
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
