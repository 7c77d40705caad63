"""How long one request may take in all: known to whatever waits on its behalf, however deep inside the client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medical_kg.orchestration.fetching.failures import Overdue

_running = threading.local()


class Deadline:
    """The end of one request's time, in seconds from now.

    Args:
        seconds: how long.
        monotonic: the time, from some fixed point.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        """Begin."""
        self.seconds = seconds
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    def left(self) -> float:
        """Return the seconds left.

        Raises:
            Overdue: there are none.
        """
        left = self._end - self._monotonic()
        if left <= 0:
            raise Overdue(f"it took longer than {self.seconds:g} seconds in all (deadline_seconds)")
        return left

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let what waits in this thread, inside the block, wait no longer than this."""
        before = getattr(_running, "deadline", None)
        _running.deadline = self
        try:
            yield
        finally:
            _running.deadline = before


def within(timeout: float | None) -> float | None:
    """Return the timeout, or less where the request that is running in this thread has less time left.

    Raises:
        Overdue: it has none left.
    """
    deadline: Deadline | None = getattr(_running, "deadline", None)
    if deadline is None:
        return timeout
    left = deadline.left()
    return left if timeout is None else min(timeout, left)
