"""The program of the process apart: loads the plugins it is asked for, one after the other, and tells what came of each.

It is asked by JSON on standard input and answers by JSON lines on the file descriptor of its first argument.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from medical_kg.orchestration.contract.errors import PluginBroken, PluginError
from medical_kg.orchestration.registry import Installation, PluginSettings

SLOW_SECONDS = 1.0
SHOWN = 60
"""Characters of what a plugin prints that are shown."""


def main(channel: int) -> None:
    """Answer what is asked; the process ends at once then, whatever threads plugins have started."""
    asked = json.load(sys.stdin)
    sys.path[:] = asked["sys_path"]
    settings = PluginSettings.model_validate(asked["settings"])
    installation = Installation(settings, asked["path"], Path(asked["folder"]))
    # What we say of a broken plugin in the log must not be taken for what the plugin prints.
    logging.getLogger("medical_kg").addHandler(logging.NullHandler())
    logging.getLogger("medical_kg").propagate = False
    # While a plugin is loaded the registry guards handlers that can raise; ignored ones show who replaces them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with _redirected(1) as out, _redirected(2) as err:
        _answer(channel, "ready")
        for door, name in asked["plugins"]:
            _answer(channel, examine(installation, door, name, {"stdout": out, "stderr": err}))
        os._exit(0)


def _answer(channel: int, told: Any) -> None:
    line = json.dumps(told).encode() + b"\n"
    while line:
        line = line[os.write(channel, line) :]


def _redirected(number: int) -> IO[bytes]:
    """Let a standard stream lead to a file, for what native code prints too."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    os.dup2(file.fileno(), number)
    return file


def examine(installation: Installation, door: str, name: str, printed: Mapping[str, IO[bytes]]) -> dict[str, Any]:
    """Load one plugin; return what is wrong with it, its side effects, the seconds it took and its traceback."""
    wrong, detail = "", ""
    before, where, environment = _state(), Path.cwd(), dict(os.environ)
    starts = {stream: os.fstat(file.fileno()).st_size for stream, file in printed.items()}
    start = time.perf_counter()
    try:
        installation.get(door, name)
    except PluginBroken as error:
        wrong, detail = error.reason, error.detail
    except PluginError as error:
        wrong = str(error)
    seconds = time.perf_counter() - start
    notes = [f"its import took {seconds:.1f} s"] if seconds >= SLOW_SECONDS else []
    notes += [f"it printed to {name}: {text}" for name, text in _printed(printed, starts)]
    notes += _changes(before, _state())
    os.chdir(where)
    _restore(environment)
    return {"wrong": wrong, "detail": detail, "seconds": seconds, "notes": notes}


def _restore(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _printed(printed: Mapping[str, IO[bytes]], starts: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a plugin may have put anything there, or closed it
            stream.flush()
    for name, file in printed.items():
        size = os.fstat(file.fileno()).st_size - starts[name]
        if size > 0:
            text = os.pread(file.fileno(), 4 * SHOWN, starts[name]).decode(errors="replace")
            yield name, repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _state() -> dict[str, Any]:
    """Return what an import should leave alone, by the words for it."""
    root = logging.getLogger()
    loggers = [
        (name, one) for name, one in logging.Logger.manager.loggerDict.items() if isinstance(one, logging.Logger)
    ]
    return {
        "environment variables": dict(os.environ),
        "the working directory": str(Path.cwd()),
        "the root logger's handlers": list(root.handlers),
        "the root logger's level": root.level,
        "the level below which logging is disabled": root.manager.disable,
        "disabled loggers": {name for name, one in loggers if one.disabled},
        "the filters of warnings": [one for one in warnings.filters if _is_wide(one)],
        "signal handlers": {number.name: signal.getsignal(number) for number in signal.Signals},
        "sys.path": list(sys.path),
        "the exception hook": sys.excepthook,
        "the standard streams": (sys.stdout, sys.stderr, sys.stdin),
        "running threads": {thread.name for thread in threading.enumerate()},
        "dagster": "dagster" in sys.modules,
    }


def _is_wide(entry: Sequence[Any]) -> bool:
    """Whether a filter is about more than a message, a module or a category of somebody's own, as good libraries set."""
    _, message, category, module, _ = entry
    return message is None and module is None and category.__module__ == "builtins"


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for what, old in before.items():
        new = after[what]
        if new == old:
            continue
        if what == "dagster":
            yield "it imported dagster"
        elif isinstance(old, dict):  # by name only: a value may be a secret
            names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            yield f"it changed {what}: {', '.join(names)}"
        elif isinstance(old, set):
            yield f"it left {what}: {', '.join(sorted(map(str, new ^ old)))}"
        elif isinstance(old, (str, int)):
            yield f"it changed {what} from {old} to {new}"
        else:
            yield f"it changed {what}"


if __name__ == "__main__":
    main(int(sys.argv[1]))
