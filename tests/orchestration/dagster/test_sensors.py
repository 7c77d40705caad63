"""The sensor over what is ready: what it launches, what it leaves, and what it says of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    SensorResult,
    SkipReason,
    build_sensor_context,
)
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from support import DIAMOND, GATED, make_workspace

from medical_kg.orchestration import api
from medical_kg.orchestration.contract.errors import StaleGeneration
from medical_kg.orchestration.dagster import sensors
from medical_kg.orchestration.dagster.definitions import definitions
from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.dagster.naming import BATCH_TAG, GENERATION_TAG
from medical_kg.orchestration.dagster.runtime import build_job
from medical_kg.orchestration.dagster.sensors import AT_ONCE, Loaded, Tick, launch_ready
from medical_kg.orchestration.ledger.contract import Batch, NewSubmission, Note
from medical_kg.orchestration.pipeline.catalog import load_plan
from medical_kg.orchestration.registry import PluginSettings
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock

SMALL = DIAMOND.replace("number: 5", "number: 1")


class Place:
    """A workspace with its pipelines loaded as a code location has them, and Dagster's instance."""

    def __init__(self, folder: Path, instance: DagsterInstance, workspace: Workspace, clock: FakeClock) -> None:
        self.folder, self.instance, self.workspace, self.clock = folder, instance, workspace, clock
        self.loaded = [self._load(name) for name in ("diamond", "gated")]

    def _load(self, name: str) -> Loaded:
        workspace = self.workspace
        plan = load_plan(name, installation=workspace.installation, folders=workspace.pipeline_folders)
        return Loaded(plan, build_job(workspace, plan))

    def batch(self, pipeline: str = "diamond", **more: Any) -> Batch:
        """The first batch of a new submission."""
        submission = open_submission(self.workspace, pipeline, **more)
        return self.workspace.ledger.batches(submission.id)[0]

    def now(self, batch: Batch) -> Batch:
        return self.workspace.ledger.batch(batch.id)

    def tick(self) -> Tick:
        return launch_ready(self.workspace, self.loaded, self.instance)

    def run_for(self, request: RunRequest, status: DagsterRunStatus) -> str:
        """Make the run that Dagster would make of a request, in some state."""
        job = next(one.job for one in self.loaded if one.job.name == request.job_name)
        tags = {**request.tags, "dagster/sensor_name": sensors.SENSOR}
        origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository").get_job_origin(job.name)
        return self.instance.create_run_for_job(job, tags=tags, status=status, remote_job_origin=origin).run_id

    def execute(self, request: RunRequest) -> Any:
        """Execute what was asked for, as a run worker does."""
        job = next(one.job for one in self.loaded if one.job.name == request.job_name)
        return job.execute_in_process(tags=dict(request.tags), instance=self.instance, raise_on_error=False)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    clock = FakeClock(time.time())
    workspace = make_workspace(tmp_path, SMALL, GATED, clock=clock)
    with open_instance(workspace) as instance:
        yield Place(tmp_path, instance, workspace, clock)


def test_a_ready_batch_is_promised_to_a_run(place: Place) -> None:
    """The generation is bumped and the grace set before Dagster is asked; the run key names batch and generation."""
    batch = place.batch()
    (request,) = place.tick().requests
    promised = place.now(batch)
    assert (promised.generation, promised.status) == (1, "pending")
    assert promised.ready_at == place.clock.now() + 60
    assert (request.run_key, request.job_name) == (f"{batch.id}:1", "diamond")
    assert (request.tags[BATCH_TAG], request.tags[GENERATION_TAG]) == (batch.id, "1")
    assert place.tick() == Tick((), ())
    assert [entry.event for entry in place.workspace.ledger.history(batch.submission_id)][-1] == "launched"


def test_the_run_it_asks_for_completes_the_batch(place: Place) -> None:
    """The launched run claims exactly the generation it was promised, and settles the batch."""
    batch = place.batch()
    (request,) = place.tick().requests
    assert place.execute(request).success
    assert (place.now(batch).status, place.now(batch).generation) == ("completed", 1)
    assert place.execute(request).success is False


def test_a_launch_that_comes_to_nothing_is_made_good_after_the_grace(place: Place) -> None:
    """When no run has claimed the batch by the end of the grace, another is asked for, under a new generation."""
    batch = place.batch()
    (first,) = place.tick().requests
    place.clock.advance(59)
    assert place.tick().requests == ()
    place.clock.advance(2)
    (second,) = place.tick().requests
    assert (first.run_key, second.run_key) == (f"{batch.id}:1", f"{batch.id}:2")
    late = place.execute(first)
    assert [event.step_key for event in late.get_step_failure_events()] == ["open_batch"]
    assert place.execute(second).success


def test_a_late_run_is_reported_when_another_has_taken_its_batch(place: Place) -> None:
    """A run that was being started for an older generation is not left as it was: it is reported failed."""
    place.batch()
    (first,) = place.tick().requests
    late = place.run_for(first, DagsterRunStatus.STARTED)
    place.clock.advance(3600)
    (second,) = place.tick().requests
    assert place.execute(second).success
    run = place.instance.get_run_by_id(late)
    assert run is not None
    assert run.status is DagsterRunStatus.FAILURE


def test_what_is_held_or_done_or_waits_is_left_alone(place: Place) -> None:
    """Only what is ready is launched: not a held, waiting, completed, failed or cancelled batch."""
    ledger = place.workspace.ledger
    held = place.batch(input="held")
    ledger.claim(held.id, "somebody", lease_seconds=600)
    assert api.submit(place.workspace, "gated", engine="plain").submission.status == "waiting"
    assert api.submit(place.workspace, "diamond", input="done", engine="plain").submission.status == "completed"
    ledger.cancel(place.batch(input="given up").submission_id, "tester")
    assert place.tick() == Tick((), ())


def test_a_batch_whose_lease_has_run_out_is_launched_and_its_former_run_fenced(place: Place) -> None:
    """A takeover is a new generation: what the former run still brings is refused."""
    ledger, batch = place.workspace.ledger, place.batch()
    ledger.claim(batch.id, "gone", lease_seconds=60)
    place.clock.advance(61)
    (request,) = place.tick().requests
    assert request.run_key == f"{batch.id}:2"
    assert (place.now(batch).status, place.now(batch).lease_owner) == ("pending", None)
    with pytest.raises(StaleGeneration):
        ledger.note(batch.id, 1, None, Note(event="late", reason="late"))
    assert "the lease of gone has run out" in {entry.reason for entry in ledger.history(batch.submission_id)}
    assert place.execute(request).success


def test_a_batch_that_was_told_its_signal_goes_on(place: Place) -> None:
    """The signal makes a waiting batch ready; the run it gets passes the gate and completes it, under a new generation."""
    report = api.submit(place.workspace, "gated", engine="plain")
    api.signal(place.workspace, report.submission.id, "open")
    (request,) = place.tick().requests
    assert request.run_key == f"{report.batches[0].id}:2"
    assert place.execute(request).success
    assert place.now(report.batches[0]).status == "completed"


def test_a_batch_goes_on_at_its_deadline(place: Place) -> None:
    """The deadline makes a waiting batch ready too."""
    report = api.submit(place.workspace, "gated", engine="plain")
    place.clock.advance(99)
    assert place.tick().requests == ()
    place.clock.advance(2)
    assert len(place.tick().requests) == 1
    assert place.now(report.batches[0]).status == "waiting"


def test_a_tick_launches_no_more_than_fit_into_the_queue(place: Place) -> None:
    """Many ready batches are launched a few at a time, and no further ones while the queue is full."""
    ledger = place.workspace.ledger
    asked = place.workspace.ledger.submission(place.batch().submission_id)
    for number in range(AT_ONCE + 1):
        values = asked.model_dump(include=set(NewSubmission.model_fields) - {"id"})
        ledger.open_submission(NewSubmission(**{**values, "input": {"input": str(number)}}))
    first = place.tick()
    assert len(first.requests) == AT_ONCE
    assert first.left == ("Dagster's queue has 10 runs; further batches are launched as these begin",)
    for request in first.requests[:-1]:
        place.run_for(request, DagsterRunStatus.QUEUED)
    assert len(place.tick().requests) == 1


@pytest.mark.parametrize("status", [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING])
def test_a_run_on_its_way_is_waited_for(place: Place, status: DagsterRunStatus) -> None:
    """A run that waits in Dagster's queue, or has just left it, keeps its promise beyond the grace."""
    batch = place.batch()
    (request,) = place.tick().requests
    run_id = place.run_for(request, status)
    place.clock.advance(61)
    place.workspace.clock = place.clock if status is DagsterRunStatus.QUEUED else FakeClock(time.time())
    tick = place.tick()
    assert tick.requests == ()
    assert run_id in tick.left[0]
    assert place.now(batch).generation == 1


def test_failing_runs_are_launched_less_and_less_often(place: Place) -> None:
    """After three failed runs in a row the next one comes later each time, and the tick says when and why."""
    place.batch()
    for _ in range(3):
        (request,) = place.tick().requests
        run_id = place.run_for(request, DagsterRunStatus.FAILURE)
        place.clock.advance(61)
    place.workspace.clock = FakeClock(time.time())
    tick = place.tick()
    assert tick.requests == ()
    assert f"its last 3 runs failed, see run {run_id}; the next one is started in" in tick.left[0]
    place.workspace.clock = place.clock
    assert len(place.tick().requests) == 1


def test_a_run_that_was_terminated_is_not_started_again_by_itself(place: Place) -> None:
    """Who terminates a run in the UI does not want it back a minute later; the tick says how to go on."""
    batch = place.batch()
    (request,) = place.tick().requests
    place.run_for(request, DagsterRunStatus.CANCELED)
    place.clock.advance(61)
    tick = place.tick()
    assert tick.requests == ()
    assert f"medical-kg submissions resume {batch.submission_id}" in tick.left[0]


def test_an_edit_of_the_stages_needs_a_reload(place: Place) -> None:
    """A job has the stages its pipeline had when it was loaded: with others nothing is launched, and a run refused."""
    batch = place.batch()
    (request,) = place.tick().requests
    place.clock.advance(61)
    path = Path(batch_path(place, batch))
    text = path.read_text()
    path.write_text(text.replace("depends_on: [shout, whisper]}", "depends_on: [shout, whisper, feed]}"))
    tick = place.tick()
    assert tick.requests == ()
    assert "have changed; reload the code location" in tick.left[0]
    run = place.execute(request)
    assert "JobOutdated" in run.get_step_failure_events()[0].step_failure_data.error_display_string
    path.write_text(text.replace("number: 1", "number: 2"))
    assert len(place.tick().requests) == 1


def test_an_invalid_edit_stops_nothing(place: Place) -> None:
    """While a file does not pass its check, its batches go on with the last version that did."""
    batch = place.batch()
    other = place.batch("gated")
    Path(batch_path(place, batch)).write_text("name: diamond\n")
    tick = place.tick()
    assert {request.tags[BATCH_TAG] for request in tick.requests} == {batch.id, other.id}
    for request in tick.requests:
        assert place.execute(request).success
    assert [place.now(one).status for one in (batch, other)] == ["completed", "waiting"]


def test_a_pipeline_from_elsewhere_is_told(place: Place, tmp_path: Path) -> None:
    """A submission of a file that the code location has not loaded is left, with the ways to go on."""
    elsewhere = tmp_path / "mine.yaml"
    elsewhere.write_text(SMALL)
    batch = place.batch(str(elsewhere))
    assert f"go on with it by `medical-kg submissions resume {batch.submission_id}`" in place.tick().left[0]


def test_plugins_are_held_against_the_lock_before_a_launch(place: Place) -> None:
    """With ``refuse`` nothing is launched while the plugins differ from what the submission began with."""
    batch = place.batch()
    installation = place.workspace.installation
    installation.settings = PluginSettings(on_lock_mismatch="refuse")
    installation.stages.add("feed", installation.stages.get("feed").cls, version="2")
    place.loaded = [place._load("diamond")]
    tick = place.tick()
    assert tick.requests == ()
    assert "plugins differ" in tick.left[0]
    assert place.now(batch).generation == 0


def test_the_sensor_is_on_and_says_why_it_skips(place: Place) -> None:
    """The code location has the sensor, running from the beginning; a tick without a launch has its reason."""
    sensor = definitions(place.workspace).resolve_sensor_def(sensors.SENSOR)
    assert sensor.default_status is DefaultSensorStatus.RUNNING
    with build_sensor_context(instance=place.instance) as context:
        skipped = sensor(context)
        assert isinstance(skipped, SkipReason)
        assert skipped.skip_message == "no batch is ready"
        place.batch()
        launched = sensor(context)
    assert isinstance(launched, SensorResult)
    assert [request.job_name for request in launched.run_requests or ()] == ["diamond"]


def batch_path(place: Place, batch: Batch) -> str:
    return place.workspace.ledger.submission(batch.submission_id).pipeline_path
