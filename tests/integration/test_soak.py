"""Two ``run``, one ``dev`` and one ``resume --watch`` on one workspace in SQLite: no error reaches anybody.

In CI for a short while, by ``make soak`` for five minutes.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
Running = Callable[..., Any]

SECONDS = float(os.environ.get("MEDICAL_KG_SOAK_SECONDS", "5"))
PATIENCE_SECONDS = 300
WRONG = re.compile(r"Traceback|\bERROR\b|Error\b|Exception\b|is locked|cannot|failed|given up")
RUNS = b'{"query": "{ runsOrError { ... on Runs { results { runId status } } } }"}'


class Seen:
    """What the users of the workspace have seen."""

    def __init__(self) -> None:
        self.until = time.monotonic() + SECONDS
        self.ended: list[tuple[str, int, str]] = []
        self.answers = 0

    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    def keep_running(self, kg: Any, name: str, *words: object) -> None:
        """Run a command again and again; each time with another number of records."""
        number = 0
        while self.goes_on() or number < 2:
            number += 1
            done = kg(*words, "--limit", number)
            self.ended.append((name, done.returncode, done.stderr))

    def keep_looking(self, address: str) -> None:
        """Ask the UI for the history, as a page that is open does."""
        request = urllib.request.Request(f"{address}/graphql", RUNS, {"Content-Type": "application/json"})
        while self.goes_on() or not self.answers:
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                    self.answers += b'"errors"' not in answer.read()
            except (urllib.error.URLError, ConnectionError):
                assert not self.answers, "the UI went away"
            time.sleep(0.5)


@contextmanager
def dev(kg: Any, running: Running, log: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as out, running(kg.start("dev", "--port", port, stdout=out, stderr=out)) as process:
        try:
            yield f"http://127.0.0.1:{port}"
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            process.wait(timeout=60)


@contextmanager
def watch(kg: Any, running: Running, log: Path) -> Iterator[None]:
    words = ("submissions", "resume", "--watch", "--every", "0.5", "--workers", "2")
    with log.open("w") as out, running(kg.start(*words, stdout=out, stderr=out)) as process:
        yield
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_SECONDS) == 130, log.read_text()


def test_many_hands_on_one_workspace(kg: Any, running: Running, rows_of_few: Any, tmp_path: Path) -> None:
    """Runs end with 0, or with 3 where somebody else holds the batch; nobody sees an error; everything gets done."""
    pytest.importorskip("dagster_webserver", reason="Dagster's UI (the extra ui) is not installed")
    kg.add_gated()
    seen, logs = Seen(), {name: tmp_path / f"{name}.log" for name in ("dev", "watch")}
    with dev(kg, running, logs["dev"]) as address, watch(kg, running, logs["watch"]):
        users = [
            threading.Thread(target=seen.keep_running, args=(kg, "dagster", *kg.auto)),
            threading.Thread(
                target=seen.keep_running, args=(kg, "plain", "run", "gated", "--engine", "plain", "--input", kg.source)
            ),
            threading.Thread(target=seen.keep_looking, args=(address,)),
        ]
        for user in users:
            user.start()
        for user in users:
            user.join()
        for one in kg.json("submissions", "list", "--limit", "100000"):
            if one["status"] == "waiting":
                assert kg("submissions", "signal", one["id"], "converted", "yes").returncode == 0
        until = time.monotonic() + PATIENCE_SECONDS
        while kg.ask("select 1 from submissions where status not in ('completed', 'cancelled')"):
            assert time.monotonic() < until, logs["watch"].read_text()
            time.sleep(0.2)
    ended = Counter((name, code) for name, code, _ in seen.ended)
    print(f"ended: {dict(ended)}; the UI answered {seen.answers} times")  # noqa: T201  # for who runs it with -s
    assert {code for _, code, _ in seen.ended} <= {0, 3}, seen.ended
    told = [line for _, _, said in seen.ended for line in said.splitlines()]
    told += [line for log in logs.values() for line in log.read_text().splitlines()]
    assert [line for line in told if WRONG.search(line)] == []
    assert seen.answers
    stages = kg.ask("select batch_id, stage, count(*) from history where event = 'stage completed' group by 1, 2")
    assert [row for row in stages if row[2] > 1 and row[1] != "gate_ready"] == []
    assert kg(*kg.auto).returncode == 0
    assert kg.rows() == rows_of_few
