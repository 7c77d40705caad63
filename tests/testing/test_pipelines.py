"""A pipeline in memory: the engine's own check, run and record, and nothing left behind."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import DIAMOND, GATED, UPPER, WORDS, Feed, Gate, Shout, Tally, Whisper, Word, words

from medical_kg import ContractError, Page, Stage, StageMetadata, StateKey, TransientError, optional, stage
from medical_kg.orchestration.contract import Attachment
from medical_kg.orchestration.contract.errors import PipelineInvalid
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.resilience import Policy
from medical_kg.orchestration.telemetry.events import ItemDeadLettered, StageCompleted
from medical_kg.testing import FakeClock, FakeFiles, FakeHttp, FakeWorkspace, RecordedEvents, run_pipeline

STAGES = [Feed, Shout, Whisper, Tally, Gate]


def metadata(stage_type: str, **fields: Any) -> StageMetadata:
    return StageMetadata(**{"stage_type": stage_type, "version": "1", "description": "Does.", **fields})


def one(stage_type: str, **more: Any) -> dict[str, Any]:
    return {"name": "one", "version": "1", "stages": [{"name": stage_type, "type": stage_type, **more}]}


def test_a_pipeline_runs_in_memory() -> None:
    """Its state, counts, dead letters and events are those of a submission of all its batches."""
    run = run_pipeline(DIAMOND, stages=STAGES)
    assert (run.status, run.waiting, run.errors) == ("completed", {}, {})
    assert [word.id for word in run.state[UPPER]] == ["w0", "w1", "w2", "w4"]
    assert run.counts == {"feed": {"words": 5}, "shout": {"upper": 4}, "whisper": {"lower": 5}, "tally": {"tallied": 9}}
    assert [(letter.stage, letter.item_id) for letter in run.dead_letters] == [("shout", "w3")]
    assert run.state["tally"] == {"upper": 1, "lower": 1}, "a single value is the last batch's"
    assert [event.stage for event in run.events.of(ItemDeadLettered)] == ["shout"]
    assert run.events.names[0] == "BatchStarted"
    assert len(run.ledger.batches(run.submission_id)) == 3


def test_a_mapping_stands_for_the_text() -> None:
    """A pipeline may be written in Python as its YAML would be read."""
    run = run_pipeline(yaml.safe_load(DIAMOND), stages=STAGES, input="folder", clock=FakeClock(5.0))
    assert run.status == "completed"
    assert run.ledger.submission(run.submission_id).input == {"input": "folder"}
    assert run.clock.now() == 5.0


def test_a_wrong_pipeline_is_refused_with_all_its_problems() -> None:
    """The check is the real one."""
    with pytest.raises(PipelineInvalid) as caught:
        run_pipeline(DIAMOND.replace("type: feed", "type: fed").replace("bad:", "worse:"), stages=STAGES)
    assert [problem.code for problem in caught.value.problems] == ["MKG020", "MKG011"]


@pytest.mark.parametrize("text", ["name: x", "- a", "name: x\nversion: '1'\nstages: [1]"])
def test_a_misshapen_pipeline_is_refused_by_the_check(text: str) -> None:
    """With an initial state too, what is no pipeline is the check's business."""
    with pytest.raises(PipelineInvalid):
        run_pipeline(text, stages=STAGES, state={"words": []})


# The initial state


def test_the_initial_state_is_there_for_the_stages_at_the_head() -> None:
    """Stages run on what upstream stages would have given, without these."""
    given = [Word(id="a", root="a", text="x"), Word(id="b", root="b", text="y")]
    run = run_pipeline(one("shout", config={"bad": ["b"]}), stages=[Shout], state={"words": given})
    assert [word.text for word in run.state["upper"]] == ["X"]
    assert run.state[WORDS] == given
    assert run.counts["shout"] == {"upper": 1}


def test_the_initial_state_must_be_read() -> None:
    """A key that no stage reads is a mistake; an unknown type is left to the check."""
    with pytest.raises(ContractError, match="state gives wrds, which no stage of the pipeline reads; read are words"):
        run_pipeline(one("shout"), stages=[Shout], state={"wrds": []})
    with pytest.raises(PipelineInvalid):
        run_pipeline(
            {**one("shout"), "stages": [*one("shout")["stages"], *one("shoot")["stages"]]},
            stages=[Shout],
            state={"words": []},
        )


def test_the_name_of_the_initial_state_is_taken() -> None:
    """A stage type of this name would be hidden by it."""

    @stage(metadata("given-state"))
    def taken(ctx: Any) -> None: ...

    with pytest.raises(ContractError, match="this name is taken by run_pipeline"):
        run_pipeline(one("given-state"), stages=[taken])


# State


def test_the_state_refuses_keys_that_no_stage_declares() -> None:
    """Asking for what is not declared is an error that lists what is; what a stage has not given is absent."""
    run = run_pipeline(DIAMOND, stages=STAGES)
    with pytest.raises(
        ContractError, match=r"pipeline 'diamond' .*'chunks' was read, .*declared: lower, tally, upper, words"
    ):
        run.state["chunks"]
    assert list(run.output("shout")) == ["upper"]
    with pytest.raises(ContractError, match=r"stage 'shout' .*'lower' was read"):
        run.output("shout").get("lower")
    with pytest.raises(KeyError, match="'shoot' is no stage of the pipeline; its stages are feed, shout"):
        run.output("shoot")


MANY: StateKey[Any] = words("many", merge="append")


def test_the_state_of_a_key_with_several_writers() -> None:
    """A later writer replaces what it read; parallel writers of an ``append`` key are put together."""

    def writer(name: str) -> type[Stage[Any]]:
        @stage(metadata(name, reads=(optional(MANY),), writes=(MANY,)))
        def writing(ctx: Any, *, many: Any) -> Any:
            return [*(many or ()), Word(id=ctx.stage, root="r")]

        return writing

    pipeline = {
        "name": "several",
        "version": "1",
        "stages": [
            {"name": "first", "type": "aa"},
            {"name": "left", "type": "bb", "depends_on": ["first"]},
            {"name": "right", "type": "cc"},
        ],
    }
    run = run_pipeline(pipeline, stages=[writer("aa"), writer("bb"), writer("cc")])
    assert [word.id for word in run.state["many"]] == ["first", "left", "right"]
    assert [word.id for word in run.output("first")["many"]] == ["first"]


# Waiting and going on


def test_a_signal_lets_a_waiting_pipeline_go_on() -> None:
    """What it waits for is told; a signal that fulfils it completes the run, another does not."""
    run = run_pipeline(GATED, stages=STAGES)
    assert (run.status, list(run.waiting)) == ("waiting", ["barrier"])
    assert str(run.waiting["barrier"].condition) == "open equals True"
    assert "upper" not in run.state
    assert run.state["lower"]
    assert run.signal("closed").status == "waiting"
    assert run.signal("open", attachments=[Attachment(uri="x:", media_type="a/b")]).status == "completed"
    assert (run.waiting, len(run.state["upper"])) == ({}, 1)


def test_a_deadline_passes_by_the_clock() -> None:
    """Advancing the clock past the deadline and resuming is all it takes."""
    run = run_pipeline(GATED, stages=STAGES)
    run.clock.advance(99)
    assert run.resume().status == "waiting"
    run.clock.advance(2)
    assert run.resume().status == "failed"
    assert "deadline" in run.errors["barrier"]


def test_a_failed_run_is_tried_again_by_resume() -> None:
    """What was finished is reused, what failed is run again."""
    broken = [True]

    @stage(metadata("breaks", reads=(WORDS,), writes=(UPPER,)))
    def breaks(ctx: Any, *, words: Any) -> Any:
        if broken:
            raise ValueError("broken")
        return words

    pipeline = {
        **one("breaks"),
        "stages": [{"name": "feed", "type": "feed"}, {"name": "breaks", "type": "breaks", "depends_on": ["feed"]}],
    }
    run = run_pipeline(pipeline, stages=[Feed, breaks])
    assert (run.status, run.errors) == ("failed", {"breaks": "ValueError: broken"})
    broken.clear()
    run.events.clear()
    assert run.resume().status == "completed"
    assert [event.stage for event in run.events.of(StageCompleted)] == ["breaks"]
    assert run.resume().status == "completed"


def test_policies_and_time() -> None:
    """A named policy guards the calls, and its waits pass on the fake clock."""
    left = ["once"]

    @stage(metadata("flaky"))
    def flaky(ctx: Any) -> None:
        if left:
            raise TransientError(left.pop())

    run = run_pipeline(one("flaky", policy="twice"), stages=[flaky], policies={"twice": Policy(max_attempts=2)})
    assert (run.status, len(run.clock.slept)) == ("completed", 1)


# Services


def test_services_are_fakes_unless_given(tmp_path: Path) -> None:
    """Files, http and a workspace are made when a stage needs them; what is given is used."""
    seen: list[Any] = []

    @stage(metadata("asks", needs=("files", "http", "workspace", "plugins", "signals")))
    def asks(ctx: Any) -> None:
        seen.append(ctx)
        (ctx.workspace.root / "left").touch()

    def used() -> Path:
        run = run_pipeline(one("asks"), stages=[asks])
        assert run.errors == {}
        return Path(seen[-1].workspace.root)

    folder = used()
    assert isinstance(seen[0].files, FakeFiles)
    assert isinstance(seen[0].http, FakeHttp)
    assert folder.is_relative_to(tempfile.gettempdir())
    seen.clear()
    gc.collect()
    assert not folder.exists(), "the folder is gone with the run"
    http = FakeHttp()
    run_pipeline(one("asks"), stages=[asks], services={"http": http}, workspace=tmp_path)
    assert (seen[-1].http, (tmp_path / "left").exists()) == (http, True)
    run_pipeline(one("asks"), stages=[asks], services={"workspace": FakeWorkspace(tmp_path, {"t": {"a": 1}})})
    assert seen[-1].workspace.settings("t") == {"a": 1}


def test_a_service_that_does_not_exist() -> None:
    """A service that the engine does not have is refused by the check."""

    @stage(metadata("odd", needs=("oracle",)))
    def odd(ctx: Any) -> None: ...

    with pytest.raises(PipelineInvalid, match="needs the service 'oracle', which does not exist"):
        run_pipeline(one("odd"), stages=[odd])


def test_stages_in_code_count_before_installed_ones() -> None:
    """A class with the name of an installed type takes its place; others are the installed ones."""

    @stage(metadata("ingest", writes=(WORDS,), mode="stream"))
    def ingest(ctx: Any, cursor: str | None, limit: int) -> Page:
        return Page([Word(id="mine", root="mine")])

    run = run_pipeline(one("ingest"), stages=[ingest])
    assert [word.id for word in run.state["words"]] == ["mine"]


def test_a_registry_of_one_s_own() -> None:
    """With ``plugins`` nothing that is installed is looked at."""
    with pytest.raises(PipelineInvalid):
        run_pipeline(one("shout"), plugins=Installation(path=[]))


def test_recorded_events() -> None:
    """A subscriber that keeps events, gives those of a kind, and forgets."""
    run = run_pipeline(one("feed"), stages=[Feed])
    recorded = RecordedEvents()
    for event in run.events:
        recorded(event)
    assert list(recorded) == run.events.all
    assert len(recorded) == len(run.events) == 5
    recorded.clear()
    assert recorded.names == []
