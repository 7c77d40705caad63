"""``medical-kg dev``: Dagster's UI on the same pipelines and history."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from medical_kg.cli.state import state_of
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.usage import examples

LOOPBACK = ("127.0.0.1", "::1", "localhost")
GRACE_SECONDS = 10.0
"""How long the children may take to end before they are killed."""


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("dev", epilog=examples("medical-kg dev", "medical-kg dev --port 3001"))(dev)


def dev(
    ctx: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 3000,
) -> None:
    """Start Dagster's UI on the workspace's pipelines and history; Ctrl-C ends it."""
    state = state_of(ctx, others_print=True)
    if importlib.util.find_spec("dagster_webserver") is None:
        raise UsageError("Dagster's UI is not installed; install it with: pip install 'medical-kg[ui]'")
    if host not in LOOPBACK:
        state.note(f"Warning: Dagster's UI has no login; everybody who can reach {host}:{port} can run pipelines")
    from medical_kg.orchestration.dagster.dev import command, environment

    place = state.place
    words, variables = command(place, host, port), environment(place)
    state.note(f"workspace {place.root}\nDagster's UI will be at http://{host}:{port} (Ctrl-C ends it)")
    raise typer.Exit(supervise(words, variables))


def supervise(command: Sequence[str], environment: Mapping[str, str], grace: float = GRACE_SECONDS) -> int:
    """Run a program in a process group of its own until it ends, and leave none of its children behind.

    SIGINT and SIGTERM are passed on to the whole group; asked a second time, or after ``grace`` seconds, it is killed.

    Returns:
        The program's exit code; 128 + the signal's number when it was ended by one.
    """
    asked: list[int] = []
    with subprocess.Popen(command, env=dict(environment), start_new_session=True) as child:  # noqa: S603  # built by us

        def forward(number: int, _: object) -> None:
            asked.append(number)
            signal_group(child.pid, number if len(asked) == 1 else signal.SIGKILL)
            signal.setitimer(signal.ITIMER_REAL, grace)

        former = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
        try:
            code = child.wait()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            end_group(child.pid, grace)
            for number, handler in former.items():
                signal.signal(number, handler)
    if asked:
        return 128 + asked[0]
    return code if code >= 0 else 128 - code


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; return whether there was anybody in it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def end_group(group: int, grace: float = GRACE_SECONDS) -> None:
    """End what is left of a process group: first ask, then kill."""
    deadline = time.monotonic() + grace
    alive = signal_group(group, signal.SIGTERM)
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = signal_group(group, 0)
    if alive:
        signal_group(group, signal.SIGKILL)
