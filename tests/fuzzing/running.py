"""Calling a target with edited seeds, for so many examples or so many seconds; what is found is made small."""

from __future__ import annotations

import logging
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings
from mutating import edited
from targets import Target, targets

MOST_SECONDS = 10.0
"""Of one call: a target that takes longer hangs."""
ROUND = 500
"""Examples of a round; each round has a seed of its own."""


MEMORY = 4 << 30
"""Bytes of address space that a process may have: what needs more is a finding."""


class Hangs(AssertionError):
    """A call took longer than ``MOST_SECONDS``."""


@dataclass
class Found:
    """What a target was called with and what it raised, made as small as could be; ``calls`` counts all calls."""

    calls: int = 0
    seconds: float = 0.0
    failures: list[tuple[bytes, BaseException]] = field(default_factory=list)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End what takes longer."""

    def stop(number: int, frame: FrameType | None) -> None:
        msg = f"it took longer than {seconds:g} s"
        raise Hangs(msg)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(target: Target, *, examples: int, number: int) -> Found:
    """Call a target with so many edited seeds; ``number`` decides which."""
    found = Found()
    last: list[bytes] = []

    def call(data: bytes) -> None:
        found.calls += 1
        last[:] = [data]
        with deadline(MOST_SECONDS):
            target.call(data)

    began = time.monotonic()
    try:
        _run(target, call, examples, number)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what was looked for
        found.failures.append((last[0], error))
    found.seconds = time.monotonic() - began
    return found


def _run(target: Target, call: Callable[[bytes], None], examples: int, number: int) -> None:
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    seed(number)(limits(given(edited(target.seeds))(call)))()


def fuzz_for(target: Target, seconds: float, first: int) -> Found:
    """Call a target for so long, or until something is found; rounds are numbered from ``first``."""
    total, number = Found(), first
    while total.seconds < seconds and not total.failures:
        found = fuzz(target, examples=ROUND, number=number)
        total.calls += found.calls
        total.seconds += found.seconds
        total.failures += found.failures
        number += 1
    return total


def work(name: str, seconds: float, number: int) -> Found:
    """Fuzz a target in this process, whose memory is limited; begin with files of ../shared/data where they are."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable()
    target = next(one for one in targets(real=True) if one.name == name)
    found = fuzz_for(target, seconds, number)
    # Tracebacks do not travel: what they say does.
    found.failures = [(data, AssertionError(_told(error))) for data, error in found.failures]
    return found


def _told(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:300]} ({Path(where.filename).name}:{where.lineno})"
