"""The engine that runs a batch as a Dagster run, in this process, with its history kept for the UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import DagsterInstance, JobDefinition

from medical_kg.orchestration.contract.errors import MedicalKGError
from medical_kg.orchestration.dagster.attach import driving
from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.dagster.naming import BATCH_TAG, GENERATION_TAG, SUBMISSION_TAG
from medical_kg.orchestration.dagster.runtime import build_job

if TYPE_CHECKING:
    from medical_kg.orchestration.execution import BatchRun
    from medical_kg.orchestration.workspace import Workspace

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
            KeyboardInterrupt: Ctrl-C; Dagster had made a failed step of it.
            DagsterRunFailed: Dagster failed outside the work of a stage.
        """
        job = self._jobs.get(id(run.plan))
        if job is None:
            job = self._jobs[id(run.plan)] = build_job(self._workspace, run.plan)
        tags = {
            SUBMISSION_TAG: run.submission.id,
            BATCH_TAG: run.batch.id,
            GENERATION_TAG: str(run.batch.generation),
        }
        if self._instance is None:
            self._instance = open_instance(self._workspace)
        with driving(run):
            result = job.execute_in_process(run_config=QUIET, instance=self._instance, tags=tags, raise_on_error=False)
        records = run.ledger.results(run.batch.id).values()
        if not result.success and all(record.status != "failed" for record in records):
            failures = [event.step_failure_data for event in result.get_step_failure_events()]
            if any(failure.error and failure.error.cls_name == INTERRUPTED for failure in failures):
                raise KeyboardInterrupt
            said = [failure.error_display_string for failure in failures]
            raise DagsterRunFailed(result.run_id, "\n".join(said))

    def close(self) -> None:
        """Let go of Dagster's storage."""
        if self._instance is not None:
            self._instance.dispose()
            self._instance = None
