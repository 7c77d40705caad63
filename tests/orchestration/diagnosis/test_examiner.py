"""The program that tries plugins, called here without its process."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributions import distribution, importable, module

from medical_kg.orchestration.contract.errors import PluginError
from medical_kg.orchestration.diagnosis import examiner, examining
from medical_kg.orchestration.registry import Installation

SOURCES = "medical_kg.sources"


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    """Give back what the program takes for its own: standard streams, signals, the log."""
    streams, path = [os.dup(1), os.dup(2)], list(sys.path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    logger = logging.getLogger("medical_kg")
    before = list(logger.handlers)
    yield
    logger.handlers[:], logger.propagate = before, True
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    sys.path[:] = path


@pytest.mark.usefixtures("_as_it_was")
def test_it_answers_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it is ready, then what came of each plugin, and ends without waiting for anything."""
    text = "import os, warnings\nprint('hello')\nos.environ['OF_TEST'] = '1'\nThing = 1\n"
    with importable(tmp_path):
        module(tmp_path, "prints", text)
        module(tmp_path, "raises", "raise ValueError('no')\n")
        distribution(tmp_path, "dist", {"a": "prints:Thing", "b": "raises:Thing"}, door=SOURCES)
        plugins = [[SOURCES, f"dist:{name}"] for name in "abc"]
        asked = {"settings": {}, "folder": str(tmp_path), "path": [str(tmp_path)], "sys_path": sys.path}
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({**asked, "plugins": plugins})))
        monkeypatch.setattr(sys, "stdout", os.fdopen(os.dup(1), "w"))
        monkeypatch.setattr(os, "_exit", sys.exit)
        monkeypatch.setattr(examiner, "SLOW_SECONDS", 0)
        reading, writing = os.pipe()
        with pytest.raises(SystemExit) as caught:
            examiner.main(writing)
        sys.stdout.close()
    os.close(writing)
    with os.fdopen(reading) as answers:
        ready, good, bad, absent = map(json.loads, answers)
    assert (caught.value.code, ready) == (0, "ready")
    assert (good["wrong"], good["notes"][0][:15]) == ("", "its import took")
    assert good["notes"][-1] == "it changed environment variables: OF_TEST"
    assert (bad["wrong"], "raise ValueError" in bad["detail"]) == ("ValueError: no", True)
    assert "no installed distribution provides it" in absent["wrong"] or "does not provide it" in absent["wrong"]
    assert "OF_TEST" not in os.environ


def test_a_program_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When Python itself cannot start, the error says how its process ended."""
    # More than a pipe holds: it ends while it is still being told what to do.
    monkeypatch.setattr(sys, "path", [*sys.path, "/nowhere" * 20_000])
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    with importable(tmp_path):
        module(tmp_path, "thing", "Thing = 1\n")
        distribution(tmp_path, "dist", {"thing": "thing:Thing"}, door=SOURCES)
        installation = Installation(path=[str(tmp_path)])
        with pytest.raises(PluginError, match="did not start; it ended the process with exit code 1"):
            examining.examine_all(installation, installation.door(SOURCES).claims(), 30)
