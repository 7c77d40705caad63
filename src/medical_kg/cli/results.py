"""Standard output for results alone: what plugins print there, or programs they start, goes to standard error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

OUT, ERR = 1, 2
"""The descriptors of every process's standard output and standard error."""


class Results:
    """Standard output taken away from everybody but who holds this, until it is closed."""

    def __init__(self) -> None:
        """Take it, from Python's ``print`` and from the process's own descriptor."""
        self._former, self._kept = sys.stdout, -1
        self.stream: TextIO = self._former
        sys.stdout = sys.stderr
        if _descriptor(self._former) == OUT and _descriptor(sys.stderr) == ERR:
            self._former.flush()
            self._kept = os.dup(OUT)
            os.dup2(ERR, OUT)
            encoding, errors = self._former.encoding, self._former.errors
            self.stream = os.fdopen(os.dup(self._kept), "w", encoding=encoding, errors=errors)

    def close(self) -> None:
        """Give it back."""
        sys.stdout = self._former
        if self._kept >= 0:
            with suppress(OSError):  # what could not be written was told when it was printed
                self.stream.close()
            os.dup2(self._kept, OUT)
            os.close(self._kept)
            self.stream, self._kept = self._former, -1


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
