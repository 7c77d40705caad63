"""Triggers: what a signal starts, for whom, and how often."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from support import Config, make_workspace

from medical_kg.orchestration import api
from medical_kg.orchestration.contract import Attachment, Signal, Stage, StageMetadata
from medical_kg.orchestration.contract.errors import IllegalTransition
from medical_kg.orchestration.ledger.contract import Submission
from medical_kg.orchestration.triggers import start_triggered
from medical_kg.orchestration.workspace import Workspace

TELLER = """\
name: teller
version: "1"
stages:
  - {name: feed, type: feed, config: {number: 1}}
  - {name: tell, type: bell, depends_on: [feed]}
  - {name: barrier, type: barrier, depends_on: [tell], config: {number: 100}}
"""
HEARER = """\
name: hearer
version: "1"
triggers: [{signal: rang}]
stages:
  - {name: answer, type: echo}
"""
FILE = Attachment(uri="x:1", media_type="a/b", item_id="w0")


class Bell(Stage[Config]):
    """Rings, with a file."""

    metadata = StageMetadata(
        stage_type="bell", version="1.0", description="Rings.", config_model=Config, needs=("signals",)
    )

    def run(self, ctx: Any, **reads: Any) -> None:
        ctx.signals.tell("rang", value=True, attachments=[FILE])


class Echo(Stage[Config]):
    """Answers who rang; keeps what it saw and how many heard it."""

    metadata = StageMetadata(
        stage_type="echo", version="1.0", description="Answers.", config_model=Config, needs=("signals",)
    )
    seen: list[Any] = []  # noqa: RUF012  # filled by the test's own runs

    def run(self, ctx: Any, **reads: Any) -> None:
        told = ctx.signals.all().get("rang")
        heard = ctx.signals.tell("open", value=True, reply=True)
        self.seen.append((dict(ctx.input), told and told.attachments, heard))


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Echo.seen.clear()


def workspace(folder: Path, *pipelines: str) -> Workspace:
    return make_workspace(folder, *(pipelines or (TELLER, HEARER)), bell=Bell, echo=Echo)


def run(place: Workspace, pipeline: str = "teller", **more: Any) -> Submission:
    return api.submit(place, pipeline, engine="plain", **more).submission


def go_on(place: Workspace, submission: Submission) -> Submission:
    return api.resume(place, submission.id, engine="plain").submission


def test_a_signal_starts_a_pipeline_that_answers(tmp_path: Path) -> None:
    """The started submission knows who told what, has the attachments, and its reply opens the batch that waits."""
    place = workspace(tmp_path)
    teller = run(place, tenant="lab")
    (hearer,) = place.ledger.started_by(teller.id)
    (batch,) = place.ledger.batches(teller.id)
    assert (hearer.pipeline, hearer.tenant, hearer.status, hearer.actor) == ("hearer", "lab", "pending", "teller/tell")
    assert (teller.status, hearer.input["batch"]) == ("waiting", batch.id)
    assert go_on(place, hearer).status == "completed"
    asked = {"signal": "rang", "fact": hearer.input["fact"], "submission": teller.id, "batch": batch.id}
    assert Echo.seen == [(asked, (FILE,), 1)]
    assert [(where, one.name) for where, one in place.ledger.told(teller.id)] == [
        (batch.id, "rang"),
        (batch.id, "open"),
    ]
    assert go_on(place, teller).status == "completed"


def test_what_is_told_twice_starts_once(tmp_path: Path) -> None:
    """Equal facts are one fact, also when what they started is finished; another value or batch is another."""
    place = workspace(tmp_path)
    teller = run(place)
    (batch,) = place.ledger.batches(teller.id)
    first = place.ledger.started_by(teller.id)
    go_on(place, first[0])
    api.signal(place, teller.id, "rang", batch=batch.id, attachments=[FILE])
    assert [one.id for one in place.ledger.started_by(teller.id)] == [first[0].id]
    api.signal(place, teller.id, "rang")
    assert len(place.ledger.started_by(teller.id)) == 2


@pytest.mark.parametrize(
    ("triggers", "value", "count"),
    [
        ("[{signal: rung}]", True, 1),
        ("[{signal: ledger.rung}]", True, 1),
        ("[{signal: other}, {signal: rung}]", True, 1),
        ("[{signal: rung}]", False, 0),
        ("[{signal: rung, equals: full}]", "full", 1),
        ("[{signal: rung, equals: full}]", True, 0),
        ("[{signal: other}]", True, 0),
        ("[rung]", True, 0),
        ("{signal: rung}", True, 0),
    ],
)
def test_what_starts_it_is_the_name_and_the_value(tmp_path: Path, triggers: str, value: Any, count: int) -> None:
    """True unless the trigger says otherwise; a wrong trigger asks for nothing."""
    place = workspace(tmp_path, TELLER, HEARER.replace("[{signal: rang}]", triggers))
    teller = run(place)
    api.signal(place, teller.id, "rung", value)
    assert len(place.ledger.started_by(teller.id)) == count


def test_the_signal_stands_where_a_pipeline_cannot_be_started(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong pipeline is a warning that says which and why; a file that is no YAML asks for nothing."""
    place = workspace(tmp_path, TELLER, HEARER.replace("type: echo", "type: ecko"), HEARER.replace("hearer", "second"))
    (tmp_path / "pipelines" / "broken.yaml").write_text("triggers: [", encoding="utf-8")
    teller = run(place)
    assert [one.pipeline for one in place.ledger.started_by(teller.id)] == ["second"]
    (warning,) = [one for one in caplog.records if one.levelno == logging.WARNING and "could not start" in one.message]
    assert "signal rang could not start pipeline hearer" in warning.message
    assert teller.status == "waiting"


def test_a_pipeline_is_not_started_by_what_it_led_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pipelines that start each other would go on for ever."""
    other = HEARER.replace("{signal: rang}", "{signal: open}").replace("name: hearer", "name: other")
    place = workspace(tmp_path, TELLER + "triggers: [{signal: open}]\n", HEARER + "", other)
    teller = run(place)
    (hearer,) = place.ledger.started_by(teller.id)
    go_on(place, hearer)
    assert [one.pipeline for one in place.ledger.started_by(hearer.id)] == ["other"]
    assert "signal open does not start pipeline teller, which led to it" in caplog.text
    (last,) = place.ledger.started_by(hearer.id)
    go_on(place, last)
    assert place.ledger.started_by(last.id) == []


def test_replies_to_nobody(tmp_path: Path) -> None:
    """Run by hand there is nobody; a cancelled submission hears nothing; a completed one keeps it for a replay."""
    place = workspace(tmp_path)
    run(place, "hearer")
    assert Echo.seen.pop() == ({}, None, 0)
    for end, heard in (("cancel", 0), ("complete", 1)):
        teller = run(place, input=f"x://{end}")
        (hearer,) = place.ledger.started_by(teller.id)
        if end == "cancel":
            place.ledger.cancel(teller.id, "ana")
        else:
            api.signal(place, teller.id, "open")
            assert go_on(place, teller).status == "completed"
        go_on(place, hearer)
        assert Echo.seen.pop()[2] == heard
        with pytest.raises(IllegalTransition):
            api.signal(place, teller.id, "open")


def test_a_broken_line_of_ancestors_ends(tmp_path: Path) -> None:
    """What started a submission may have been removed since."""
    place = workspace(tmp_path, TELLER, HEARER.replace("rang", "open"))
    teller = run(place)
    api.signal(place, teller.id, "open")
    (hearer,) = place.ledger.started_by(teller.id)
    gone = hearer.model_copy(update={"input": {**hearer.input, "submission": "snone"}})
    assert start_triggered(place, gone, Signal(name="nobody")) == []
    assert start_triggered(place, gone, Signal(name="open")) == []
