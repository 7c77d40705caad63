"""Runs that Dagster starts itself: killed, taken over, executed again; and what is shown of them then."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, ExecuteInProcessResult
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator
from support import DIAMOND, Shout, Whisper, make_workspace

from medical_kg.orchestration import api
from medical_kg.orchestration.dagster.definitions import definitions
from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.dagster.naming import BATCH_TAG, GENERATION_TAG
from medical_kg.orchestration.ledger.contract import Batch
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SMALL = DIAMOND.replace("number: 5", "number: 1").replace("[w3]", "[]")

KILLED = """
import os, signal, sys
from pathlib import Path

sys.path[:0] = [{tests!r}]
from support import DIAMOND, make_workspace

from medical_kg.orchestration.dagster.definitions import definitions
from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.ledger.sql import SqlLedger

setattr(SqlLedger, {method!r}, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
workspace = make_workspace(Path({folder!r}))
with open_instance(workspace) as instance:
    definitions(workspace).resolve_job_def("diamond").execute_in_process(instance=instance, tags={tags!r})
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, SMALL)


@pytest.fixture
def instance(workspace: Workspace) -> Iterator[DagsterInstance]:
    with open_instance(workspace) as opened:
        yield opened


def launch(workspace: Workspace, instance: DagsterInstance, **more: Any) -> ExecuteInProcessResult:
    job = definitions(workspace).resolve_job_def("diamond")
    return job.execute_in_process(run_config=QUIET, instance=instance, raise_on_error=False, **more)


def killed(workspace: Workspace, method: str, **tags: str) -> None:
    """Run the job in a process that is killed when it is about to change the ledger."""
    tests = str(Path(__file__).resolve().parents[1])
    script = KILLED.format(tests=tests, method=method, folder=str(workspace.root), tags=tags)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def first_batch(workspace: Workspace) -> Batch:
    return workspace.ledger.batches(workspace.ledger.submissions()[0].id)[0]


def expire(workspace: Workspace) -> None:
    """Let every lease run out."""
    workspace.ledger.close()
    workspace._ledger = None
    workspace.clock = FakeClock(workspace.clock.now() + 3600)


@pytest.mark.parametrize("method", ["claim", "set_run", "commit", "settle"])
def test_wherever_a_run_started_by_hand_is_killed_it_is_not_shown_as_running(
    workspace: Workspace, instance: DagsterInstance, method: str
) -> None:
    """Killed before its claim, right after it, or at work: whoever goes on with its batch reports it failed."""
    killed(workspace, method)
    (lost,) = instance.get_runs()
    assert lost.status is DagsterRunStatus.STARTED
    batch = first_batch(workspace)
    expire(workspace)
    assert api.resume(workspace, batch.submission_id).submission.status == "completed"
    statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses.pop(lost.run_id) is DagsterRunStatus.FAILURE
    assert list(statuses.values()) == [DagsterRunStatus.SUCCESS]


def test_the_run_that_goes_on_may_be_one_that_dagster_starts(workspace: Workspace, instance: DagsterInstance) -> None:
    """A takeover by a launched run reports the former one as well, also one that could not tell its batch any more."""
    submission = open_submission(workspace, "diamond")
    batch = workspace.ledger.batches(submission.id)[0]
    killed(workspace, "set_run", **{BATCH_TAG: batch.id})
    (lost,) = instance.get_runs()
    assert lost.tags[GENERATION_TAG] == "1"
    expire(workspace)
    promised = workspace.ledger.launch(batch.id, grace_seconds=60, actor="sensor")
    tags = {BATCH_TAG: batch.id, GENERATION_TAG: str(promised.generation)}
    assert launch(workspace, instance, tags=tags).success
    run = instance.get_run_by_id(lost.run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.FAILURE
    assert workspace.ledger.batch(batch.id).status == "completed"


def test_a_batch_whose_dagster_run_has_ended_is_taken_over_at_once(
    workspace: Workspace, instance: DagsterInstance
) -> None:
    """When Dagster knows the run of a lease to have ended, a run started by hand need not wait for the lease."""
    killed(workspace, "commit")
    (lost,) = instance.get_runs()
    batch = first_batch(workspace)
    refused = launch(workspace, instance, tags={BATCH_TAG: batch.id})
    assert (
        f"held by dagster:{lost.run_id}" in refused.get_step_failure_events()[0].step_failure_data.error_display_string
    )
    instance.report_run_canceled(lost)
    assert launch(workspace, instance, tags={BATCH_TAG: batch.id}).success
    assert workspace.ledger.batch(batch.id).generation == 2


def test_the_same_request_by_hand_goes_on_with_the_unfinished_submission(
    workspace: Workspace, instance: DagsterInstance
) -> None:
    """A run started by hand for an input that is being worked on takes up the first batch that is left of it."""
    path = workspace.root / "pipelines" / "diamond.yaml"
    path.write_text(SMALL.replace("number: 1", "number: 3"))
    assert launch(workspace, instance).success
    assert launch(workspace, instance).success
    (submission,) = workspace.ledger.submissions()
    assert [batch.status for batch in workspace.ledger.batches(submission.id)] == ["completed", "completed"]


class Frail(Shout):
    """Cannot be opened."""

    def open(self, ctx: Any) -> None:
        raise RuntimeError("no model")


def test_a_failed_stage_leaves_the_batch_failed_whatever_its_parallel_stage_does(tmp_path: Path) -> None:
    """A branch that runs on after the other has failed keeps its result and does not take the batch up again."""
    workspace = make_workspace(tmp_path, SMALL, shout=Frail)
    with open_instance(workspace) as instance:
        assert not launch(workspace, instance).success
    batch = first_batch(workspace)
    assert (batch.status, batch.generation, batch.lease_owner) == ("failed", 1, None)
    assert workspace.ledger.results(batch.id)["whisper"].status == "completed"


class Stolen(Whisper):
    """Another run takes the batch over while it is at work."""

    workspace: Workspace

    def process(self, ctx: Any, item: Any, **reads: Any) -> Any:
        ledger = self.workspace.ledger
        (batch,) = ledger.batches(ctx.submission_id)
        ledger.claim(batch.id, "thief", lease_seconds=60, dead_owner=batch.lease_owner)
        return super().process(ctx, item, **reads)


def test_a_run_that_lost_its_batch_does_not_take_it_back(tmp_path: Path) -> None:
    """What it brings is refused, and its further steps as well."""
    workspace = make_workspace(tmp_path, SMALL, whisper=Stolen)
    Stolen.workspace = workspace
    with open_instance(workspace) as instance:
        result = launch(workspace, instance)
    assert [event.step_key for event in result.get_step_failure_events()] == ["whisper"]
    batch = first_batch(workspace)
    assert (batch.lease_owner, batch.generation) == ("thief", 2)


def again(workspace: Workspace, instance: DagsterInstance, former: ExecuteInProcessResult) -> Any:
    """Execute all steps of a run again as the UI does: with its tags."""
    run = instance.get_run_by_id(former.run_id)
    assert run is not None
    parents = {"dagster/parent_run_id": run.run_id, "dagster/root_run_id": run.run_id}
    job = definitions(workspace).resolve_job_def("diamond")
    made = instance.create_run_for_job(
        job,
        run_config={**QUIET, "execution": {"config": {"in_process": {}}}},
        tags={**run.tags, **parents},
        parent_run_id=run.run_id,
        root_run_id=run.run_id,
    )
    list(execute_run_iterator(InMemoryJob(job), made, instance))
    return instance.get_run_by_id(made.run_id)


def test_all_steps_of_a_failed_run_can_be_executed_again(tmp_path: Path) -> None:
    """Re-execution takes a failed batch up again under a generation of its own, though it has the tags of its parent."""
    workspace = make_workspace(tmp_path, SMALL, shout=Frail)
    with open_instance(workspace) as instance:
        failed = launch(workspace, instance)
        mended = make_workspace(tmp_path)
        assert again(mended, instance, failed).status is DagsterRunStatus.SUCCESS
        batch = first_batch(workspace)
        assert (batch.status, batch.generation) == ("completed", 2)
        assert again(mended, instance, failed).status is DagsterRunStatus.FAILURE
        assert workspace.ledger.batch(batch.id) == batch


def test_a_run_without_its_first_op_carries_no_batch(workspace: Workspace, instance: DagsterInstance) -> None:
    """A selection of ops without the head fails with a message that says what to do."""
    job = definitions(workspace).resolve_job_def("diamond").get_subset(op_selection=["feed"])
    result = job.execute_in_process(run_config=QUIET, instance=instance, raise_on_error=False)
    assert "launch it with its first op, open_batch" in (
        result.get_step_failure_events()[0].step_failure_data.error_display_string
    )
