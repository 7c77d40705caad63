"""Submitting, resuming, signalling and reporting, with both engines."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from support import DIAMOND, ENGINES, GATED, Shout, Tally, Whisper, make_workspace

from medical_kg.orchestration import api
from medical_kg.orchestration.contract.errors import PipelineInvalid, PipelineNotFound, RecordNotFound
from medical_kg.orchestration.telemetry.events import BatchSettled, Event, Events, StageEvent
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> api.EngineName:
    return request.param  # type: ignore[no-any-return]  # pytest does not know the parameters' type


def history(workspace: Workspace, submission: str) -> dict[Any, list[Any]]:
    """The history by batch and stage: parallel branches may finish in any order."""
    found: dict[Any, list[Any]] = defaultdict(list)
    for entry in workspace.ledger.history(submission):
        batch = entry.batch_id and entry.batch_id.rpartition("-")[2]
        found[batch, entry.stage].append((entry.event, entry.reason.replace(submission, "S"), entry.detail))
    return found


def test_every_batch_runs_through_the_whole_pipeline(tmp_path: Path, engine: api.EngineName) -> None:
    """Five words in batches of two make three batches, each run through every stage, with totals over all."""
    report = api.submit(make_workspace(tmp_path, DIAMOND), "diamond", engine=engine)
    assert report.submission.status == "completed"
    assert [batch.status for batch in report.batches] == ["completed"] * 3
    assert {stage.stage: dict(stage.counts) for stage in report.stages} == {
        "feed": {"words": 5},
        "shout": {"upper": 4},
        "whisper": {"lower": 5},
        "tally": {"tallied": 9},
    }
    assert report.dead_letters == 1
    assert report.errors == ()


def test_both_engines_leave_equal_histories_and_events(tmp_path: Path) -> None:
    """Plain runner and Dagster leave the same history, stage results and events, ids and times aside (scenario 17)."""
    found = []
    for engine in ENGINES:
        workspace, events = make_workspace(tmp_path / engine, DIAMOND), list[Event]()
        report = api.submit(workspace, "diamond", engine=engine, events=Events([events.append]))  # type: ignore[arg-type]
        told = defaultdict(list)
        for event in events:
            told[getattr(event, "stage", None)].append((type(event), getattr(event, "counts", None)))
        digests = [
            {
                name: (record.fingerprint, record.outputs, record.counts, record.origin)
                for name, record in results.items()
            }
            for results in (workspace.ledger.results(batch.id) for batch in report.batches)
        ]
        found.append((history(workspace, report.submission.id), told, digests))
    assert found[0] == found[1]


def test_a_waiting_batch_goes_on_after_its_signal(tmp_path: Path, engine: api.EngineName) -> None:
    """A gate ends the run as waiting, its branch only; a signal and a resume finish it, reusing what was done."""
    workspace, events = make_workspace(tmp_path, GATED), list[Event]()
    waiting = api.submit(workspace, "gated", engine=engine)
    assert waiting.submission.status == "waiting"
    assert {stage.stage: stage.status for stage in waiting.stages} == {
        "feed": "completed",
        "barrier": "waiting",
        "whisper": "completed",
    }
    assert api.resume(workspace, waiting.submission.id, engine=engine).submission.status == "waiting"
    api.signal(workspace, waiting.submission.id, "open", value=True)
    done = api.resume(workspace, waiting.submission.id, engine=engine, events=Events([events.append]))
    assert done.submission.status == "completed"
    ran = {event.stage: type(event).__name__ for event in events if isinstance(event, StageEvent)}
    assert ran == {
        "feed": "StageReused",
        "whisper": "StageReused",
        "barrier": "StageCompleted",
        "shout": "StageCompleted",
    }


def test_a_gate_past_its_deadline_fails_the_batch(tmp_path: Path, engine: api.EngineName) -> None:
    """After the deadline the batch is ready without a signal, and fails as its gate says."""
    clock = FakeClock()
    workspace = make_workspace(tmp_path, GATED, clock=clock)
    waiting = api.submit(workspace, "gated", engine=engine)
    clock.advance(101)
    failed = api.resume(workspace, waiting.submission.id, engine=engine)
    assert failed.submission.status == "failed"
    assert "reached its deadline" in failed.errors[0]


def test_a_gate_told_to_continue_lets_the_batch_go_on(tmp_path: Path, engine: api.EngineName) -> None:
    """After the deadline, on_timeout continue completes the batch without the signal."""
    clock = FakeClock()
    workspace = make_workspace(tmp_path, GATED.replace("number: 100", "number: 100, bad: [go]"), clock=clock)
    waiting = api.submit(workspace, "gated", engine=engine)
    clock.advance(101)
    assert api.resume(workspace, waiting.submission.id, engine=engine).submission.status == "completed"


def test_a_failed_submission_is_resumed_where_it_broke(tmp_path: Path, engine: api.EngineName) -> None:
    """Submitting the same input again goes on with the failed batch and reuses its finished stages."""
    broken = {"now": True}

    class Fragile(Whisper):
        def open(self, ctx: Any) -> None:
            if broken["now"]:
                raise RuntimeError("no model")

    workspace, events = make_workspace(tmp_path, DIAMOND, whisper=Fragile), list[Event]()
    failed = api.submit(workspace, "diamond", engine=engine)
    assert failed.submission.status == "failed"
    assert "RuntimeError: no model" in failed.errors[0]
    broken["now"] = False
    done = api.submit(workspace, "diamond", engine=engine, events=Events([events.append]))
    assert done.submission.id == failed.submission.id
    assert done.submission.status == "completed"
    first = [type(e).__name__ for e in events if isinstance(e, StageEvent) and e.stage == "shout"]
    assert "StageReused" in first


def test_one_failing_branch_does_not_stop_the_other(tmp_path: Path, engine: api.EngineName) -> None:
    """When one branch fails, the other still runs, and the batch is failed in the end."""

    class Broken(Whisper):
        def open(self, ctx: Any) -> None:
            raise RuntimeError("no model")

    events = list[Event]()
    workspace = make_workspace(tmp_path, DIAMOND, whisper=Broken)
    report = api.submit(workspace, "diamond", engine=engine, events=Events([events.append]))
    assert {stage.stage: stage.status for stage in report.stages} == {
        "feed": "completed",
        "shout": "completed",
        "whisper": "failed",
    }
    assert {event.status for event in events if isinstance(event, BatchSettled)} == {"failed"}


def test_a_finished_submission_is_not_run_again(tmp_path: Path, engine: api.EngineName) -> None:
    """Resuming what is completed does nothing; submitting the same input again makes a new submission."""
    workspace, events = make_workspace(tmp_path, DIAMOND), list[Event]()
    done = api.submit(workspace, "diamond", engine=engine)
    again = api.resume(workspace, done.submission.id, engine=engine, events=Events([events.append]))
    assert (again.submission.status, events) == ("completed", [])
    assert api.submit(workspace, "diamond", engine=engine).submission.id != done.submission.id


def test_parallel_branches_overlap_in_the_plain_runner(tmp_path: Path) -> None:
    """Two stages that depend on the same one run at the same time (scenario 13)."""
    both = threading.Barrier(2, timeout=20)

    class MeetA(Shout):
        def open(self, ctx: Any) -> None:
            both.wait()

    class MeetB(Whisper):
        def open(self, ctx: Any) -> None:
            both.wait()

    workspace = make_workspace(tmp_path, DIAMOND.replace("number: 5", "number: 1"), shout=MeetA, whisper=MeetB)
    assert api.submit(workspace, "diamond", engine="plain").submission.status == "completed"


def test_the_join_runs_after_both_branches(tmp_path: Path, engine: api.EngineName) -> None:
    """What depends on two branches starts when both have ended."""
    events = list[Event]()
    api.submit(make_workspace(tmp_path, DIAMOND), "diamond", engine=engine, events=Events([events.append]))
    first = [(type(e).__name__, e.stage) for e in events if isinstance(e, StageEvent)]
    start = first.index(("StageStarted", "tally"))
    assert {("StageCompleted", "shout"), ("StageCompleted", "whisper")} <= set(first[:start])


def test_overrides_change_the_config_and_make_a_submission_of_its_own(tmp_path: Path) -> None:
    """A changed config is used, and is kept so that a resume uses it too."""
    workspace = make_workspace(tmp_path, DIAMOND)
    report = api.submit(workspace, "diamond", overrides={"feed.number": 2}, engine="plain")
    assert report.stages[0].counts == {"words": 2}
    assert workspace.ledger.submission(report.submission.id).overrides == {"feed.number": 2}


def test_input_and_limit_reach_the_stages(tmp_path: Path) -> None:
    """The input is made absolute, an address is left alone, and both reach ctx.input with the limit."""
    seen: list[Any] = []

    class Looks(Tally):
        def run(self, ctx: Any, **reads: Any) -> dict[str, int]:
            seen.append((ctx.input, ctx.sequence))
            return {}

    workspace = make_workspace(tmp_path, DIAMOND.replace("number: 5", "number: 1"), tally=Looks)
    api.submit(workspace, "diamond", input="here", limit=3, engine="plain")
    api.submit(workspace, "diamond", input="s3://there", engine="plain")
    assert seen == [({"input": str(Path("here").absolute()), "limit": 3}, 1), ({"input": "s3://there"}, 2)]


def test_tenants_have_submissions_of_their_own(tmp_path: Path) -> None:
    """The same input in two tenants makes two submissions."""
    workspace = make_workspace(tmp_path, GATED)
    one = api.submit(workspace, "gated", tenant="a", engine="plain")
    two = api.submit(workspace, "gated", tenant="b", engine="plain")
    assert one.submission.id != two.submission.id


def test_nothing_is_recorded_for_a_pipeline_that_does_not_pass(tmp_path: Path) -> None:
    """A pipeline that is unknown or wrong is refused before anything is written."""
    workspace = make_workspace(tmp_path, DIAMOND.replace("type: tally", "type: tallly"))
    with pytest.raises(PipelineInvalid, match="tallly"):
        api.submit(workspace, "diamond")
    with pytest.raises(PipelineNotFound, match="diamond"):
        api.submit(workspace, "diamnd")
    assert not (tmp_path / "medical-kg.db").exists()


def test_an_unknown_submission_is_named(tmp_path: Path) -> None:
    """Resuming or signalling what does not exist says so."""
    workspace = make_workspace(tmp_path, DIAMOND)
    with pytest.raises(RecordNotFound, match="snone"):
        api.resume(workspace, "snone")
    with pytest.raises(RecordNotFound, match="snone"):
        api.signal(workspace, "snone", "open")
