"""Ctrl-C and plugins that raise ``KeyboardInterrupt``: told from each other by the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from medical_kg.orchestration.interruption import Watch, watched


def interrupt() -> None:
    """A real Ctrl-C for this process; the handler runs before the next line."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


def raising(error: BaseException) -> None:
    raise error


def hiding() -> None:
    """A plugin that makes an error of its own of Ctrl-C."""
    try:
        interrupt()
    except KeyboardInterrupt as error:
        raise RuntimeError("hidden") from error


def swallowing() -> None:
    """A plugin that goes on after Ctrl-C."""
    with suppress(KeyboardInterrupt):
        interrupt()


def contained(plugin: Callable[[], None], *, whole: list[int] | None = None) -> Watch:
    """Call a plugin as an engine does: whatever it raises is its own fault, unless somebody stops the program."""
    with watched() as watch:
        try:
            plugin()
        except BaseException:  # noqa: BLE001  # a plugin may raise anything
            watch.check()
    if whole is not None:
        whole.append(1)
    return watch


def test_what_no_signal_caused_is_not_real() -> None:
    """A plain ``KeyboardInterrupt`` can be caught like any other exception."""
    assert contained(lambda: raising(KeyboardInterrupt())).raised is None


@pytest.mark.parametrize("plugin", [interrupt, hiding, swallowing])
def test_a_real_one_comes_through(plugin: Callable[[], None]) -> None:
    """What the signal's handler raised is raised, whatever the plugin made of it."""
    whole: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        contained(plugin, whole=whole)
    assert whole == []


def test_blocks_may_be_nested() -> None:
    """A plugin that is loaded by another one cannot make Ctrl-C undone either."""
    with pytest.raises(KeyboardInterrupt):
        contained(lambda: raising(ValueError()) if contained(swallowing) else None)


def test_the_handlers_are_given_back() -> None:
    """At the end stand the handlers that stood before, even if the plugin has set its own."""
    before = signal.getsignal(signal.SIGINT)
    with watched():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_that_does_not_raise_interrupts_nothing() -> None:
    """Who has a handler of his own that only takes note keeps it."""
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with watched() as watch:
            interrupt()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (heard, watch.raised) == ([signal.SIGINT], None)


def test_other_threads_touch_no_handler() -> None:
    """Signals are handled in the main thread only; a block in another thread changes nothing."""
    before, inside = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with watched():
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]


PROGRAM = """
import signal, sys
from medical_kg.orchestration.registry import Installation, PluginSettings
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
settings = PluginSettings(local={"sources": {"thing": "interrupted:Thing", "other": "good:Thing"}})
installation = Installation(settings, path=[], folder=Path(sys.argv[1]))
try:
    installation.get("medical_kg.sources", "thing")
except Exception as error:
    print(type(error).__name__, error)
print(installation.get("medical_kg.sources", "other"))
"""
READY = "import sys, time\nprint('ready', flush=True)\n"


def start(folder: Path, source: str) -> subprocess.Popen[str]:
    (folder / "interrupted.py").write_text(source, encoding="utf-8")
    (folder / "good.py").write_text("Thing = 'good'\n", encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    "source",
    [
        READY + "time.sleep(60)\n",
        READY + "try:\n    time.sleep(60)\nexcept BaseException:\n    pass\nThing = 1\n",
        READY + "try:\n    time.sleep(60)\nexcept BaseException:\n    raise ImportError('no')\n",
    ],
    ids=["passed on", "swallowed", "turned into another error"],
)
def test_ctrl_c_while_a_plugin_is_imported_ends_the_program(tmp_path: Path, source: str) -> None:
    """A real signal stops a real program, whatever the plugin does with it, and quarantines nothing."""
    process = start(tmp_path, source)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert "KeyboardInterrupt" in err
    assert "quarantined" not in err


@pytest.mark.parametrize(
    "what", ["KeyboardInterrupt", "GeneratorExit", "SystemExit(0)", "type('Odd', (BaseException,), {})"]
)
def test_a_plugin_that_raises_it_is_quarantined(tmp_path: Path, what: str) -> None:
    """The same exception without a signal is contained, like any other; the program goes on."""
    process = start(tmp_path, f"raise {what}\n")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith("PluginBroken 'thing' (medical_kg.sources) from local ")
    assert out.endswith("good\n")
