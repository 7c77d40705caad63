"""At most so many open requests for each host, of all threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from medical_kg.orchestration.fetching.failures import Overdue


class Slots:
    """Gives out the right to have a request open.

    Args:
        per_host: how many for one host, at a time.
    """

    def __init__(self, per_host: int) -> None:
        """Start with all free."""
        self._per_host = per_host
        self._hosts: dict[str, threading.BoundedSemaphore] = {}
        self._lock = threading.Lock()

    def take(self, host: str, timeout: float) -> Callable[[], None]:
        """Wait for one, at most ``timeout`` seconds; returns what gives it back.

        Raises:
            Overdue: none became free.
        """
        with self._lock:
            slots = self._hosts.setdefault(host, threading.BoundedSemaphore(self._per_host))
        if not slots.acquire(timeout=timeout):
            raise Overdue(
                f"{self._per_host} requests to {host} are open already (max_connections_per_host), and none ended in "
                f"{timeout:g} seconds"
            )
        return slots.release
