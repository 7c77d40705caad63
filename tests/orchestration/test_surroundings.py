"""What foreign code changes of the process is put back, and told."""

from __future__ import annotations

import logging
import logging.config
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from medical_kg.orchestration.surroundings import kept


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give everything back, should the guard not."""
    monkeypatch.chdir(Path.cwd())
    monkeypatch.setenv("KEPT", "before")
    monkeypatch.delenv("ADDED", raising=False)
    streams = sys.stdin, sys.stdout, sys.stderr
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    logging.disable(logging.NOTSET)
    root.setLevel(level)
    root.handlers[:] = handlers
    sys.stdin, sys.stdout, sys.stderr = streams


def test_nothing_is_said_of_code_that_behaves(caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing changed nothing is told."""
    with kept("it"):
        pass
    assert caplog.text == ""


def test_the_working_directory_is_put_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Relative paths mean what they meant."""
    before = Path.cwd()
    with kept("it"):
        os.chdir(tmp_path)
    assert Path.cwd() == before
    assert "it changed the working directory: put back" in caplog.text


def test_a_working_directory_that_is_gone_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Code may run, and end, in a folder that has been removed; and remove the one it began in."""
    (tmp_path / "gone").mkdir()
    (tmp_path / "going").mkdir()
    monkeypatch.chdir(tmp_path / "going")
    with kept("one"):
        os.chdir(tmp_path / "gone")
        (tmp_path / "going").rmdir()
    (tmp_path / "gone").rmdir()
    with kept("other"):
        pass
    assert "one changed the working directory" in caplog.text
    assert "other" not in caplog.text


def test_variables_that_were_there_are_put_back_and_new_ones_stay(caplog: pytest.LogCaptureFixture) -> None:
    """Changed and deleted variables are as before, told by name only; what a library adds for itself stays."""
    with kept("it"):
        os.environ["KEPT"] = "hidden value"
        os.environ["ADDED"] = "new"
        del os.environ["PATH"]
    assert os.environ["KEPT"] == "before"
    assert os.environ["PATH"]
    assert os.environ.pop("ADDED") == "new"
    assert "it changed the environment variables KEPT, PATH: put back" in caplog.text
    assert "hidden value" not in caplog.text


def test_the_log_goes_on_as_before(caplog: pytest.LogCaptureFixture) -> None:
    """Root level and handlers, silenced loggers of anybody and a disabled level are put back."""
    ours, other, silent = map(logging.getLogger, ("medical_kg.test", "somebody.else", "somebody.silent"))
    silent.disabled = True
    level, handlers = logging.getLogger().level, list(logging.getLogger().handlers)
    with kept("it"):
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "root": {"level": "CRITICAL"}})
        logging.disable(logging.CRITICAL)
        logging.getLogger().handlers.clear()
    assert (ours.disabled, other.disabled, silent.disabled) == (False, False, True)
    assert logging.getLogger().level == level
    assert logging.getLogger().handlers == handlers
    assert logging.root.manager.disable == logging.NOTSET
    assert "it changed the logging of this program: put back" in caplog.text


def test_the_standard_streams_are_put_back(caplog: pytest.LogCaptureFixture) -> None:
    """Who replaces or removes them does so for itself only."""
    before = sys.stdin, sys.stdout, sys.stderr
    with kept("it"):
        sys.stdout = sys.stderr = None  # type: ignore[assignment]  # that is what it does
    assert (sys.stdin, sys.stdout, sys.stderr) == before
    assert "it changed the standard streams: put back" in caplog.text


def test_it_is_put_back_when_the_code_raises(tmp_path: Path) -> None:
    """An error changes nothing about it."""
    before = Path.cwd()
    with suppress(ValueError), kept("it"):
        os.chdir(tmp_path)
        raise ValueError
    assert Path.cwd() == before


def test_of_several_at_work_the_first_counts_and_all_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that begins after another has changed something does not make the change last."""
    before = Path.cwd()
    changed, ended = threading.Event(), threading.Event()

    def other() -> None:
        with kept("other"):
            os.chdir(tmp_path)
            changed.set()
            ended.wait()

    thread = threading.Thread(target=other)
    thread.start()
    changed.wait()
    with kept("it"):
        pass
    assert Path.cwd() == before
    ended.set()
    thread.join()
    assert Path.cwd() == before
    assert "it (or other, at work at the same time) changed the working directory: put back" in caplog.text
