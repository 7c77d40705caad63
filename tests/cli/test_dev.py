"""``medical-kg dev``: a child with children of its own, ended properly."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from medical_kg.cli import dev
from medical_kg.cli.dev import end_group, supervise

Cli = Callable[..., Result]

FAMILY = """
import pathlib, signal, subprocess, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
pathlib.Path("child").write_text(str(child.pid))
pathlib.Path("ready").touch()
time.sleep(300)
"""

SUPERVISOR = """
import os, sys
from medical_kg.cli.dev import supervise

grace = 0.5 if "impatient" in sys.argv else 60
sys.exit(supervise([sys.executable, "family.py", *sys.argv[1:]], dict(os.environ), grace))
"""


@pytest.fixture
def grandchild(here: Path) -> Iterator[Path]:
    """The file in which a supervised program leaves its child's process id; the child is ended after the test."""
    (here / "family.py").write_text(FAMILY)
    yield here / "child"
    if (here / "child").exists() and runs(int((here / "child").read_text())):
        os.kill(int((here / "child").read_text()), signal.SIGKILL)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ends(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not runs(pid)


def start(here: Path, *words: str) -> subprocess.Popen[bytes]:
    parent = subprocess.Popen([sys.executable, "-c", SUPERVISOR, *words], cwd=here)
    while not (here / "ready").exists():
        assert parent.poll() is None
        time.sleep(0.02)
    return parent


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_whole_family(here: Path, grandchild: Path, number: signal.Signals, code: int) -> None:
    """SIGINT and SIGTERM reach the child and its children; the exit code tells the signal."""
    parent = start(here)
    parent.send_signal(number)
    assert parent.wait(timeout=30) == code
    assert ends(int(grandchild.read_text()))


def test_asked_twice_it_kills(here: Path, grandchild: Path) -> None:
    """A child that does not listen is killed by the second signal."""
    parent = start(here, "deaf")
    parent.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert parent.poll() is None
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=30) == 130
    assert ends(int(grandchild.read_text()))


def test_asked_once_it_kills_after_the_grace(here: Path, grandchild: Path) -> None:
    """A child that does not listen does not keep its parent for ever."""
    parent = start(here, "deaf", "impatient")
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(timeout=30) == 143
    assert ends(int(grandchild.read_text()))


def test_children_do_not_outlive_their_parent(here: Path, grandchild: Path) -> None:
    """When the child ends by itself its exit code is kept, and what it left behind is ended."""
    script = FAMILY.replace("time.sleep(300)\n", "sys.exit(7)\n")
    assert supervise([sys.executable, "-c", script], dict(os.environ)) == 7
    assert ends(int(grandchild.read_text()))


def test_a_child_ended_by_a_signal_gives_its_number(here: Path) -> None:
    """A child that a signal ended is told as a shell tells it."""
    assert supervise(["bash", "-c", "kill -9 $$"], dict(os.environ)) == 137


def test_what_does_not_listen_is_killed_in_the_end(here: Path) -> None:
    """A process of the group that ignores SIGTERM is killed after the grace."""
    deaf = "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path('ready').touch(); time.sleep(300)"
    child = subprocess.Popen([sys.executable, "-c", deaf], cwd=here, start_new_session=True)
    while not (here / "ready").exists():
        time.sleep(0.02)
    end_group(child.pid, grace=0.1)
    assert child.wait(timeout=20) == -signal.SIGKILL


def test_without_the_ui_it_says_what_to_install(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where dagster-webserver is not installed: the command that installs it, and code 2; nothing is made."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "dagster_webserver" else real(name, *more)
    )
    result = cli("dev")
    assert (result.exit_code, "pip install 'medical-kg[ui]'" in result.stderr) == (2, True)
    assert list(here.iterdir()) == []


def test_loopback_unless_told_otherwise(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens on the loopback address; another address is warned of, since Dagster's UI has no login."""
    pytest.importorskip("dagster_webserver")
    asked: list[list[str]] = []
    monkeypatch.setattr(
        dev, "supervise", lambda words, environment: asked.append([*words, environment["DAGSTER_HOME"]]) or 0
    )
    plain, public = cli("dev"), cli("dev", "--host", "0.0.0.0", "--port", "3333")
    assert (plain.exit_code, "Warning" in plain.stderr) == (0, False)
    assert "no login" in public.stderr
    assert "127.0.0.1" in asked[0]
    assert {"0.0.0.0", "3333"} <= set(asked[1])
    assert asked[0][-1] == str(here / ".medical-kg" / "dagster")


@pytest.mark.slow
def test_the_ui_answers_and_ends(program: Any, here: Path) -> None:
    """The real thing: Dagster's UI answers on the loopback address, and Ctrl-C leaves no process behind."""
    pytest.importorskip("dagster_webserver")
    import socket
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    child = subprocess.Popen(
        program.command("dev", "--port", port),
        cwd=here,
        env=program.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert child.poll() is None
            assert time.monotonic() < deadline
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5) as answer:
                    assert answer.status == 200
                break
            except OSError:
                time.sleep(0.2)
        family = group_of(child.pid)
        assert family
    finally:
        child.send_signal(signal.SIGINT)
        code = child.wait(timeout=60)
    assert code == 130
    assert [pid for pid in family if not ends(pid)] == []


def group_of(parent: int) -> list[int]:
    """Every process below one."""
    found, pending = [], [parent]
    while pending:
        pid = pending.pop()
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
        below = [int(word) for word in listed.stdout.split()]
        found += below
        pending += below
    return found
