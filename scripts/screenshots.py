"""Take the pictures in docs/images anew: the graph's page, a report and Dagster's page of a run, all of the demo.

Needs Chromium. Everything is made in a folder of its own and shown on this machine only.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PROGRAM = Path(sys.executable).with_name("medical-kg")
NODE = "COVID-19"
PATIENCE_SECONDS = 120
GIVE_UP = "{what} did not come within " + f"{PATIENCE_SECONDS} seconds"

sys.path.insert(0, str(ROOT / "tests" / "browser"))
from chromium import PROGRAM as BROWSER  # noqa: E402  # the tests' browser
from chromium import Chromium  # noqa: E402  # as above

if TYPE_CHECKING:
    from chromium import Tab


def main() -> None:
    """Run the demo, make its pages, and take a picture of each."""
    if BROWSER is None:
        sys.exit("chromium is not installed")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, browser(Path(made) / "profile") as chromium:
        place = Path(made) / "demo"
        kg(place, "demo")
        [submission] = json.loads(kg(place, "submissions", "list", "--json"))
        report, graph = Path(made) / "report.html", Path(made) / "graph.html"
        kg(place, "submissions", "report", submission["id"], "--out", report)
        kg(place, "graph", "page", NODE, "--depth", "2", "--out", graph)
        tab = chromium.open(report)
        tab.resize(1200, 760)
        tab.ask("document.getElementById('pipeline').scrollIntoView()")  # above it stand names of this machine
        take(tab, "report")
        take(chromium.open(graph), "graph")
        with ui(place) as address:
            tab = chromium.open(f"{address}/runs/{run_of(place, submission['id'])}")
            tab.resize(1400, 1000)
            wait("the run's page", lambda: "close_batch" in str(tab.ask("document.body.innerText")))
            time.sleep(3)  # its picture moves into place
            take(tab, "dagster")


def kg(place: Path, *words: Any) -> str:
    """Run a command in the workspace and return what it prints."""
    command = [str(PROGRAM), "--workspace", str(place), *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603  # our own program


def run_of(place: Path, submission: str) -> str:
    """Return the Dagster run of the submission's batch."""
    shown = json.loads(kg(place, "submissions", "show", submission, "--json"))
    return str(shown["batches"][0]["run_id"])


def take(tab: Tab, name: str) -> None:
    """Keep what is seen."""
    path = IMAGES / f"{name}.png"
    path.write_bytes(tab.screenshot())
    sys.stdout.write(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KB\n")


@contextmanager
def browser(profile: Path) -> Iterator[Chromium]:
    """A browser that has never been used before."""
    running = Chromium(str(BROWSER), profile)
    try:
        yield running
    finally:
        running.close()


@contextmanager
def ui(place: Path) -> Iterator[str]:
    """Dagster's UI on the workspace, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    words = [str(PROGRAM), "--workspace", str(place), "dev", "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # as above
    try:
        wait("Dagster's UI", lambda: answers(f"{address}/server_info"))
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)


def answers(address: str) -> bool:
    """Whether something is served there."""
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310  # on this machine
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def wait(what: str, came: Any) -> None:
    """Return once it has come."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not came():
        if time.monotonic() > until:
            sys.exit(GIVE_UP.format(what=what))
        time.sleep(0.3)


if __name__ == "__main__":
    main()
