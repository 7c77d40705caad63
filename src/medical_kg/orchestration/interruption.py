"""Telling Ctrl-C from a plugin that raises ``KeyboardInterrupt``.

Who stops the program sends a signal (SIGINT; SIGTERM too, as the command line takes it), and what its handler raises must
come through whatever a plugin does. An exception of the same class that no signal caused is the plugin's own.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Watch:
    """Remembers what the handlers of signals raised while a plugin was at work."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.raised: BaseException | None = None

    def check(self) -> None:
        """Raise again what a signal's handler raised, if one came: call it before an exception is held against a plugin.

        Raises:
            BaseException: what the handler raised, usually ``KeyboardInterrupt``.
        """
        if self.raised is not None:
            raise self.raised

    def around(self, handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], Any]:
        """Return a handler that does the same and is remembered."""

        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                self.raised = error
                raise

        return handle


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch for signals while foreign code runs; blocks may be nested, in any thread.

    ::

        with watched() as watch:
            try:
                foreign()
            except BaseException as error:
                watch.check()  # a real Ctrl-C goes on
                ...            # everything else is the plugin's fault, KeyboardInterrupt too

    At the end of the block the handlers stand as they stood before, even if the plugin has set its own, and an
    interruption that the plugin swallowed is raised. Python handles signals in the main thread only, so elsewhere
    nothing is real.

    Raises:
        BaseException: what a signal's handler raised, usually ``KeyboardInterrupt``.
    """
    watch, before = Watch(), _handlers()
    try:
        for number, handler in before.items():
            signal.signal(number, watch.around(handler))
        yield watch
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    watch.check()


def _handlers() -> dict[signal.Signals, Callable[[int, FrameType | None], Any]]:
    """Return the handlers that this thread may replace: one that is no Python function raises nothing."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = ((number, signal.getsignal(number)) for number in SIGNALS)
    return {number: handler for number, handler in found if callable(handler)}
