"""What a piece of code does to the outside, as the interpreter's audit events tell it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TELLING = {
    "open": "opened the file",
    "socket.connect": "connected to",
    "socket.getaddrinfo": "looked up",
    "sqlite3.connect": "opened the database",
    "subprocess.Popen": "started the process",
    "os.system": "ran",
    "_thread.start_new_thread": "started a thread",
}
"""Audit events (docs.python.org, audit events table) that a constructor has no business with, in words."""

_local = threading.local()
_installed = threading.Lock()


@contextmanager
def watched() -> Iterator[list[str]]:
    """Give the list of what this thread does to the outside while the block runs."""
    # A hook cannot be taken away again, so there is one, and it listens only here.
    if _installed.acquire(blocking=False):
        sys.addaudithook(_hook)
    seen: list[str] = []
    _local.seen = seen
    try:
        yield seen
    finally:
        _local.seen = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    words = TELLING.get(event)
    if words is None or (seen := getattr(_local, "seen", None)) is None:
        return
    seen.append(f"it {words} {args[0] if args else ''}".rstrip())
