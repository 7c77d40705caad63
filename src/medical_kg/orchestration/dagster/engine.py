"""The engine that runs a batch as a Dagster run, in this process, with its history kept for the UI."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dagster import DagsterInstance, JobDefinition
from sqlalchemy.exc import DBAPIError

from medical_kg.orchestration.contract.errors import MedicalKGError, StorageError
from medical_kg.orchestration.dagster.attach import driving, report_dead
from medical_kg.orchestration.dagster.instance import history_of, open_instance
from medical_kg.orchestration.dagster.naming import BATCH_TAG, GENERATION_TAG, SUBMISSION_TAG
from medical_kg.orchestration.dagster.runtime import build_job
from medical_kg.orchestration.ledger.transitions import check_not_cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import ExecuteInProcessResult

    from medical_kg.orchestration.execution import BatchRun
    from medical_kg.orchestration.workspace import Workspace

logger = logging.getLogger(__name__)

KEPT_JOBS = 8
"""How many jobs are kept; each holds its plan, so that no other plan can come to have the same id."""

INTERRUPTED = "DagsterExecutionInterruptedError"
"""What Dagster makes of Ctrl-C."""

# What happens is told by our own events; Dagster's console would tell it again, and each event twice.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class DagsterRunFailed(MedicalKGError):
    """Dagster itself failed, or an op outside the work of its stage; what the ledger has is as it was."""

    def __init__(self, run_id: str, said: str) -> None:
        """Name the run and what Dagster said of it."""
        self.run_id = run_id
        super().__init__(f"Dagster run {run_id} failed outside the work of any stage: {said or 'see its log'}")


class DagsterEngine:
    """Runs each batch as one in-process run of its pipeline's job."""

    name = "dagster"

    def __init__(self, workspace: Workspace) -> None:
        """Keep the workspace; jobs are built as plans come."""
        self._workspace = workspace
        self._jobs: dict[int, JobDefinition] = {}
        self._instance: DagsterInstance | None = None

    def run(self, run: BatchRun) -> None:
        """Run the batch's stages as ops.

        Raises:
            BatchHeld: the batch was cancelled meanwhile.
            KeyboardInterrupt: Ctrl-C; Dagster had made a failed step of it.
            DagsterRunFailed: Dagster failed outside the work of a stage.
            LedgerError: another run took the batch over.
            StorageError: Dagster's history cannot be written.
        """
        try:
            with self._history():
                result = self._execute(run)
        except StorageError as error:
            if not _has_failed(run):
                raise
            logger.warning("%s", error)  # what stopped the batch is the failure of its stage
            return
        if not result.success and not _has_failed(run):
            check_not_cancelled(run.ledger.batch(run.batch.id))
            failures = [event.step_failure_data for event in result.get_step_failure_events()]
            if any(failure.error and failure.error.cls_name == INTERRUPTED for failure in failures):
                raise KeyboardInterrupt
            said = [failure.error_display_string for failure in failures]
            raise DagsterRunFailed(result.run_id, "\n".join(said))

    def _execute(self, run: BatchRun) -> ExecuteInProcessResult:
        job = self._jobs.get(id(run.plan))
        if job is None:
            job = self._jobs[id(run.plan)] = build_job(self._workspace, run.plan)
            while len(self._jobs) > KEPT_JOBS:
                self._jobs.pop(next(iter(self._jobs)))
        tags = {
            SUBMISSION_TAG: run.submission.id,
            BATCH_TAG: run.batch.id,
            GENERATION_TAG: str(run.batch.generation),
        }
        if self._instance is None:
            self._instance = open_instance(self._workspace)
        report_dead(self._instance, run.batch, actor=run.submission.actor)
        run_id = str(uuid.uuid4())
        # Kept before Dagster has it: wherever this process is killed, the next one finds the run and reports it failed.
        run.ledger.set_run(run.batch.id, run.batch.generation, run_id)
        with driving(run), _no_loop():
            return job.execute_in_process(
                run_config=QUIET, instance=self._instance, run_id=run_id, tags=tags, raise_on_error=False
            )

    @contextmanager
    def _history(self) -> Iterator[None]:
        """Name what Dagster could not write, and what to do; Dagster itself would show the SQL."""
        try:
            yield
        except DBAPIError as error:
            raise StorageError(
                f"Dagster's history in {history_of(self._workspace)} cannot be written: {error.orig}; see that the disk has room and that this "
                "user may write there, then go on with the submission: what was finished is kept"
            ) from error

    def close(self) -> None:
        """Let go of Dagster's storage."""
        if self._instance is not None:
            self._instance.dispose()
            self._instance = None


def _has_failed(run: BatchRun) -> bool:
    return any(record.status == "failed" for record in run.ledger.results(run.batch.id).values())


@contextmanager
def _no_loop() -> Iterator[None]:
    """Hide the event loop that is running in this thread, as in a notebook: beside it Dagster could not end its own."""
    running = asyncio._get_running_loop()  # noqa: SLF001  # asyncio's way for who brings an event loop
    asyncio._set_running_loop(None)  # noqa: SLF001  # as above
    try:
        yield
    finally:
        asyncio._set_running_loop(running)  # noqa: SLF001  # as above
