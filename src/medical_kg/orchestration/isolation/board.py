"""What a worker leaves behind if it dies: which call was running (the board), and what was done before (the spool).

Both are unnamed files shared by engine and worker, so they outlive a worker and vanish with the engine.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medical_kg.orchestration.contract.errors import StorageError

OPENING, WHOLE = -1, -2
"""In place of an item's position: the stage is being opened, or works on whole values."""

_CALL = struct.Struct("=qqqd")
_STARTED = struct.Struct("=d")
_COUNT = struct.Struct("=q")
_FRAME = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a stage: position of its first item, how many items, which attempt (from 1), when it began.

    ``started`` is in seconds of the machine's monotonic clock, which its processes share.
    """

    index: int
    length: int
    attempt: int
    started: float


class Board:
    """One running call, written by the worker for every attempt and read by the engine at any time."""

    def __init__(self, fd: int) -> None:
        """Map the file; it keeps its own descriptor."""
        if os.fstat(fd).st_size < _CALL.size:
            os.ftruncate(fd, mmap.PAGESIZE)
        self._memory = mmap.mmap(fd, mmap.PAGESIZE)

    def begin(self, call: Call) -> None:
        """Say that a call begins."""
        if call.index != OPENING:
            _COUNT.pack_into(self._memory, _CALL.size, self.attempts + 1)
        # The start is what makes the rest valid: taken away first, put there last.
        self.end()
        _CALL.pack_into(self._memory, 0, call.index, call.length, call.attempt, 0.0)
        _STARTED.pack_into(self._memory, _CALL.size - _STARTED.size, call.started)

    @property
    def attempts(self) -> int:
        """How many calls have begun, in all workers that wrote here, but for the opening of the stage."""
        count: int = _COUNT.unpack_from(self._memory, _CALL.size)[0]
        return count

    def wait(self, seconds: float) -> None:
        """Say that the running call was made to wait so long, which is not its own time."""
        call = self.running()
        if call is not None:
            _STARTED.pack_into(self._memory, _CALL.size - _STARTED.size, call.started + seconds)

    def end(self) -> None:
        """Say that no call is running."""
        _STARTED.pack_into(self._memory, _CALL.size - _STARTED.size, 0.0)

    def running(self) -> Call | None:
        """Return the running call."""
        first = Call(*_CALL.unpack_from(self._memory))
        return first if first.started and first == Call(*_CALL.unpack_from(self._memory)) else None

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


class Spool:
    """What came of calls: notes, each a JSON head and a body of bytes. What a dying worker left half-written is cut."""

    def __init__(self, fd: int) -> None:
        """Use an open file."""
        self._fd = fd

    def add(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Add a note at the end.

        Raises:
            StorageError: it cannot be written, e.g. because the disk is full.
        """
        said = json.dumps(head).encode("utf-8", "surrogatepass")
        rest = memoryview(b"".join([_FRAME.pack(len(said), len(body)), said, body]))
        try:
            while rest:  # one write may take only a part, e.g. when the disk is nearly full
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            why = error.strerror or str(error)
            msg = f"what calls gave cannot be kept in a temporary file: {why}; see that the disk has room"
            raise StorageError(msg) from error

    def notes(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Give every whole note, from the first, and put the end where the last one ends."""
        size, at = os.fstat(self._fd).st_size, 0
        while at + _FRAME.size <= size:
            said, rest = _FRAME.unpack(os.pread(self._fd, _FRAME.size, at))
            if at + _FRAME.size + said + rest > size:
                break
            head = json.loads(os.pread(self._fd, said, at + _FRAME.size).decode("utf-8", "surrogatepass"))
            yield head, os.pread(self._fd, rest, at + _FRAME.size + said)
            at += _FRAME.size + said + rest
        os.ftruncate(self._fd, at)
        os.lseek(self._fd, at, os.SEEK_SET)


class Remains:
    """Board and spool of one stage's work, as the engine holds them.

    Args:
        folder: where the file with results lies; the system's folder for temporary files where it does not exist.
    """

    def __init__(self, folder: Path | None) -> None:
        """Make both files."""
        place = str(folder) if folder is not None and folder.is_dir() else None
        self._files = (tempfile.TemporaryFile(buffering=0), tempfile.TemporaryFile(dir=place, buffering=0))  # noqa: SIM115  # closed in close()
        self.fds = tuple(file.fileno() for file in self._files)
        self.board, self.spool = Board(self.fds[0]), Spool(self.fds[1])

    def close(self) -> None:
        """Let go of both."""
        self.board.close()
        for file in self._files:
            with suppress(OSError):
                file.close()
