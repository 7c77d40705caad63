"""What foreign code should leave alone in this process: put back after it, with a word about it.

That is the working directory, the environment variables there were, the standard streams and what the log goes through:
the root logger, ours, any other that was silenced, and the level below which logging is disabled. What a plugin adds to
the environment stays, since libraries keep their settings there. Other things (a patched module, a changed locale)
cannot be known or undone here: a stage that does such things belongs into an ``environment:`` of its own.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

OURS = "medical_kg"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    """How things stood."""

    folder: str | None
    variables: dict[str, str]
    disabled: int
    loggers: dict[str, tuple[int, bool, bool, list[logging.Handler]]]
    speaking: tuple[logging.Logger, ...]
    streams: tuple[Any, Any, Any]

    @classmethod
    def now(cls) -> _Seen:
        names = ["", *(name for name in list(logging.root.manager.loggerDict) if name.split(".")[0] == OURS)]
        return cls(
            _folder(),
            dict(os.environ),
            logging.root.manager.disable,
            {name: _settings(logging.getLogger(name)) for name in names},
            tuple(one for one in _all_loggers() if not one.disabled),
            (sys.stdin, sys.stdout, sys.stderr),
        )

    def put_back(self) -> list[str]:
        """Put back what has changed since, and return the words for it."""
        found = [self._folder(), self._variables(), self._logging(), self._streams()]
        return [what for what in found if what]

    def _folder(self) -> str:
        if self.folder is None or _folder() == self.folder:
            return ""
        with suppress(OSError):  # it has been removed
            os.chdir(self.folder)
        return "the working directory"

    def _variables(self) -> str:
        changed = sorted(name for name, value in self.variables.items() if os.environ.get(name) != value)
        os.environ.update({name: self.variables[name] for name in changed})
        # By name only: a value may be a secret.
        return f"the environment variables {', '.join(changed)}" if changed else ""

    def _logging(self) -> str:
        before = logging.root.manager.disable
        changed = before != self.disabled
        if changed:
            logging.disable(self.disabled)
        for name, former in self.loggers.items():
            one = logging.getLogger(name)
            if _settings(one) != former:
                changed = True
                level, one.disabled, one.propagate, handlers = former
                one.setLevel(level)
                one.handlers[:] = handlers
        # A config from dictConfig silences, unless told otherwise, every logger it does not name.
        for one in (one for one in self.speaking if one.disabled):
            changed, one.disabled = True, False
        return "the logging of this program" if changed else ""

    def _streams(self) -> str:
        if (sys.stdin, sys.stdout, sys.stderr) == self.streams:
            return ""
        sys.stdin, sys.stdout, sys.stderr = self.streams
        return "the standard streams"


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  # a Path would be made of it for nothing
    except FileNotFoundError:
        return None


def _all_loggers() -> list[logging.Logger]:
    return [one for one in list(logging.root.manager.loggerDict.values()) if isinstance(one, logging.Logger)]


def _settings(one: logging.Logger) -> tuple[int, bool, bool, list[logging.Handler]]:
    return one.level, one.disabled, one.propagate, list(one.handlers)


_lock = threading.Lock()
_at_work: list[str] = []
_seen: list[_Seen] = []
"""How things stood when the first of those at work began."""


@contextmanager
def kept(who: str) -> Iterator[None]:
    """Put back, after foreign code, what it should have left alone; ``who`` it is goes to the log.

    Where several are at work at once, things are put back as they stood before the first, whenever one ends.
    """
    with _lock:
        if not _at_work:
            _seen[:] = [_Seen.now()]
        _at_work.append(who)
    try:
        yield
    finally:
        with _lock:
            changes = _seen[0].put_back()
            others = [other for other in _at_work if other != who]
            _at_work.remove(who)
        if changes:
            alone = f" (or {', '.join(others)}, at work at the same time)" if others else ""
            logger.warning("%s%s changed %s: put back", who, alone, " and ".join(changes))
