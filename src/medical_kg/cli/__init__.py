"""The command line ``medical-kg``: a thin face of the Python API, one file per noun."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from pathlib import Path

INTERRUPTED = 130
"""The exit code after Ctrl-C or SIGTERM, as shells have it."""


def main() -> None:
    """Run the command line on this process's arguments, and exit."""
    try:
        # Who stops a service sends SIGTERM, and means Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        sys.unraisablehook = _hear_again
        _give_streams()
        # At its first model pydantic asks every installed distribution for plugins of its own, which ends the program
        # where one has a damaged entry_points.txt, before ours could be listed. Who wants pydantic's says so: "".
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
        from medical_kg.cli.app import app

        app(prog_name="medical-kg")
    except KeyboardInterrupt:  # before the command line could take care of it
        sys.stderr.write("interrupted\n")
        _leave(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _leave(INTERRUPTED)
        raise


def _hear_again(lost: sys.UnraisableHookArgs) -> None:
    """Tell what Python could not raise; Ctrl-C that came in a ``__del__`` or a callback comes once more instead."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        main = threading.main_thread().ident
        again = threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(lost)


def _give_streams() -> None:
    """Make the standard streams take any text; those the process was started without lead nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        elif stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # open as long as the process


def _leave(code: int) -> None:
    """End the process; without waiting for stages still at work in other threads, which Python would."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
