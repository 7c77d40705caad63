"""Checkpoints: stored outputs of finished stages, as files named by their content.

A file's name is the sha256 of its bytes, so that equal outputs are stored once, a file never changes, and what is read
can be verified. Which checkpoints are valid stands in the ledger; a file nobody mentions there is only waste.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from medical_kg.orchestration.content import FRESH_SECONDS, NAMED, Kept, remove, stored, storing, take_away, touch
from medical_kg.orchestration.contract.errors import SettingsError, StorageError
from medical_kg.orchestration.contract.urls import safe_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime


class CheckpointStore:
    """Stored bytes by content, in a local folder or wherever fsspec reaches (``s3://…``, ``memory://…``).

    Args:
        place: a folder's path or a URL. A local folder is made when the first checkpoint is put.

    Raises:
        SettingsError: nothing installed can reach the URL.
    """

    def __init__(self, place: str | Path) -> None:
        """Open the place; nothing is written yet."""
        self._files: _Files = _open(str(place))

    def put(self, data: bytes, suffix: str = "") -> str:
        """Store the bytes whole or not at all, and return their sha256 (hex).

        Raises:
            StorageError: they could not be written, e.g. because the disk is full; nothing half-written is left.
        """
        digest = hashlib.sha256(data).hexdigest()
        self._files.keep(_name(digest, suffix), data)
        return digest

    def get(self, digest: str, suffix: str = "") -> bytes:
        """Return the bytes with this sha256.

        Raises:
            StorageError: they are missing, unreadable or damaged.
        """
        name = _name(digest, suffix)
        data = self._files.read(name)
        if hashlib.sha256(data).hexdigest() != digest:
            msg = (
                f"checkpoint {self._files.show(name)} is damaged: its content is not what its name says; delete it and "
                f"resume the submission, so that the stage that wrote it runs again"
            )
            raise StorageError(msg)
        return data

    def has(self, digest: str, suffix: str = "") -> bool:
        """Whether the bytes are stored (not whether they are undamaged).

        Raises:
            StorageError: the place could not be looked at.
        """
        return self._files.size(_name(digest, suffix)) is not None

    def stored(self) -> Iterator[Kept]:
        """Yield what is stored, also what no ledger mentions.

        Raises:
            StorageError: the place could not be looked through.
        """
        return self._files.stored()

    def discard(self, digest: str, suffix: str = "", *, touched_before: float) -> bool:
        """Remove a checkpoint unless it was put again since that time; returns whether it is gone by this call.

        One that was put within the last hour (``content.FRESH_SECONDS``) stays: it may be about to be mentioned.

        Raises:
            StorageError: it could not be removed.
        """
        return self._files.discard(_name(digest, suffix), touched_before)

    def remove(self, digest: str, suffix: str = "") -> bool:
        """Remove a checkpoint at once, whoever counts on it; returns whether it was there.

        Raises:
            StorageError: it could not be removed.
        """
        return self._files.remove(_name(digest, suffix))

    @property
    def folder(self) -> Path | None:
        """The local folder; None where the store is elsewhere."""
        return self._files.root if isinstance(self._files, _LocalFiles) else None


def _name(digest: str, suffix: str) -> str:
    return f"{digest[:2]}/{digest}{suffix}"


def _open(place: str) -> _Files:
    if place.startswith("file:"):
        return _LocalFiles(Path(unquote(urlsplit(place).path)))
    return _RemoteFiles(place) if "://" in place else _LocalFiles(Path(place))


class _Files(Protocol):
    """Files by relative name; all errors are ``StorageError``."""

    def size(self, name: str) -> int | None: ...
    def read(self, name: str) -> bytes: ...
    def keep(self, name: str, data: bytes) -> None: ...
    def show(self, name: str) -> str: ...
    def stored(self) -> Iterator[Kept]: ...
    def discard(self, name: str, touched_before: float) -> bool: ...
    def remove(self, name: str) -> bool: ...


class _LocalFiles:
    """Files of a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def show(self, name: str) -> str:
        return str(self.root / name)

    def size(self, name: str) -> int | None:
        try:
            return (self.root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(self.show(name), error) from error

    def read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise _unreadable(self.show(name), error) from error

    def keep(self, name: str, data: bytes) -> None:
        path = self.root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with storing(path.parent):
                # A file of another length was damaged from outside; it is replaced.
                if self.size(name) == len(data):
                    touch(path)
                else:
                    _write_whole(path, data)
        except OSError as error:
            raise _unwritable(str(self.root), error) from error

    def stored(self) -> Iterator[Kept]:
        return stored(self.root)

    def discard(self, name: str, touched_before: float) -> bool:
        return take_away(self.root / name, touched_before=touched_before)

    def remove(self, name: str) -> bool:
        return remove(self.root / name)


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        # What went wrong first is the story; that the remains cannot be removed either is not.
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _RemoteFiles:
    """Files at a URL that fsspec understands. Object storage writes a file whole or not at all."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self._shown = safe_url(url).rstrip("/")
        try:
            self._fs, root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            msg = f"nothing installed can keep checkpoints at {self._shown}: {error}"
            raise SettingsError(msg) from error
        self._root = root.rstrip("/")

    def show(self, name: str) -> str:
        return f"{self._shown}/{name}"

    def size(self, name: str) -> int | None:
        try:
            found: int = self._try(self._fs.info, name)["size"]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.show(name), error) from error
        return found

    def read(self, name: str) -> bytes:
        try:
            data: bytes = self._try(self._fs.cat_file, name)
        except OSError as error:
            raise _unreadable(self.show(name), error) from error
        return data

    def keep(self, name: str, data: bytes) -> None:
        # Written again when it is there: that makes it young, and nobody takes it away.
        try:
            self._try(self._fs.makedirs, name.partition("/")[0], exist_ok=True)
            self._try(self._fs.pipe_file, name, data)
        except OSError as error:
            raise _unwritable(self._shown, error) from error

    def stored(self) -> Iterator[Kept]:
        try:
            found = self._try(self._fs.find, "", detail=True)
            for path, facts in sorted(found.items()):
                name = NAMED.fullmatch(path.rpartition("/")[2])
                if name is not None:
                    yield Kept(name[1], name[2], facts["size"], self._touched(path))
        except OSError as error:
            raise _unreadable(self._shown, error) from error

    def _touched(self, path: str) -> float:
        """Return when a file was written; for ever now where the file system does not tell."""
        try:
            modified: datetime = self._fs.modified(path)
        except NotImplementedError:
            return math.inf
        return modified.timestamp()

    def discard(self, name: str, touched_before: float) -> bool:
        try:
            if self._touched(f"{self._root}/{name}") >= min(touched_before, time.time() - FRESH_SECONDS):
                return False
            self._try(self._fs.rm_file, name)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"{self.show(name)} cannot be removed: {_said(error)}") from error
        return True

    def remove(self, name: str) -> bool:
        try:
            self._try(self._fs.rm_file, name)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unwritable(self._shown, error) from error
        return True

    def _try(self, call: Callable[..., Any], name: str, *args: Any, **options: Any) -> Any:
        try:
            return call(f"{self._root}/{name}", *args, **options)
        except OSError:
            raise
        # Each file system behind fsspec has errors of its own.
        except Exception as error:
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from error


ADVICE = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room: this user's share of the disk is used up",
    errno.EFBIG: "the file is larger than this process may write (ulimit -f); raise the limit or make batches smaller",
    errno.EACCES: "give this user the right to write there",
    errno.EPERM: "give this user the right to write there",
    errno.EROFS: "the file system is read-only; keep checkpoints elsewhere",
    errno.ENOTDIR: "a file is in the way; remove it, or keep checkpoints elsewhere",
    errno.EEXIST: "a file is in the way; remove it, or keep checkpoints elsewhere",
}
"""What to do about a checkpoint that cannot be written, by error number."""


def _unwritable(folder: str, error: OSError) -> StorageError:
    advice = ADVICE.get(error.errno or 0, "see that the place is there and can be written")
    return StorageError(
        f"cannot write checkpoints in {folder}: {_said(error)}; {advice}, then resume the submission: "
        f"what was finished is kept"
    )


def _unreadable(shown: str, error: OSError) -> StorageError:
    if isinstance(error, FileNotFoundError):
        return StorageError(
            f"checkpoint {shown} is missing: it was pruned or deleted, or this is not the store it was written to; point the "
            f"settings to that store, or resume the submission, so that the stage that wrote it runs again"
        )
    return StorageError(f"cannot read checkpoint {shown}: {_said(error)}; see that the place can be read")


def _said(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
