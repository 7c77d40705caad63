"""A pipeline's schedule in Dagster: what a tick opens and launches, once, whatever becomes of the file or of the tick."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance, DefaultScheduleStatus, ScheduleDefinition, build_schedule_context
from support import DIAMOND, make_workspace

from medical_kg.orchestration import api
from medical_kg.orchestration.contract.errors import PipelineInvalid
from medical_kg.orchestration.dagster.definitions import definitions
from medical_kg.orchestration.dagster.instance import open_instance
from medical_kg.orchestration.dagster.naming import BATCH_TAG
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock

EVERY_NIGHT = (
    DIAMOND.replace("number: 5", "number: 1") + "schedule: {cron: 0 3 * * *, timezone: Europe/Berlin, input: ../in}\n"
)
WRONG = EVERY_NIGHT.replace("type: shout", "type: shuot")
TONIGHT, TOMORROW = (datetime(2026, 11, day, 2, tzinfo=UTC) for day in (23, 24))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, EVERY_NIGHT, clock=FakeClock(time.time()))


@pytest.fixture
def instance(workspace: Workspace) -> Iterator[DagsterInstance]:
    with open_instance(workspace) as opened:
        yield opened


Tick = Callable[[datetime], tuple[list[dict[str, str]], str | None]]


def loaded(workspace: Workspace) -> ScheduleDefinition:
    found = definitions(workspace).schedules
    (one,) = [one for one in found or () if isinstance(one, ScheduleDefinition)]
    return one


@pytest.fixture
def tick(workspace: Workspace, instance: DagsterInstance) -> Tick:
    """The tags of what a tick asks for, and why it asks for nothing."""
    schedule = loaded(workspace)

    def evaluate(at: datetime) -> tuple[list[dict[str, str]], str | None]:
        with build_schedule_context(instance, scheduled_execution_time=at) as context:
            data = schedule.evaluate_tick(context)
        return [dict(request.tags) for request in data.run_requests or ()], data.skip_message

    return evaluate


def edit(workspace: Workspace, text: str) -> None:
    (workspace.root / "pipelines" / "diamond.yaml").write_text(text)


def carry_out(workspace: Workspace, status: str = "completed") -> None:
    """Run what the last tick opened, when the launch it was promised to has not come."""
    workspace.clock.advance(61)  # type: ignore[attr-defined]  # the fake clock
    assert api.resume(workspace, workspace.ledger.submissions()[0].id, engine="plain").submission.status == status


def test_it_is_on_and_keeps_to_the_file(workspace: Workspace) -> None:
    """Cron line and time zone are the file's; it needs not be switched on; the other pipelines have no schedule."""
    schedule = loaded(workspace)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * *", "Europe/Berlin")
    assert (schedule.name, schedule.job_name) == ("diamond_schedule", "diamond")
    assert schedule.default_status is DefaultScheduleStatus.RUNNING


def test_a_tick_opens_one_submission_and_asks_for_its_run(workspace: Workspace, tick: Tick) -> None:
    """The run carries the first batch; the input's path is relative to the pipeline's file."""
    (tags,), skipped = tick(TONIGHT)
    (submission,) = workspace.ledger.submissions()
    (batch,) = workspace.ledger.batches(submission.id)
    assert (tags[BATCH_TAG], skipped) == (batch.id, None)
    assert submission.input == {"input": str(workspace.root / "in")}
    assert workspace.ledger.history(submission.id)[0].actor == "schedule of 2026-11-23T02:00:00+00:00"


def test_a_tick_may_ask_for_what_was_updated(workspace: Workspace, tick: Tick) -> None:
    """Since the last reading that ended; an earlier one that is unfinished comes first."""
    edit(workspace, EVERY_NIGHT.replace("../in}", "../in, since: last}"))
    tick(TONIGHT)
    assert tick(TOMORROW)[0] == []
    carry_out(workspace)
    (submission,) = workspace.ledger.submissions()
    assert submission.input == {"input": str(workspace.root / "in"), "since": "last"}


def test_a_tick_that_is_repeated_opens_nothing_more(
    workspace: Workspace, tick: Tick, instance: DagsterInstance
) -> None:
    """Killed between its tick and its run, or after its run has ended, a time has the submission it had."""
    tick(TONIGHT)
    requests, skipped = tick(TONIGHT)
    assert (requests, len(workspace.ledger.submissions())) == ([], 1)
    assert "has begun and is pending" in str(skipped)
    carry_out(workspace)
    requests, skipped = tick(TONIGHT)
    assert (requests, len(workspace.ledger.submissions())) == ([], 1)
    assert "completed" in str(skipped)


def test_the_next_tick_opens_the_next_when_the_last_is_done(workspace: Workspace, tick: Tick) -> None:
    """While it is not, the next tick starts nothing beside it, and says so."""
    tick(TONIGHT)
    requests, skipped = tick(TOMORROW)
    assert (requests, len(workspace.ledger.submissions())) == ([], 1)
    assert "over the same input" in str(skipped)
    carry_out(workspace)
    requests, _ = tick(TOMORROW)
    assert (len(requests), len(workspace.ledger.submissions())) == (1, 2)


def test_what_has_failed_is_tried_again_by_the_next_tick(workspace: Workspace, tick: Tick) -> None:
    """A failed night is not the last one: its submission's failed batches get another run; the same tick's do not."""
    edit(workspace, EVERY_NIGHT.replace("[w3]", "[w0]") + "max_failed_items: 0\n")
    tick(TONIGHT)
    carry_out(workspace, "failed")
    assert tick(TONIGHT)[0] == []
    (tags,), _ = tick(TOMORROW)
    (submission,) = workspace.ledger.submissions()
    assert tags[BATCH_TAG] == workspace.ledger.batches(submission.id)[0].id


def test_an_invalid_file_does_not_stop_the_schedule(
    workspace: Workspace, tick: Tick, caplog: pytest.LogCaptureFixture
) -> None:
    """Its last good version goes on, with a warning; Dagster loaded anew has that version's job and schedule too."""
    tick(TONIGHT)
    carry_out(workspace)
    edit(workspace, WRONG)
    with caplog.at_level(logging.WARNING):
        requests, _ = tick(TOMORROW)
        assert loaded(workspace).name == "diamond_schedule"
    assert len(requests) == 1
    assert caplog.text.count("goes on with the last version") == 2
    carry_out(workspace)
    assert len(workspace.ledger.submissions()) == 2


def test_without_a_good_version_the_tick_fails(workspace: Workspace, tick: Tick) -> None:
    """What is wrong with the file is the tick's error, and nothing is opened."""
    edit(workspace, WRONG)
    with pytest.raises(Exception, match="diamond_schedule") as raised:
        tick(TONIGHT)
    assert isinstance(raised.value.__cause__, PipelineInvalid)
    assert workspace.ledger.submissions() == []


def test_a_file_without_its_schedule_is_not_started(workspace: Workspace, tick: Tick) -> None:
    """Until the code location is loaded anew a tick says what to do; a changed wiring leaves the run to the sensor."""
    edit(workspace, EVERY_NIGHT.split("schedule:", maxsplit=1)[0])
    requests, skipped = tick(TONIGHT)
    assert (requests, workspace.ledger.submissions()) == ([], [])
    assert "has no schedule any more; reload" in str(skipped)
    edit(workspace, EVERY_NIGHT.replace("name: tally,", "name: tallied,"))
    requests, skipped = tick(TONIGHT)
    assert (requests, len(workspace.ledger.submissions())) == ([], 1)
    assert "the sensor ready_batches sees to its run" in str(skipped)
