"""Explaining a batch: what decided, by the ledger, the current pipeline file and the installed plugins."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support import DIAMOND, GATED, LOWER, TALLY, UPPER, Config, Word, make_workspace

from medical_kg.orchestration import api, explain
from medical_kg.orchestration.contract import Clause, Condition, Stage, StageMetadata, Waiting
from medical_kg.orchestration.contract.database import writing
from medical_kg.orchestration.contract.errors import PipelineInvalid, PipelineNotFound, RecordNotFound
from medical_kg.orchestration.inspection.verdicts import StageExplanation
from medical_kg.orchestration.runner import held
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock


class Echo(Stage[Config]):
    """Gives what was shouted."""

    metadata = StageMetadata(
        stage_type="echo",
        version="1.0",
        description="Echoes.",
        reads=(UPPER,),
        writes=(LOWER,),
        mode="item",
        config_model=Config,
    )

    def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
        return item


class Echo2(Echo):
    metadata = replace(Echo.metadata, version="1.1")


class Boom(Stage[Config]):
    """Fails unless ``number`` is 0."""

    metadata = StageMetadata(
        stage_type="boom", version="1.0", description="Fails.", reads=(LOWER,), writes=(TALLY,), config_model=Config
    )

    def run(self, ctx: Any, **reads: Any) -> dict[str, int]:
        if self.config.number:
            raise ValueError("boom")
        return {}


CHAIN = """\
name: chain
version: "1"
stages:
  - {name: feed, type: feed, config: {number: 2}}
  - {name: shout, type: shout, depends_on: [feed], config: {number: 128}}
  - {name: echo, type: echo, depends_on: [shout]}
  - {name: boom, type: boom, depends_on: [echo]}
"""


def chain(folder: Path, echo: type[Stage[Any]] = Echo, **more: Any) -> Workspace:
    return make_workspace(folder, CHAIN, echo=echo, boom=Boom, **more)


def edit(workspace: Workspace, name: str, old: str, new: str) -> None:
    path = workspace.root / "pipelines" / f"{name}.yaml"
    before = path.read_text(encoding="utf-8")
    assert old in before
    path.write_text(before.replace(old, new), encoding="utf-8")


def run(workspace: Workspace, pipeline: str) -> str:
    return api.submit(workspace, pipeline, engine="plain").submission.id


def stages(workspace: Workspace, ident: str, stage: str | None = None) -> dict[str, StageExplanation]:
    [batch] = explain(workspace, ident, stage).batches
    return {one.stage: one for one in batch.stages}


def verdicts(workspace: Workspace, ident: str) -> dict[str, str]:
    return {name: one.verdict for name, one in stages(workspace, ident).items()}


def test_of_a_failed_batch_it_says_what_a_resume_would_run(tmp_path: Path) -> None:
    """What fits is told as it was, the failed stage with its error."""
    workspace = chain(tmp_path)
    found = stages(workspace, run(workspace, "chain"))
    assert {name: one.verdict for name, one in found.items()} == {
        "feed": "ran", "shout": "ran", "echo": "ran", "boom": "failed",
    }  # fmt: skip
    assert found["boom"].reasons == ("ValueError: boom", "a resume runs it again")
    assert found["shout"].reasons == ("for the first time in this batch",)
    assert found["shout"].changes == ()


def test_a_changed_config_field_is_named_with_both_values(tmp_path: Path) -> None:
    """The stage runs again, for this reason; what reads its output only if that comes out otherwise."""
    workspace = chain(tmp_path)
    ident = run(workspace, "chain")
    edit(workspace, "chain", "number: 128", "number: 256")
    found = stages(workspace, ident)
    assert (found["shout"].verdict, found["shout"].reasons) == ("runs again", ("config.number: 128 → 256",))
    assert [(one.part, one.name, one.before, one.after) for one in found["shout"].changes] == [
        ("config", "number", 128, 256)
    ]
    assert found["echo"].verdict == "may run again"
    assert found["echo"].reasons == ("reused unless the output of shout changes (runs again)",)
    assert found["feed"].verdict == "ran"


def test_what_it_foretells_comes_true(tmp_path: Path) -> None:
    """The resume runs just these stages again, and afterwards the reason is in the history and in the explanation."""
    workspace = chain(tmp_path)
    ident = run(workspace, "chain")
    edit(workspace, "chain", "number: 128", "number: 256")
    edit(workspace, "chain", "depends_on: [echo]", "depends_on: [echo], config: {number: 0}")
    api.resume(workspace, ident, engine="plain")
    found = stages(workspace, ident)
    assert {name: one.verdict for name, one in found.items()} == {
        "feed": "reused", "shout": "ran", "echo": "reused", "boom": "ran",
    }  # fmt: skip
    assert found["shout"].reasons == ("again: config.number: 128 → 256",)
    assert found["boom"].reasons == ("again, after it had failed",)
    again = [entry for entry in workspace.ledger.history(ident) if entry.event == "stage runs again"]
    assert [(entry.stage, entry.reason) for entry in again] == [("shout", "config.number: 128 → 256")]
    assert again[0].detail["changes"][0]["after"] == 256


def test_a_new_behaviour_version_and_another_distribution_are_named(tmp_path: Path) -> None:
    """What an upgrade changes is seen before anything runs."""
    ident = run(chain(tmp_path), "chain")
    upgraded = chain(tmp_path, echo=Echo2)
    found = stages(upgraded, ident)["echo"]
    assert (found.verdict, found.reasons) == ("runs again", ("behaviour version 1.0 → 1.1",))


def test_a_checkpoint_that_is_gone_is_named(tmp_path: Path) -> None:
    """Its stage runs again, whatever its fingerprint says."""
    workspace = chain(tmp_path)
    ident = run(workspace, "chain")
    shutil.rmtree(tmp_path / "checkpoints")
    found = stages(workspace, ident)
    assert found["feed"].reasons == ("checkpoint file of words is gone",)
    assert {found[name].verdict for name in ("feed", "shout", "echo")} == {"runs again"}


def test_a_result_of_an_earlier_release_is_explained_as_far_as_it_goes(tmp_path: Path) -> None:
    """Without parts it can only be told that something changed."""
    workspace = chain(tmp_path)
    ident = run(workspace, "chain")
    with writing(workspace.ledger._engine) as connection:  # type: ignore[attr-defined]  # of SqlLedger
        connection.execute(text("UPDATE stage_results SET parts = NULL"))
    assert stages(workspace, ident)["shout"].verdict == "ran"
    edit(workspace, "chain", "number: 128", "number: 256")
    assert "an earlier release kept the result" in stages(workspace, ident)["shout"].reasons[0]


def test_stages_that_are_new_or_no_longer_there_are_told(tmp_path: Path) -> None:
    """A stage without a result whose inputs are there is run by a resume; a result without a stage stays unused."""
    workspace = chain(tmp_path)
    ident = run(workspace, "chain")
    edit(workspace, "chain", "name: shout", "name: cry")
    edit(workspace, "chain", "depends_on: [shout]", "depends_on: [cry]")
    found = stages(workspace, ident)
    assert found["cry"].verdict == "not yet run"
    assert found["cry"].reasons == ("all it depends on is there; a resume runs it",)
    assert found["echo"].verdict == "may run again"
    assert found["shout"].verdict == "no longer there"


def test_in_a_finished_batch_a_change_is_told_and_changes_nothing(tmp_path: Path) -> None:
    """Nothing runs again in it; what has changed since is told all the same."""
    workspace = make_workspace(tmp_path, DIAMOND)
    ident = run(workspace, "diamond")
    batch = workspace.ledger.batches(ident)[0].id
    edit(workspace, "diamond", "bad: [w3]", "bad: [w1]")
    found = explain(workspace, batch)
    assert found.pipeline_changed
    shout = found.batches[0].stages[1]
    assert shout.verdict == "ran"
    assert shout.reasons[1] == (
        'since then: config.bad: ["w3"] → ["w1"]; the batch is completed, so this changes nothing in it'
    )
    edit(workspace, "diamond", "name: whisper", "name: more")
    edit(workspace, "diamond", "depends_on: [shout, whisper]", "depends_on: [shout, more]")
    more = stages(workspace, batch)["more"]
    assert (more.verdict, more.reasons) == ("not yet run", ("the batch is completed",))


def test_all_batches_of_a_submission_are_explained_by_its_id(tmp_path: Path) -> None:
    """Five items in batches of two are three batches; the beginning of the id is enough."""
    workspace = make_workspace(tmp_path, DIAMOND)
    ident = run(workspace, "diamond")
    found = explain(workspace, ident[:8], "shout")
    assert [len(batch.stages) for batch in found.batches] == [1, 1, 1]
    assert not found.pipeline_changed


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gated(tmp_path: Path, clock: FakeClock) -> Workspace:
    return make_workspace(tmp_path, GATED, clock=clock)


def test_of_a_wait_it_says_what_is_missing_since_when_and_until_when(gated: Workspace, clock: FakeClock) -> None:
    """The clauses that do not hold, the first wait and the deadline; what is behind it is skipped because of it."""
    ident = run(gated, "gated")
    began = clock.now()
    clock.advance(10)
    found = stages(gated, ident)
    wait = found["barrier"].wait
    assert found["barrier"].verdict == "waits"
    assert wait is not None
    assert (wait.missing, wait.since, wait.until, wait.on_timeout, wait.over) == (
        ("open equals True",), began, began + 100, "fail", False,
    )  # fmt: skip
    assert found["barrier"].reasons == ("open equals True is missing",)
    assert (found["shout"].verdict, found["shout"].reasons) == ("skipped", ("barrier gave nothing (waits)",))
    assert found["whisper"].verdict == "ran"


class Pair(Stage[Config]):
    """Waits for two signals, or with ``number`` 1 for one of them."""

    metadata = StageMetadata(
        stage_type="pair", version="1.0", description="Waits.", config_model=Config, needs=("signals",)
    )

    def run(self, ctx: Any, **reads: Any) -> Waiting | None:
        clauses = (Clause(field="left", value=True), Clause(field="right", operator="gte", value=2))
        condition = Condition(mode="any" if self.config.number == 1 else "all", clauses=clauses)
        return None if ctx.signals.holds(condition) else Waiting(condition)


@pytest.mark.parametrize(
    ("number", "told", "said"),
    [
        (2, {}, "left equals True and right gte 2 are missing"),
        (2, {"left": True, "right": 1}, "right gte 2 is missing"),
        (1, {"right": 1}, "left equals True or right gte 2 are missing"),
        (2, {"left": True, "right": 2}, "left equals True and right gte 2 holds by now; a resume goes on"),
    ],
)
def test_only_what_does_not_hold_is_missing(tmp_path: Path, number: int, told: dict[str, Any], said: str) -> None:
    """Of several clauses those that are fulfilled are not asked for again."""
    text = GATED.replace("type: barrier", "type: pair").replace("number: 100", f"number: {number}")
    workspace = make_workspace(tmp_path, text, pair=Pair)
    ident = run(workspace, "gated")
    for name, value in told.items():
        api.signal(workspace, ident, name, value)
    assert stages(workspace, ident)["barrier"].reasons == (said,)


def test_a_wait_that_is_over_or_out_of_time_says_what_a_resume_does(gated: Workspace, clock: FakeClock) -> None:
    """Time that is up is told, and a condition that holds by now comes first."""
    ident = run(gated, "gated")
    clock.advance(200)
    assert stages(gated, ident)["barrier"].reasons == ("its time is up; a resume fails it",)
    api.signal(gated, ident, "open")
    [found] = stages(gated, ident, "barrier").values()
    assert found.reasons == ("open equals True holds by now; a resume goes on",)
    assert found.wait is not None
    assert found.wait.missing == ()
    api.resume(gated, ident, engine="plain")
    assert stages(gated, ident)["barrier"].reasons == ("after its wait",)


def test_a_waiting_stage_with_another_config_says_so(gated: Workspace) -> None:
    """What has changed is told, and that a resume goes by the file as it is."""
    ident = run(gated, "gated")
    edit(gated, "gated", "number: 100", "number: 50")
    assert stages(gated, ident)["barrier"].reasons == (
        "what it waits for has been changed; a resume asks it again",
        "since it began to wait: config.number: 100 → 50",
    )


def test_a_batch_nobody_took_up_and_one_at_work(tmp_path: Path) -> None:
    """Before the first run nothing has run; during one, what has not ended has not run yet."""
    workspace = make_workspace(tmp_path, DIAMOND)
    submission = open_submission(workspace, "diamond")
    assert {one.reasons for one in stages(workspace, submission.id).values()} == {("no run has taken the batch up",)}
    with held(workspace.ledger, workspace.ledger.batches(submission.id)[0]):
        found = stages(workspace, submission.id)
    assert found["tally"].reasons == (
        "shout has not ended (not yet run)",
        "whisper has not ended (not yet run)",
    )


@pytest.mark.parametrize(("change", "error"), [("break", PipelineInvalid), ("remove", PipelineNotFound)])
def test_a_pipeline_that_cannot_be_compared_is_told(tmp_path: Path, change: str, error: type[Exception]) -> None:
    """The ledger's side is told all the same, with what is wrong with the file."""
    workspace = chain(tmp_path)
    ident = run(workspace, "chain")
    if change == "break":
        edit(workspace, "chain", "type: echo", "type: ecko")
    else:
        (tmp_path / "pipelines" / "chain.yaml").unlink()
    found = explain(workspace, ident)
    assert isinstance(found.problem, error)
    assert [one.verdict for one in found.batches[0].stages] == ["ran", "ran", "ran", "failed"]


def test_nothing_is_written(tmp_path: Path) -> None:
    """Looking leaves the ledger as it is."""
    workspace = chain(tmp_path)
    ident = run(workspace, "chain")
    before = workspace.ledger.history(ident), workspace.ledger.batches(ident), verdicts(workspace, ident)
    assert (workspace.ledger.history(ident), workspace.ledger.batches(ident), verdicts(workspace, ident)) == before


@pytest.mark.parametrize("asked", [("s000", None), ("ID", "shoot")])
def test_what_is_not_there_is_named(tmp_path: Path, asked: tuple[str, str | None]) -> None:
    """An unknown batch, submission or stage; for a stage the near names."""
    workspace = chain(tmp_path)
    ident = run(workspace, "chain")
    with pytest.raises(
        RecordNotFound, match=r"no submission 's000'|no stage 'shoot' in the ledger; did you mean 'shout'"
    ):
        explain(workspace, ident if asked[0] == "ID" else asked[0], asked[1])
