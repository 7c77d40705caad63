"""Running what is ready, of whatever submission: once, or for as long as is wanted, without a daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medical_kg.orchestration.api import Report, report
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.crew import Dispatcher, EngineName, hire
from medical_kg.orchestration.submissions import reopen_failed

if TYPE_CHECKING:
    from medical_kg.orchestration.telemetry.events import Events
    from medical_kg.orchestration.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of the submissions of which a batch was run; ``problems`` is what is in the way of some, by id."""

    reports: tuple[Report, ...]
    problems: Mapping[str, Exception]


def resume_all(
    workspace: Workspace, *, engine: EngineName = "dagster", events: Events | None = None, workers: int = 1
) -> Ran:
    """Run every batch of the workspace that is ready, and those that become ready by that; failed ones are left alone.

    What is in the way of one submission, such as a pipeline's file that is no longer valid, stops no other.

    Raises:
        TransientError: the database was held by another process for too long.
    """
    with hire(workspace, workers, engine=engine, events=events) as hands:
        dispatcher = Dispatcher(workspace.ledger, hands)
        dispatcher.once()
    return Ran(tuple(report(workspace, ident) for ident in dispatcher.ran), dict(dispatcher.problems))


def watch(
    workspace: Workspace,
    submission_id: str | None = None,
    *,
    every: float = 5.0,
    engine: EngineName = "dagster",
    events: Events | None = None,
    workers: int = 1,
    say: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run batches whenever they become ready, without a daemon: of one submission, or of all in the workspace.

    Of one submission, failed batches are run again at the beginning, and it ends when no batch of it can become ready any
    more. Otherwise it goes on until ``stop`` is set, or Ctrl-C. A failing batch, an invalid pipeline's file, or a busy
    database stops nothing but what it concerns.

    Args:
        workspace: where everything is kept.
        submission_id: only this submission, or a prefix of its id.
        every: look for what is ready so often, in seconds.
        engine: as of ``submit``.
        events: told what happens.
        workers: as of ``submit``.
        say: told, once, what is in the way of a submission and when it goes on; a warning in the log unless given.
        stop: ends it when set; a batch that is at work is run to its end before.

    Raises:
        RecordNotFound: there is no such submission.
        UsageError: ``every`` is not a time.
    """
    if not 0 < every < float("inf"):
        raise UsageError(f"every must be a number of seconds above 0, not {every!r}")
    stop = stop or threading.Event()
    only = None if submission_id is None else workspace.ledger.submission(submission_id).id
    if only is not None:
        reopen_failed(workspace, only)

    def goes_on() -> bool:
        return not stop.is_set() and (only is None or can_go_on(workspace, only))

    told = {} if say is None else {"say": say}
    with hire(workspace, workers, engine=engine, events=events, stop=stop) as hands:
        Dispatcher(workspace.ledger, hands, submission_id=only, **told).watch(every, goes_on)


def can_go_on(workspace: Workspace, submission_id: str) -> bool:
    """Whether a batch of a submission is at work or may become ready: by itself, by a signal or at its deadline."""
    return any(batch.status in ("pending", "running", "waiting") for batch in workspace.ledger.batches(submission_id))
