"""Files as bounded streams of bytes: unpacked where gzipped, refused where damaged or too large."""

from __future__ import annotations

import gzip
import re
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from medical_kg import ItemRejected
from medical_kg.formats.contract import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"

PAGE = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!doctype\s+html|<html)\b", re.IGNORECASE)
MAGIC = {
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"%PDF": "a PDF, which is read only by a source with the option formats: [pdf] or native: true",
    b"\x28\xb5\x2f\xfd": "Zstandard-compressed; unpack it first",
    b"\xfd7zXZ": "xz-compressed; unpack it first",
    b"BZh": "bzip2-compressed; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!\x1a\x07": "a RAR archive; unpack it first",
    b"\x1f\x8b": "gzip-compressed twice; unpack it once",
}


class _StepByStep(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class OpenedFile:
    """The bytes of one file as they come, after unpacking, up to a limit.

    What was read before a break is given first; the break is raised by the ``read`` after it.
    """

    def __init__(self, stream: _StepByStep, max_bytes: int) -> None:
        """Read from ``stream``, at most ``max_bytes``."""
        self._stream, self._left, self._max = stream, max_bytes, max_bytes
        self._head = b""

    def head(self) -> bytes:
        """Return the first ``HEAD_BYTES`` (fewer at the end), without taking them."""
        while len(self._head) < HEAD_BYTES:
            try:
                chunk = self._next(HEAD_BYTES)
            except ItemRejected:
                if self._head:
                    break
                raise
            if not chunk:
                break
            self._head += chunk
        return self._head[:HEAD_BYTES]

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end.

        Raises:
            ItemRejected: the file is damaged, cannot be read, or unpacks to more than the limit.
        """
        if self._head:
            chunk, self._head = self._head[:size], self._head[size:]
            return chunk
        return self._next(size)

    def _next(self, size: int) -> bytes:
        try:
            # One step of the unpacker at a time, so that what stands before a damaged place is not lost.
            chunk = self._stream.read1(size)
        except EOFError:
            raise ItemRejected("the gzip file is cut off before its end") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise ItemRejected(f"the gzip file is damaged: {error}") from None
        except OSError as error:
            raise ItemRejected(f"cannot be read: {error.strerror or error}") from None
        self._left -= len(chunk)
        if self._left < 0:
            raise ItemRejected(f"it unpacks to more than {self._max:,} bytes (option max_file_bytes)")
        return chunk


@contextmanager
def open_file(path: Path, max_bytes: int) -> Iterator[OpenedFile]:
    """Open a file for reading, unpacking gzip by its first bytes.

    Raises:
        ItemRejected: it cannot be opened.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise ItemRejected(f"cannot be opened: {error.strerror or error}") from None
    with raw:
        try:
            zipped = raw.peek(2)[:2] == GZIP_MAGIC
        except OSError as error:
            raise ItemRejected(f"cannot be read: {error.strerror or error}") from None
        stream = gzip.GzipFile(fileobj=raw) if zipped else raw
        yield OpenedFile(stream, max_bytes)


def what_it_is(head: bytes) -> str:
    """Return what a file that no format recognises seems to be."""
    if not head:
        return "the file is empty"
    if not head.strip(b" \t\r\n"):
        return "the file holds only white space"
    if PAGE.match(head):
        return "it is a web page stored under another name, such as a log-in or error page"
    if head[257:262] == b"ustar":
        return "it is a tar archive; unpack it first"
    named = next((words for magic, words in MAGIC.items() if head.startswith(magic)), "")
    return f"it is {named}" if named else "no installed format recognises it"
