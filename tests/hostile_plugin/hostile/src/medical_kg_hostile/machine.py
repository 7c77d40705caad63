"""Stages that go for the process, the machine, or what is around them."""

from __future__ import annotations

import logging
import logging.config
import os
import signal
import sys
import threading
import time
from typing import Any

from medical_kg_bystander import Word

from medical_kg import StageContext
from medical_kg_hostile.making import Items, Whole, metadata


class Endless(Items):
    """Never ends."""

    metadata = metadata("endless", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Wait for ever, deaf to everything."""
        while True:
            time.sleep(0.01)


class MemoryHog(Items):
    """Wants all the memory there is."""

    metadata = metadata("memory-hog", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Take it."""
        kept = []
        while True:
            kept.append(bytearray(16 * 1024 * 1024))


class Crash(Items):
    """Crashes the interpreter."""

    metadata = metadata("crash-in-item", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Do as a bad pointer does."""
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)


class Leaves(Items):
    """Ends the process, and claims that all went well."""

    metadata = metadata("leaves-in-item", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Leave."""
        os._exit(0)


class KillsItself(Items):
    """Kills the process."""

    metadata = metadata("kills-itself", mode="item")

    def misbehave(self, item: Word) -> Any:
        """Kill it."""
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


class Prints(Whole):
    """Prints where results go, in every way there is."""

    metadata = metadata("prints")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Print."""
        print('{"printed": true}')  # noqa: T201
        sys.__stdout__.write("printed by Python\n")  # type: ignore[union-attr]  # there is one
        sys.__stdout__.flush()  # type: ignore[union-attr]  # as above
        os.write(1, b"printed by the system\n")
        return reads["given"]


class ChangesLogging(Whole):
    """Sets up the log as if the program were its own."""

    metadata = metadata("changes-logging")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Take every log away."""
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "root": {"level": "CRITICAL"}})
        logging.disable(logging.CRITICAL)
        return reads["given"]


class ChangesEnvironment(Whole):
    """Goes elsewhere, and changes what programs are started with."""

    metadata = metadata("changes-environment")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Change folder and variables."""
        os.chdir("/")
        os.environ["PATH"] = "/nowhere"
        os.environ.pop("HOME", None)
        return reads["given"]


class TakesStreams(Whole):
    """Takes the standard streams away."""

    metadata = metadata("takes-streams")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Leave nothing to print to."""
        sys.stdout = sys.stderr = None  # type: ignore[assignment]  # that is the misbehaviour
        return reads["given"]


class TakesSignals(Whole):
    """Makes the program deaf to Ctrl-C."""

    metadata = metadata("takes-signals", mode="item")

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Any:
        """Ignore it, where Python allows."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return item


class RaisingThread(Whole):
    """Starts a thread that fails."""

    metadata = metadata("raising-thread")

    def run(self, ctx: StageContext, **reads: Any) -> Any:
        """Start it."""
        thread = threading.Thread(target=lambda: 1 / 0, name="hostile")
        thread.start()
        thread.join()
        return reads["given"]
