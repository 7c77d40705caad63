"""Circuit breakers and rate limits in the ledger: every process of a workspace goes by them, on either database."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from medical_kg.orchestration.ledger.sql import SqlLedger
from medical_kg.orchestration.resilience import HostState

PROCESS = """
import sys
from medical_kg import TransientError
from medical_kg.orchestration.contract.errors import CircuitOpen
from medical_kg.orchestration.ledger.sql import open_ledger
from medical_kg.orchestration.resilience import CircuitBreaker, HostTurns, Policy, RateLimit
from medical_kg.testing import FakeClock

ledger, clock = open_ledger(sys.argv[1]), FakeClock(1000.0)
policies = {
    "rate": Policy(rate_limit=RateLimit(rate_limit_per_second=20)),
    "break": Policy(timeout_seconds=60, circuit_breaker=CircuitBreaker(failure_threshold=10, recovery_timeout=30)),
}
say = lambda *words: print(*words, flush=True)
turns = {
    name: HostTurns(name, policy, ledger, clock, lambda host, change, _: say("change", change))
    for name, policy in policies.items()
}
for line in sys.stdin:
    do, _, number = line.strip().partition(" ")
    if do == "waits":
        say("waits", *(turns["rate"].begin("a.org")[1] for _ in range(int(number))))
    elif do == "fail":
        for _ in range(int(number)):
            turns["break"].take("a.org").over(TransientError("down"))
        say("failed")
    elif do == "advance":
        clock.advance(float(number))
        say("now", clock.now())
    elif do == "try":
        try:
            held = turns["break"].take("a.org")
            say("leave")
        except CircuitOpen as error:
            say("refused", error.retry_after)
    elif do == "end":
        held.over()
        say("ended")
"""


class Process:
    """Another process at the same ledger, told what to do line by line; its clock stands still unless told."""

    def __init__(self, url: str) -> None:
        self.running = subprocess.Popen(
            [sys.executable, "-c", PROCESS, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def say(self, line: str) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(f"{line}\n")
        self.running.stdin.flush()

    def hear(self, word: str) -> list[str]:
        """Return what it said up to the line that begins with the word, of which only the rest."""
        assert self.running.stdout is not None
        changes = []
        while not (line := self.running.stdout.readline().strip()).startswith(word):
            assert line.startswith("change "), line
            changes.append(line)
        return [*changes, *line.split()[1:]]

    def ask(self, line: str, word: str) -> list[str]:
        self.say(line)
        return self.hear(word)


@pytest.fixture
def two(fresh_url: Callable[[], str]) -> Iterator[tuple[Process, Process]]:
    """Two processes at one ledger."""
    url = fresh_url()
    found = Process(url), Process(url)
    yield found
    for one in found:
        one.running.kill()
        one.running.communicate()


@pytest.mark.slow
def test_two_processes_share_a_host(two: tuple[Process, Process]) -> None:
    """Together they keep to one rate, open one breaker and make one trial; a trial that is killed is given up in time."""
    first, second = two
    for one in two:
        one.say("waits 10")
    waits = [float(wait) for one in two for wait in one.hear("waits")]
    assert sorted(waits) == pytest.approx([number / 20 for number in range(20)])

    for one in two:
        one.say("fail 5")
    changes = [change for one in two for change in one.hear("failed")]
    assert changes == ["change opened"]
    assert first.ask("try", "refused") == ["30.0"]
    assert second.ask("try", "refused") == ["30.0"]

    for one in two:
        one.ask("advance 30", "now")
    assert first.ask("try", "leave") == ["change half-open"]
    assert second.ask("try", "refused") == ["90.0"]
    first.running.send_signal(signal.SIGKILL)
    first.running.wait()
    second.ask("advance 89.5", "now")
    assert second.ask("try", "refused") == ["0.5"]
    second.ask("advance 0.5", "now")
    assert second.ask("try", "leave") == ["change half-open"]
    assert second.ask("end", "ended") == ["change closed"]
    assert second.ask("try", "leave") == []


def test_a_host_is_known_by_policy_and_name(ledger: SqlLedger) -> None:
    """What is not known is closed; what a step makes of it is kept, for that policy and that host alone."""
    assert ledger.host("p", "a.org") == HostState()
    known = HostState(failures=3, open_until=1030.5, trial="t", trial_until=1090.25, next_at=1000.125)
    assert ledger.change_host("p", "a.org", lambda _: (known, "given")) == "given"
    assert ledger.host("p", "a.org") == known
    assert ledger.host("q", "a.org") == ledger.host("p", "b.org") == HostState()
    assert ledger.change_host("p", "a.org", lambda state: (state, state)) == known


def test_a_step_that_fails_changes_nothing(ledger: SqlLedger) -> None:
    """What was known stays, also of a host that was not known."""

    def fail(_: HostState) -> tuple[HostState, Any]:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            ledger.change_host("p", "a.org", fail)
        assert ledger.host("p", "a.org") == HostState()
        ledger.change_host("p", "a.org", lambda state: (state, None))
