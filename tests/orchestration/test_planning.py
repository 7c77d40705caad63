"""The file a submission goes on with: changed, invalid, gone."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support import GATED, make_workspace

from medical_kg.orchestration import api, explain, resume_all
from medical_kg.orchestration.contract.errors import PipelineInvalid, PipelineNotFound
from medical_kg.orchestration.planning import CHANGED, plan_of
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.workspace import Workspace

LONGER = GATED.replace("number: 100", "number: 200")
WRONG = GATED.replace("type: shout", "type: shuot")


@pytest.fixture
def waiting(tmp_path: Path) -> tuple[Workspace, str]:
    """A workspace with a submission whose batch waits."""
    workspace = make_workspace(tmp_path, GATED)
    return workspace, api.submit(workspace, "gated", engine="plain").submission.id


def edit(workspace: Workspace, text: str | None) -> Path:
    path = workspace.root / "pipelines" / "gated.yaml"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    return path


def changed(workspace: Workspace, ident: str) -> list[str]:
    return [one.detail["pipeline"] for one in workspace.ledger.history(ident) if one.event == CHANGED]


def test_a_waiting_batch_goes_on_with_the_current_file(waiting: tuple[Workspace, str]) -> None:
    """What the change touches runs again, and explain says so before; the rest is reused; the history has the text."""
    workspace, ident = waiting
    edited = GATED.replace("{name: whisper, type: whisper, ", "{name: whisper, type: whisper, config: {number: 9}, ")
    edit(workspace, edited)
    found = explain(workspace, ident)
    assert (found.pipeline_changed, found.problem) == (True, None)
    verdicts = {one.stage: one.verdict for one in found.batches[0].stages}
    assert (verdicts["feed"], verdicts["whisper"]) == ("ran", "runs again")
    api.signal(workspace, ident, "open")
    assert api.resume(workspace, ident, engine="plain").submission.status == "completed"
    told = [(one.stage, one.event) for one in workspace.ledger.history(ident)]
    assert ("whisper", "stage runs again") in told
    assert ("feed", "stage reused") in told
    assert changed(workspace, ident) == [edited]


@pytest.mark.parametrize("engine", ["plain", "dagster"])
@pytest.mark.parametrize("text", [WRONG, "name: [", "", None])
def test_an_invalid_edit_keeps_the_last_good_file(
    waiting: tuple[Workspace, str], caplog: pytest.LogCaptureFixture, text: str | None, engine: api.EngineName
) -> None:
    """Wrong, no YAML, empty or gone: the submission goes on as it began, with a warning that names the problem."""
    workspace, ident = waiting
    edit(workspace, text)
    api.signal(workspace, ident, "open")
    with caplog.at_level(logging.WARNING):
        assert api.resume(workspace, ident, engine=engine).submission.status == "completed"
    assert f"submission {ident} goes on with the last version of its pipeline that passed the check, as" in caplog.text
    assert "gated.yaml" in caplog.text
    assert changed(workspace, ident) == []


def test_the_last_good_file_is_the_last_that_was_gone_on_with(waiting: tuple[Workspace, str]) -> None:
    """A valid edit that a resume has seen replaces the one before, also where the file goes back and forth."""
    workspace, ident = waiting
    for text, number in ((LONGER, 200), (GATED, 100), (LONGER, 200)):
        edit(workspace, text)
        api.resume(workspace, ident, engine="plain")
        edit(workspace, WRONG)
        assert plan_of(workspace, ident).stage("barrier").config.number == number
    assert changed(workspace, ident) == [LONGER, GATED, LONGER]


def test_overrides_stay(tmp_path: Path) -> None:
    """The kept version is taken with the submission's own changes."""
    workspace = make_workspace(tmp_path, GATED)
    ident = api.submit(workspace, "gated", overrides={"barrier.number": 7}, engine="plain").submission.id
    edit(workspace, None)
    assert plan_of(workspace, ident).stage("barrier").config.number == 7
    assert api.resume(workspace, ident, engine="plain").submission.status == "waiting"
    assert changed(workspace, ident) == []


def test_who_runs_whatever_is_ready_keeps_it_too(
    waiting: tuple[Workspace, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Without naming the submission as well: the wrong file is warned of once, a changed one is written down."""
    workspace, ident = waiting
    edit(workspace, LONGER)
    api.signal(workspace, ident, "other")
    api.resume(workspace, ident, engine="plain")
    edit(workspace, WRONG)
    api.signal(workspace, ident, "open")
    with caplog.at_level(logging.WARNING):
        ran = resume_all(workspace, engine="plain")
    assert [one.submission.status for one in ran.reports] == ["completed"]
    assert ran.problems == {}
    assert changed(workspace, ident) == [LONGER]
    assert caplog.text.count("goes on with the last version") == 1


def test_explain_compares_with_the_kept_version(waiting: tuple[Workspace, str]) -> None:
    """The problem is told, and what a resume would do nevertheless."""
    workspace, ident = waiting
    edit(workspace, WRONG)
    found = explain(workspace, ident)
    assert isinstance(found.problem, PipelineInvalid)
    assert found.compared
    assert {one.stage: one.verdict for one in found.batches[0].stages}["shout"] == "skipped"


@pytest.mark.parametrize(("text", "error"), [(WRONG, PipelineInvalid), (None, PipelineNotFound)])
def test_where_no_version_passes_the_current_problem_is_told(
    waiting: tuple[Workspace, str], text: str | None, error: type[Exception]
) -> None:
    """A kept version that needs a plugin which is gone helps nobody; nothing is changed."""
    workspace, ident = waiting
    edit(workspace, text)
    before = workspace.ledger.history(ident)
    empty = Workspace(workspace.root, installation=Installation(path=[]))
    with pytest.raises(error):
        api.resume(empty, ident, engine="plain")
    empty.close()
    assert workspace.ledger.history(ident) == before


def test_a_new_run_of_a_wrong_file_is_refused(waiting: tuple[Workspace, str]) -> None:
    """Only what began goes on: asking for the pipeline itself names the problem."""
    workspace, _ = waiting
    edit(workspace, WRONG)
    with pytest.raises(PipelineInvalid, match="shuot"):
        api.submit(workspace, "gated", engine="plain")
