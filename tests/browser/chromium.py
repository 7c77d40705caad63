"""A real browser, spoken to over the DevTools protocol through two pipes: no port, no driver, no profile of anybody's."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
PATIENCE_SECONDS = 60
"""How long an answer may take before the browser counts as stuck."""
SIZE = (1200, 800)
KEYS = {
    "Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
    "Escape": {"key": "Escape", "code": "Escape", "windowsVirtualKeyCode": 27},
    "Tab": {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9},
    "ArrowLeft": {"key": "ArrowLeft", "code": "ArrowLeft", "windowsVirtualKeyCode": 37},
}
# The browser reads commands from file 3 and answers into file 4.
START = (
    "import os, sys; r, w = map(int, sys.argv[1:3]); os.dup2(r, 100); os.dup2(w, 101); os.dup2(100, 3); os.dup2(101, 4)"
)
START += "; os.execv(sys.argv[3], sys.argv[3:])"


class Chromium:
    """One browser; ``open`` gives tabs."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        browser = [program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={SIZE[0]},{SIZE[1]}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(theirs_in), str(theirs_out), *browser],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._unread = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Give a command and wait for its answer; what happens meanwhile is kept in ``events``."""
        self._send(method, session, parameters)
        while (answer := self._next()).get("id") != self._last:
            self.events.append(answer)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def wait_for(self, method: str, session: str) -> None:
        """Wait until an event of this tab has come, also one that came before."""
        while not any(event.get("method") == method and event.get("sessionId") == session for event in self.events):
            self.events.append(self._next())

    def open(self, page: Path | str) -> Tab:
        """Open a page, from the disk or by its address, in a tab of its own, and wait until it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable", session)
        self.call("Page.navigate", session, url=page if isinstance(page, str) else page.as_uri())
        self.wait_for("Page.loadEventFired", session)
        return Tab(self, session)

    def close(self) -> None:
        """End the browser."""
        self._send("Browser.close", None, {})
        self._process.wait(PATIENCE_SECONDS)
        os.close(self._in)
        os.close(self._out)

    def _send(self, method: str, session: str | None, parameters: dict[str, Any]) -> None:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._in], [], [], PATIENCE_SECONDS)
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has ended"
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


class Tab:
    """One page in the browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def ask(self, expression: str) -> Any:
        """Return what an expression is worth in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.ask(expression) is not True:
            assert time.monotonic() < end, f"never true in the page: {expression}"
            time.sleep(0.1)

    def press(self, key: str) -> None:
        """Press and release a key, as a keyboard does."""
        named = KEYS.get(key, {"key": key, "text": key})
        self.call("Input.dispatchKeyEvent", type="keyDown", **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **{name: named[name] for name in named if name != "text"})

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Move the mouse with its button down; from a point to itself this is a click."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def prefer(self, scheme: str) -> None:
        """Set what the reader prefers: ``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def resize(self, width: int, height: int) -> None:
        """Give the page another size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self) -> bytes:
        """Return what is seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def requests(self) -> list[str]:
        """Return the addresses the page asked for."""
        return [event["params"]["request"]["url"] for event in self._happened("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Return what the browser complained of: errors of scripts, and what a policy forbade."""
        errors = [event["params"]["exceptionDetails"]["text"] for event in self._happened("Runtime.exceptionThrown")]
        return errors + [event["params"]["entry"]["text"] for event in self._happened("Log.entryAdded")]

    def _happened(self, method: str) -> list[dict[str, Any]]:
        ours = (event for event in self._browser.events if event.get("sessionId") == self._session)
        return [event for event in ours if event["method"] == method]
