"""A stream that can be looked at by its first line, and read by line or whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_kg import ItemRejected

if TYPE_CHECKING:
    from medical_kg.formats.contract import Readable

MAX_LINE_BYTES = 64 * 1024 * 1024
BLANK = b"\xef\xbb\xbf \t\r\n"


class Pushback:
    """A stream whose first line can be looked at before it is read; also reads by line."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._taken = 0
        self._compacted = 0
        self._broken: ItemRejected | None = None

    def first_line(self) -> bytes | None:
        """Return the first line when it is not the last and may hold an object, without taking it."""
        self._fill()
        if not self._buffer.lstrip(BLANK).startswith(b"{"):
            return None
        end = self._line_end()
        return None if end < 0 else bytes(self._buffer[:end])

    def take_line(self) -> bytes | None:
        """Take one line; None at the end."""
        end = self._line_end()
        if end < 0 and len(self._buffer) - self._taken > MAX_LINE_BYTES:
            raise ItemRejected(f"a line is longer than {MAX_LINE_BYTES:,} bytes")
        line = bytes(self._buffer[self._taken : end if end >= 0 else len(self._buffer)])
        self._taken = end + 1 if end >= 0 else len(self._buffer)
        if end < 0 and self._broken:
            raise self._broken
        return None if end < 0 and not line else line

    def read(self, size: int, /) -> bytes:
        """Read what was looked at, then the rest."""
        if self._taken < len(self._buffer):
            chunk = bytes(self._buffer[self._taken : self._taken + size])
            self._taken += len(chunk)
            return chunk
        if self._broken:
            raise self._broken
        return self._stream.read(size)

    def _line_end(self) -> int:
        searched = self._taken
        while (found := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched - self._taken > MAX_LINE_BYTES or not self._fill():
                return -1
            searched -= self._compacted
        return found

    def _fill(self) -> bool:
        self._compacted = self._taken
        del self._buffer[: self._taken]
        self._taken = 0
        try:
            chunk = b"" if self._broken else self._stream.read(65_536)
        except ItemRejected as broken:
            self._broken, chunk = broken, b""
        self._buffer += chunk
        return bool(chunk)
