"""Driving batches: claim, run every stage, settle, take the next. Engines differ only in how stages are scheduled.

The plain engine runs a batch's stages in this process, parallel branches side by side; the Dagster engine
(``dagster.engine``) runs the same stages as ops of a job. Both go through ``held`` and ``execute_stage``, so both leave
the same history.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from medical_kg.orchestration.contract.errors import BatchHeld, LedgerError, MedicalKGError
from medical_kg.orchestration.execution import BatchRun, Instances, Outcome, execute_stage
from medical_kg.orchestration.execution.pulling import settled_fingerprint
from medical_kg.orchestration.lock import check_plan
from medical_kg.orchestration.planning import find_plan, follow_file
from medical_kg.orchestration.telemetry.events import BatchSettled, BatchStarted, Events
from medical_kg.orchestration.tenants import provide
from medical_kg.orchestration.triggers import start_triggered
from medical_kg.orchestration.workspace import LEASE_SECONDS

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch, Ledger
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
    from medical_kg.orchestration.workspace import Workspace

logger = logging.getLogger(__name__)

PROC = Path("/proc")

BRANCHES = 4
"""How many stages of one batch the plain engine runs side by side, at most."""


class Engine(Protocol):
    """Runs the stages of a claimed batch, each through ``execute_stage``."""

    name: str

    def run(self, run: BatchRun) -> None:
        """Run the batch; failures of stages are in the ledger, not raised."""

    def close(self) -> None:
        """Let go of what the engine keeps between batches."""


class PlainEngine:
    """Runs a batch's stages in this process."""

    name = "plain"

    def run(self, run: BatchRun) -> None:
        """Run every stage once those it depends on have ended; independent ones run side by side."""
        done: set[str] = set()
        running: dict[Future[Outcome], str] = {}
        with _pool() as pool:
            while len(done) < len(run.plan.stages):
                started = done | set(running.values())
                ready = [stage.name for stage in run.plan.stages if _is_ready(stage, started, done)]
                if len(ready) == 1 and not running:
                    # Nothing could run beside it: stay in this thread, where Ctrl-C is heard.
                    execute_stage(run, ready[0])
                    done.add(ready[0])
                    continue
                running |= {pool.submit(execute_stage, run, name): name for name in ready}
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    done.add(running.pop(future))
                    future.result()

    def close(self) -> None:
        """Nothing is kept."""


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads for stages, and wait for those at work; after Ctrl-C not, as a stage may take long.

    What such a stage still brings is refused by the ledger, since the batch has been given up.
    """
    pool, wanted = ThreadPoolExecutor(BRANCHES, thread_name_prefix="stage"), True
    try:
        yield pool
    except KeyboardInterrupt:
        wanted = False
        raise
    finally:
        pool.shutdown(wait=wanted, cancel_futures=True)


def _is_ready(stage: PlannedStage, started: set[str], done: set[str]) -> bool:
    return stage.name not in started and done.issuperset(stage.depends_on)


def drain(
    workspace: Workspace,
    submission_id: str,
    engine: Engine,
    events: Events | None = None,
    plan: Plan | None = None,
) -> None:
    """Run the ready batches of a submission, one after the other, until none is left; then close the engine.

    A batch that another run has been quicker to take is left to it. ``plan`` is what ``plan_to_run`` gave, if the caller
    has asked already.

    Raises:
        PipelineInvalid: the pipeline's file no longer passes the check; nothing was changed.
        LockMismatch: the plugins differ from their lock, and the settings refuse that; nothing was changed.
        LedgerError: another run took a batch over.
    """
    ledger, instances = workspace.ledger, Instances()
    plan = plan or plan_to_run(workspace, submission_id)
    try:
        while (batch := _next(ledger, submission_id)) is not None:
            with suppress(BatchHeld):
                run_batch(workspace, plan, batch, engine, events or Events(), instances)
    finally:
        instances.close()
        engine.close()


def plan_to_run(workspace: Workspace, submission_id: str) -> Plan:
    """Return the plan of a submission, once its plugins are held against their lock.

    While the pipeline's file does not pass the check, or is gone, it is the last version that passed, with a warning.

    Raises:
        PipelineInvalid: the pipeline's file no longer passes the check, nor does the version that was kept.
        PipelineNotFound: the file is gone, and no version was kept.
        LockMismatch: the plugins differ from their lock, and the settings refuse that.
    """
    submission = workspace.ledger.submission(submission_id)
    plan, problem = find_plan(workspace, submission)
    check_plan(workspace, plan, submission)
    follow_file(workspace, submission, plan, problem, owner_name())
    return plan


def run_batch(
    workspace: Workspace, plan: Plan, batch: Batch, engine: Engine, events: Events, instances: Instances
) -> Batch:
    """Claim a batch, run it with an engine, and settle it. Returns the batch as it then stands.

    When the engine is interrupted or fails, the batch is given up at once for whoever goes on with it.

    Raises:
        BatchHeld: somebody else holds it.
        LedgerError: another run took it over meanwhile.
    """
    ledger = workspace.ledger
    with held(ledger, batch, workspace.lease_seconds) as claimed:
        run = make_run(workspace, plan, claimed, events, instances)
        start(run)
        try:
            engine.run(run)
        except BaseException:
            # If this cannot be written, or another run holds the batch by now, the end of the lease will do.
            with suppress(MedicalKGError):
                settle(run)
            raise
        return settle(run)


def make_run(workspace: Workspace, plan: Plan, batch: Batch, events: Events, instances: Instances) -> BatchRun:
    """Return the run of a claimed batch in this process."""
    submission = workspace.ledger.submission(batch.submission_id)
    # Also where it was opened before tenants had places, or the workspace was moved since.
    provide(workspace, submission.tenant)
    return BatchRun(
        plan=plan,
        submission=submission,
        batch=batch,
        ledger=workspace.ledger,
        checkpoints=workspace.checkpoints,
        services=workspace.services,
        clock=workspace.clock,
        events=events,
        instances=instances,
        on_told=partial(start_triggered, workspace),
    )


def start(run: BatchRun) -> None:
    """Tell that a run took up the batch."""
    run.events.emit(
        BatchStarted(
            submission_id=run.submission.id,
            batch_id=run.batch.id,
            at=run.clock.now(),
            pipeline=run.plan.name,
            generation=run.batch.generation,
            stages=len(run.plan.stages),
        )
    )


def settle(run: BatchRun) -> Batch:
    """Settle the batch after its stages, and tell how it stands."""
    stages = [stage.name for stage in run.plan.stages]
    mark = settled_fingerprint(run.plan, run.ledger.results(run.batch.id))
    batch = run.ledger.settle(run.batch.id, run.batch.generation, stages, fingerprint=mark)
    settled = BatchSettled(
        submission_id=run.submission.id,
        batch_id=batch.id,
        at=run.clock.now(),
        pipeline=run.plan.name,
        status=batch.status,
    )
    run.events.emit(settled)
    return batch


@contextmanager
def held(ledger: Ledger, batch: Batch, lease_seconds: float = LEASE_SECONDS) -> Iterator[Batch]:
    """Claim a batch for this process and keep the lease alive until the block ends.

    Raises:
        BatchHeld: somebody else holds it, or nothing is left to do in it.
    """
    dead = batch.lease_owner if batch.lease_owner and is_dead(batch.lease_owner) else None
    claimed = ledger.claim(batch.id, owner_name(), lease_seconds=lease_seconds, dead_owner=dead)
    with beating(ledger, claimed, lease_seconds):
        yield claimed


@contextmanager
def beating(ledger: Ledger, claimed: Batch, lease_seconds: float = LEASE_SECONDS) -> Iterator[None]:
    """Keep the lease of a claimed batch alive while the block runs."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(lease_seconds / 3):
            try:
                ledger.heartbeat(claimed.id, claimed.generation, lease_seconds=lease_seconds)
            except LedgerError:
                return  # taken over: the next commit will say so
            except MedicalKGError as error:
                logger.warning("the lease of batch %s could not be extended: %s", claimed.id, error)

    thread = threading.Thread(target=beat, name=f"heartbeat-{claimed.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _next(ledger: Ledger, submission_id: str) -> Batch | None:
    ready = ledger.ready(limit=1, submission_id=submission_id)
    if ready:
        return ready[0]
    abandoned = (
        batch
        for batch in ledger.batches(submission_id)
        if batch.status == "running" and batch.lease_owner and is_dead(batch.lease_owner)
    )
    return next(abandoned, None)


def owner_name() -> str:
    """Return the name under which this process holds leases: host, process id and when the process started."""
    return f"{socket.gethostname()}:{os.getpid()}:{_birth(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether the process of a lease is known to be gone: it ran on this host and runs no more."""
    host, _, process = owner.partition(":")
    pid, _, birth = process.partition(":")
    return host == socket.gethostname() and pid.isdecimal() and _birth(int(pid)) != birth


def _birth(pid: int) -> str:
    """Return when a process started, as the kernel counts it; a process id alone may be used again."""
    try:
        found = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "gone" if (PROC / "self").exists() else _probe(pid)
    # A zombie has ended; only its parent has not asked for its exit code yet.
    return "gone" if found[0] in "ZX" else found[19]


def _probe(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    return "alive"
