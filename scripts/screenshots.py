"""Makes the pictures of the documentation from the demo's documents: ``make screenshots``.

The samples go through pipeline ``auto`` on Dagster, in a workspace that is thrown away. Dagster's web server listens on the
loopback address only.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PROGRAM = Path(sys.executable).with_name("medical-kg")
TERM = "COVID-19"
"""The node that joins most of the sample documents."""
PATIENCE_SECONDS = 240
SIGNATURE = b"\x89PNG\r\n\x1a\n"
sys.path.insert(0, str(ROOT / "tests" / "browser"))  # the browser of the tests

from chromium import PROGRAM as BROWSER  # noqa: E402  # found there
from chromium import Chromium, Tab  # noqa: E402


def main() -> None:
    """Write every picture anew."""
    if BROWSER is None:
        sys.exit("chromium is not installed; on Debian: apt-get install chromium")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        workspace = place / "workspace"
        done = json.loads(call(workspace, "run", "auto", "--input", "samples", "--json"))
        ident = done["submission"]["id"]
        call(workspace, "graph", "page", TERM, "--depth", "2", "--out", str(place / "graph.html"))
        call(workspace, "submissions", "report", ident, "--out", str(place / "report.html"))
        with browser(place / "profile") as chromium:
            graph(chromium.open(place / "graph.html"))
            report(chromium.open(place / "report.html"))
            with webserver(workspace) as address:
                run_page(chromium.open(f"{address}/runs/{run_of(workspace, ident)}"))


def call(workspace: Path, *words: str) -> str:
    """Give a command to the command line, and return what it prints."""
    done = subprocess.run(  # noqa: S603  # built here
        [str(PROGRAM), "--workspace", str(workspace), *words], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    return done.stdout


def run_of(workspace: Path, ident: str) -> str:
    """Return the Dagster run of a submission's first batch."""
    shown = json.loads(call(workspace, "submissions", "show", ident, "--json"))
    return str(shown["batches"][0]["run_id"])


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Chromium]:
    """A browser that is closed at the end, whatever happens."""
    running = Chromium(str(BROWSER), profile)
    try:
        yield running
    finally:
        running.close()


@contextlib.contextmanager
def webserver(workspace: Path) -> Iterator[str]:
    """Dagster's web server on a free port of this machine, ended with what it started; gives its address."""
    from medical_kg.orchestration import Workspace
    from medical_kg.orchestration.dagster.dev import LOCATION, environment

    port = free_port()
    words = ["-m", "dagster_webserver", "-m", LOCATION, "-h", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(  # noqa: S603  # built here
        [sys.executable, *words],
        env=dict(environment(Workspace(workspace))),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(address, running)
            yield address
        finally:
            from medical_kg.cli.dev import end_group

            end_group(running.pid)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def wait_for(address: str, running: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    for _ in range(PATIENCE_SECONDS):
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(f"{address}/server_info").close()  # noqa: S310  # our own address
            return
        if running.poll() is not None:
            break
        time.sleep(1)
    sys.exit("Dagster's web server does not answer")


def graph(tab: Tab) -> None:
    """Show the page as it opens, in light and dark."""
    tab.resize(960, 580)
    tab.until("document.documentElement.dataset.ready === 'yes'")
    for scheme, name in (("light", "graph"), ("dark", "graph-dark")):
        tab.prefer(scheme)
        save(name, tab)


def report(tab: Tab) -> None:
    """Show the head of the page, with the pipeline and the stages."""
    tab.resize(1200, 800)
    # Where and by whom it was made is nobody's business.
    tab.ask(
        f"document.body.innerHTML = document.body.innerHTML.replaceAll('{ROOT}/', '').replace(/ by [^ ,]+@[^ ,]+/, '')"
    )
    save("report", tab)


def run_page(tab: Tab) -> None:
    """Show the run when its steps are drawn."""
    tab.resize(1300, 660)
    tab.until("document.body.innerText.includes('close_batch')")
    for button in ("gantt_flat", "expand_arrows"):
        tab.ask(f"document.querySelector('button [aria-label={button}]').closest('button').click()")
    time.sleep(3)  # its drawing moves into place
    save("dagster", tab)


def save(name: str, tab: Tab) -> None:
    """Write what is seen, and tell how large it is."""
    path = IMAGES / f"{name}.png"
    path.write_bytes(smaller(tab.screenshot()))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")  # noqa: T201  # a program


def smaller(png: bytes) -> bytes:
    """Return the same picture packed harder: the browser packs for speed.

    A PNG is a signature and chunks of length, kind, content and checksum; those of kind IDAT are one zlib stream
    (https://www.w3.org/TR/png-3/).
    """
    chunks, at = [], len(SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        chunks.append((kind, png[at + 8 : at + 8 + length]))
        at += length + 12
    pixels = zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
    kept = [(b"IHDR", chunks[0][1]), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b"")]
    packed = (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in kept
    )
    return SIGNATURE + b"".join(packed)


if __name__ == "__main__":
    main()
