"""Running single batches, of whatever submissions, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from medical_kg.orchestration.execution import Instances
from medical_kg.orchestration.lock import check_plan
from medical_kg.orchestration.planning import find_plan, follow_file
from medical_kg.orchestration.runner import Engine, PlainEngine, owner_name, run_batch

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch
    from medical_kg.orchestration.pipeline.plan import Plan
    from medical_kg.orchestration.telemetry.events import Events
    from medical_kg.orchestration.workspace import Workspace

EngineName = Literal["dagster", "plain"]

KEPT_PLANS = 8
"""How many plans are kept between batches, each with the job an engine has made of it."""


def make_engine(workspace: Workspace, name: EngineName) -> Engine:
    """Return an engine by name; Dagster is imported only for its own."""
    if name == "plain":
        return PlainEngine()
    from medical_kg.orchestration.dagster.engine import DagsterEngine

    return DagsterEngine(workspace)


class Driver:
    """Runs batches one after the other; what they can share is kept between them: plans, the engine, open stages."""

    def __init__(self, workspace: Workspace, engine: EngineName, events: Events) -> None:
        """Nothing is opened before the first batch."""
        self._workspace, self._events = workspace, events
        self._engine, self._instances = make_engine(workspace, engine), Instances()
        self._plans: list[Plan] = []
        self._checked: dict[str, Plan] = {}

    def run(self, batch_id: str) -> Batch:
        """Claim a batch, run it by its pipeline's current file, settle it, and return it as it then stands.

        Raises:
            BatchHeld: somebody else holds it.
            PipelineInvalid: neither the pipeline's file passes the check nor the version that was kept; the batch was not
                touched.
            LockMismatch: the plugins differ from their lock, and the settings refuse that; the batch was not touched.
            LedgerError: another run took it over meanwhile.
        """
        batch = self._workspace.ledger.batch(batch_id)
        plan = self._plan(batch.submission_id)
        return run_batch(self._workspace, plan, batch, self._engine, self._events, self._instances)

    def _plan(self, submission_id: str) -> Plan:
        """Return the plan of a submission: the very one of the batch before if its file says the same."""
        submission = self._workspace.ledger.submission(submission_id)
        now, problem = find_plan(self._workspace, submission)
        plan = next((kept for kept in self._plans if kept == now), now)
        self._plans = [plan, *(kept for kept in self._plans if kept is not plan)][:KEPT_PLANS]
        if problem is not None or self._checked.get(submission_id) is not plan:
            check_plan(self._workspace, plan, submission)
            follow_file(self._workspace, submission, plan, problem, owner_name())
            self._checked[submission_id] = plan
        return plan

    def close(self) -> None:
        """Close stages and engine."""
        self._instances.close()
        self._engine.close()
