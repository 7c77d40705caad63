"""``submissions resume --watch`` as a program of its own, beside others."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

Running = Callable[..., Any]

PATIENCE_SECONDS = 300
"""When a test gives up; no test measures time."""


def await_status(kg: Any, ident: str, status: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while kg.ask(f"select status from submissions where id = '{ident}'") != [(status,)]:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_watch_sees_submissions_through(kg: Any, running: Running, workers: int) -> None:
    """What waits is run when a signal comes from another process; Ctrl-C ends the watch, with all its processes."""
    kg.add_gated()
    idents = []
    for limit in (1, 2):
        done = kg("run", "gated", "--input", kg.source, "--limit", limit, "--engine", "plain", "--json")
        assert done.returncode == 3, done.stderr
        idents.append(json.loads(done.stdout)["submission"]["id"])
    words = ("submissions", "resume", "--watch", "--every", "0.2", "--workers", workers, "--engine", "plain", "--json")
    with running(kg.start(*words)) as process:
        for ident in idents:
            assert kg("submissions", "signal", ident, "converted", "yes").returncode == 0
            await_status(kg, ident, "completed")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, err
    assert err.splitlines() == ["interrupted"]
    told = [json.loads(line) for line in out.splitlines()]
    assert [(one["submission"], one["status"]) for one in told] == [(ident, "completed") for ident in idents]
