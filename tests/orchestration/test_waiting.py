"""Waiting to the end: conditions, deadlines, several waits of one batch, and signals whenever they come."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict
from support import UPPER, WORDS, Config, Word, make_workspace

from medical_kg.orchestration import api
from medical_kg.orchestration.contract import Attachment, ConditionRef, Stage, StageMetadata, Waiting
from medical_kg.orchestration.contract.errors import RecordNotFound
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock


class HoldConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: ConditionRef


class Hold(Stage[HoldConfig]):
    """Waits for one of the pipeline's conditions; ``looked`` is called after each look, with the stage's context."""

    metadata = StageMetadata(
        stage_type="hold", version="1.0", description="Waits.", config_model=HoldConfig, needs=("signals",)
    )
    looked: ClassVar[Callable[[Any], None]]
    heard: ClassVar[list[Any]]

    def run(self, ctx: Any, **reads: Any) -> Waiting | None:
        named = ctx.conditions[self.config.gate]
        holds = ctx.signals.holds(named.condition)
        Hold.looked(ctx)
        if ctx.timed_out or holds:
            Hold.heard.append((ctx.stage, ctx.timed_out, dict(ctx.signals.all())))
            return None
        return Waiting(named.condition, timeout_of(named), named.on_timeout)


class Teller(Stage[Config]):
    """Gives words as they are, and calls ``tell`` at each word."""

    metadata = StageMetadata(
        stage_type="teller",
        version="1.0",
        description="Tells.",
        reads=(WORDS,),
        writes=(UPPER,),
        mode="item",
        config_model=Config,
    )
    tell: ClassVar[Callable[[Any], None]]

    def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
        Teller.tell(ctx)
        return item


TWO = """\
name: two
version: "1"
batch_size: 1
stages:
  - {name: feed, type: feed, config: {number: 2}}
  - {name: first, type: hold, depends_on: [feed], config: {gate: one}}
  - {name: second, type: hold, depends_on: [feed], config: {gate: two}}
  - {name: shout, type: shout, depends_on: [feed, first]}
  - {name: whisper, type: whisper, depends_on: [feed, second]}
gates:
  - name: one
    on_timeout: fail
    condition: {field: one, equals: true, timeout_seconds: 100}
  - name: two
    on_timeout: continue
    condition: {field: two, equals: true, timeout_seconds: 300}
"""

ONE = """\
name: one
version: "1"
stages:
  - {name: feed, type: feed, config: {number: 1}}
  - {name: first, type: hold, depends_on: [feed], config: {gate: one}}
  - {name: whisper, type: whisper, depends_on: [feed, first]}
gates:
  - name: one
    condition: {CONDITION}
"""


AFTER = ONE.replace("name: one\n", "name: after\n", 1).replace(
    "depends_on: [feed], config", "depends_on: [teller], config"
)
AFTER = AFTER.replace("stages:\n", "stages:\n  - {name: teller, type: teller, depends_on: [feed]}\n")
BESIDE = ONE.replace("name: one\n", "name: beside\n", 1)
BESIDE = BESIDE.replace("stages:\n", "stages:\n  - {name: teller, type: teller, depends_on: [feed]}\n")
A1 = {"a": 1}


def timeout_of(named: Any) -> timedelta | None:
    return None if named.timeout_seconds is None else timedelta(seconds=named.timeout_seconds)


def nothing(_: Any) -> None:
    """Nothing happens while the stage looks."""


@pytest.fixture(autouse=True)
def _nobody_interferes() -> None:
    Hold.looked, Hold.heard = nothing, []


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def place(tmp_path: Path, clock: FakeClock) -> Callable[[str], Workspace]:
    """Open a workspace that has the waiting stage and a pipeline."""
    return lambda text: make_workspace(tmp_path, text, clock=clock, hold=Hold, teller=Teller)


def statuses(workspace: Workspace, ident: str) -> list[str]:
    return [batch.status for batch in workspace.ledger.batches(ident)]


def stages(workspace: Workspace, ident: str, number: int = 1) -> dict[str, str]:
    return {name: one.status for name, one in workspace.ledger.results(f"{ident}-{number:04d}").items()}


def events(workspace: Workspace, ident: str, stage: str) -> list[str]:
    return [one.event for one in workspace.ledger.history(ident) if one.stage == stage]


def test_each_wait_of_a_batch_has_a_condition_of_its_own(place: Any, engine: api.EngineName) -> None:
    """What one signal sets free goes on; the other stage waits on, and nothing that was done is done again."""
    workspace = place(TWO)
    ident = api.submit(workspace, "two", engine=engine).submission.id
    assert statuses(workspace, ident) == ["waiting", "waiting"]
    api.signal(workspace, ident, "one")
    assert api.resume(workspace, ident, engine=engine).submission.status == "waiting"
    assert stages(workspace, ident) == {
        "feed": "completed",
        "first": "completed",
        "second": "waiting",
        "shout": "completed",
    }
    api.signal(workspace, ident, "two")
    assert api.resume(workspace, ident, engine=engine).submission.status == "completed"
    assert events(workspace, ident, "shout").count("stage completed") == 2
    assert events(workspace, ident, "first").count("stage completed") == 2


def test_a_deadline_counts_from_the_first_wait(place: Any, engine: api.EngineName, clock: FakeClock) -> None:
    """Neither resumes nor looks that another wait's signal caused put it off; each wait ends as its own gate says."""
    workspace = place(TWO)
    began = clock.now()
    ident = api.submit(workspace, "two", engine=engine).submission.id
    clock.advance(60)
    api.signal(workspace, ident, "one")
    api.resume(workspace, ident, engine=engine)
    assert events(workspace, ident, "second").count("stage waiting") == 4
    assert {batch.ready_at for batch in workspace.ledger.batches(ident)} == {began + 300}
    clock.advance(239)
    assert api.resume(workspace, ident, engine=engine).submission.status == "waiting"
    clock.advance(1)
    assert api.resume(workspace, ident, engine=engine).submission.status == "completed"
    assert [(stage, late) for stage, late, _ in Hold.heard] == [("first", False)] * 2 + [("second", True)] * 2


def test_one_wait_may_fail_its_batch_at_its_deadline(place: Any, engine: api.EngineName, clock: FakeClock) -> None:
    """The batch fails with the condition in its error; retried, it waits its full time again, and the signal mends it."""
    workspace = place(TWO)
    ident = api.submit(workspace, "two", engine=engine).submission.id
    api.signal(workspace, ident, "one", batch=f"{ident}-0002")
    clock.advance(100)
    report = api.resume(workspace, ident, engine=engine)
    assert statuses(workspace, ident) == ["failed", "waiting"]
    assert "the wait for one equals True reached its deadline" in report.errors[0]
    api.retry(workspace, ident, engine=engine)
    assert statuses(workspace, ident) == ["waiting", "waiting"]
    clock.advance(99)
    api.signal(workspace, ident, "one")
    api.signal(workspace, ident, "two")
    assert api.resume(workspace, ident, engine=engine).submission.status == "completed"


def test_a_signal_to_one_batch_sets_only_that_one_free(place: Any, engine: api.EngineName) -> None:
    """The other goes on waiting; a batch of another submission is no batch of this one."""
    workspace = place(TWO)
    ident = api.submit(workspace, "two", engine=engine).submission.id
    for name in ("one", "two"):
        api.signal(workspace, ident, name, batch=f"{ident}-0002")
    assert api.resume(workspace, ident, engine=engine).submission.status == "waiting"
    assert statuses(workspace, ident) == ["waiting", "completed"]
    with pytest.raises(RecordNotFound):
        api.signal(workspace, ident, "one", batch="another-0001")


@pytest.mark.parametrize(
    "condition",
    [
        "field: one, equals: yes",
        "clauses: [{field: one, operator: changed}]",
        "clauses: [{field: one, operator: exists}]",
    ],
)
def test_a_signal_while_the_stage_looks_is_not_missed(place: Any, engine: api.EngineName, condition: str) -> None:
    """It comes after the look and before the wait is kept: looked at again when settling, in the same call."""
    workspace = place(ONE.replace("CONDITION", condition))
    told: list[str] = []

    def tell_once(ctx: Any) -> None:
        if not told:
            told.append(ctx.stage)
            api.signal(workspace, ctx.submission_id, "one", "yes", actor="outsider")

    Hold.looked = tell_once
    report = api.submit(workspace, "one", engine=engine)
    assert report.submission.status == "completed"
    assert events(workspace, report.submission.id, "first") == ["stage waiting", "stage completed"]


@pytest.mark.parametrize("scope", ["submission", "batch"])
def test_a_signal_while_an_earlier_stage_works_is_seen_at_once(place: Any, engine: api.EngineName, scope: str) -> None:
    """The stage does not wait at all for what was told before it is reached."""
    workspace = place(AFTER.replace("CONDITION", "field: one, equals: yes"))

    def tell(ctx: Any) -> None:
        batch = ctx.batch_id if scope == "batch" else None
        api.signal(workspace, ctx.submission_id, "one", "yes", batch=batch)

    Teller.tell = tell
    report = api.submit(workspace, "after", engine=engine)
    assert report.submission.status == "completed"
    assert events(workspace, report.submission.id, "first") == ["stage completed"]


def test_a_signal_while_another_stage_of_the_batch_works_is_not_missed(place: Any) -> None:
    """The wait is kept already, the batch not settled yet: it goes on in the same call."""
    workspace = place(BESIDE.replace("CONDITION", "field: one, equals: yes"))

    def tell(ctx: Any) -> None:
        while workspace.ledger.wait(ctx.batch_id, "first") is None:
            time.sleep(0.01)
        api.signal(workspace, ctx.submission_id, "one", "yes")

    Teller.tell = tell
    report = api.submit(workspace, "beside", engine="plain")
    assert report.submission.status == "completed"
    assert events(workspace, report.submission.id, "first") == ["stage waiting", "stage completed"]
    assert events(workspace, report.submission.id, "teller") == ["stage completed", "stage reused"]


@pytest.mark.parametrize(
    ("condition", "told", "free"),
    [
        ("mode: all, clauses: [{field: a, value: 1}, {field: b, operator: in, value: [x, y]}]", {"a": 1}, False),
        ("mode: all, clauses: [{field: a, value: 1}, {field: b, operator: in, value: [x, y]}]", A1 | {"b": "y"}, True),
        ("mode: any, clauses: [{field: a, value: 1}, {field: b, operator: exists}]", {"b": None}, True),
        ("mode: any, clauses: [{field: a, value: 1}, {field: b, operator: exists}]", {"c": 1}, False),
        ("clauses: [{field: ledger.a, operator: not_equals, value: old}]", {"ledger.a": "new"}, True),
        ("field: a, equals: 1", {"ledger.a": 1}, True),
        ("field: a, equals: 1", {"a": True}, False),
        ("clauses: [{field: a, operator: lte, value: 3}]", {"a": 3}, True),
        ("clauses: [{field: a, operator: gte, value: 3}]", {"a": 2.9}, False),
        ("clauses: [{field: a, operator: changed}]", {"a": "old"}, False),
        ("clauses: [{field: a, operator: changed}]", {"a": "new"}, True),
    ],
)
def test_conditions_of_the_file_decide(place: Any, condition: str, told: dict[str, Any], *, free: bool) -> None:
    """All, any and the operators decide who is woken; a name may be told with the prefix of the file."""
    workspace = place(AFTER.replace("CONDITION", condition))
    Teller.tell = lambda ctx: api.signal(workspace, ctx.submission_id, "a", "old")
    ident = api.submit(workspace, "after", engine="plain").submission.id
    for name, value in told.items():
        api.signal(workspace, ident, name, value)
    assert bool(workspace.ledger.ready()) is free
    api.resume(workspace, ident, engine="plain")
    assert statuses(workspace, ident) == ["completed" if free else "waiting"]


def test_an_edited_gate_is_asked_again(place: Any, engine: api.EngineName, clock: FakeClock) -> None:
    """A resume goes by the file as it is: another field, a longer time counted from the first wait, another end."""
    workspace = place(ONE.replace("CONDITION", "field: one, equals: true, timeout_seconds: 100"))
    file = workspace.root / "pipelines" / "one.yaml"
    began = clock.now()
    ident = api.submit(workspace, "one", engine=engine).submission.id
    clock.advance(90)
    file.write_text(ONE.replace("CONDITION", "field: other, equals: true, timeout_seconds: 200"), encoding="utf-8")
    api.resume(workspace, ident, engine=engine)
    assert workspace.ledger.batch(f"{ident}-0001").ready_at == began + 200
    api.resume(workspace, ident, engine=engine)
    assert events(workspace, ident, "first") == ["stage waiting", "stage waiting"]
    clock.advance(20)
    api.signal(workspace, ident, "one")
    assert workspace.ledger.ready() == []
    api.signal(workspace, ident, "other")
    assert api.resume(workspace, ident, engine=engine).submission.status == "completed"


@pytest.mark.parametrize(("on_timeout", "status"), [("fail", "failed"), ("continue", "completed")])
def test_a_gate_edited_after_its_deadline_ends_as_it_says_now(
    place: Any, engine: api.EngineName, clock: FakeClock, on_timeout: str, status: str
) -> None:
    """A shorter time that has passed already ends the wait at once."""
    workspace = place(ONE.replace("CONDITION", "field: one, equals: true"))
    ident = api.submit(workspace, "one", engine=engine).submission.id
    clock.advance(90)
    text = ONE.replace("CONDITION", "field: one, equals: true, timeout_seconds: 50")
    text = text.replace("    condition", f"    on_timeout: {on_timeout}\n    condition")
    (workspace.root / "pipelines" / "one.yaml").write_text(text, encoding="utf-8")
    assert api.resume(workspace, ident, engine=engine).submission.status == status


def test_another_process_may_tell_while_the_batch_is_at_work(place: Any, engine: api.EngineName) -> None:
    """What a program of its own tells between look and wait is heard in the same call."""
    workspace = place(ONE.replace("CONDITION", "field: one, equals: 7"))
    told: list[str] = []

    def tell_once(ctx: Any) -> None:
        if not told:
            told.append(ctx.stage)
            call = "signal(Workspace(Path(sys.argv[1])), sys.argv[2], 'one', 7, actor='outsider')"
            script = f"import sys; from pathlib import Path; from medical_kg.orchestration import *; {call}"
            subprocess.run([sys.executable, "-c", script, workspace.root, ctx.submission_id], check=True)

    Hold.looked = tell_once
    report = api.submit(workspace, "one", engine=engine)
    assert report.submission.status == "completed"
    (_, _, heard), *_ = Hold.heard
    assert heard["one"].actor == "outsider"


def test_a_signal_is_kept_with_its_attachments_actor_and_time(
    place: Any, engine: api.EngineName, clock: FakeClock
) -> None:
    """The stage that waited gets all of it once it goes on; the history tells who and when."""
    workspace = place(ONE.replace("CONDITION", "clauses: [{field: ledger.one, operator: gte, value: 2}]"))
    ident = api.submit(workspace, "one", engine=engine).submission.id
    attachment = Attachment(uri="file:///w0.json", media_type="application/json", sha256="a" * 64, item_id="w0")
    clock.advance(5)
    api.signal(workspace, ident, "one", 1, actor="ana")
    assert workspace.ledger.ready() == []
    clock.advance(5)
    api.signal(workspace, ident, "one", 2, actor="ben", attachments=[attachment])
    told_at = clock.now()
    clock.advance(5)
    assert api.resume(workspace, ident, engine=engine).submission.status == "completed"
    ((_, _, heard),) = Hold.heard
    assert (heard["one"].value, heard["one"].actor, heard["one"].at) == (2, "ben", told_at)
    assert heard["one"].attachments == (attachment,)
    lines = [one for one in workspace.ledger.history(ident) if one.event in ("signal", "woken")]
    assert [(one.event, one.actor, one.at) for one in lines] == [
        ("signal", "ana", told_at - 5),
        ("signal", "ben", told_at),
        ("woken", "ben", told_at),
    ]
