"""The lock of a submission: kept when it is opened, looked at whenever it runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from distributions import STAGES, distribution, importable, module
from support import DIAMOND, Config, Feed, Gate, Shout, Tally, Whisper, make_workspace

from medical_kg import PluginName, Stage, StageMetadata
from medical_kg.orchestration import Installation, PluginSettings, Workspace, lock_plugins, open_submission, resume
from medical_kg.orchestration.contract.errors import LockMismatch
from medical_kg.orchestration.lock import plan_lock
from medical_kg.orchestration.lock.submitted import check_plan
from medical_kg.orchestration.pipeline.catalog import load_plan
from medical_kg.orchestration.registry import StageType
from medical_kg.orchestration.runner import PlainEngine, drain

STAGES_OF_DIAMOND = (Feed, Shout, Whisper, Tally, Gate)
SOURCES = "medical_kg.sources"


def workspace(folder: Path, version: str = "", on_lock_mismatch: str = "warn") -> Workspace:
    """A workspace with the diamond, whose stage types come in this version."""
    made = make_workspace(folder, DIAMOND)
    installation = Installation(PluginSettings.model_validate({"on_lock_mismatch": on_lock_mismatch}), path=[])
    for cls in STAGES_OF_DIAMOND:
        installation.stages.add(cls.metadata.stage_type, cls, version=version)
    made.installation = installation
    return made


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name.startswith("medical_kg.orchestration.lock")]


def test_a_submission_keeps_the_lock_of_its_plan(tmp_path: Path) -> None:
    """The entries of the plugins that the plan uses are kept, and no others."""
    made = workspace(tmp_path, "1")
    kept = open_submission(made, "diamond").plugin_lock
    assert kept is not None
    assert sorted(kept[STAGES]) == ["feed", "shout", "tally", "whisper"]
    assert sorted(kept[STAGES]["feed"]) == ["behaviour", "config", "distribution", "version"]
    assert made.ledger.submissions()[0].plugin_lock == kept


def test_nothing_is_said_while_nothing_differs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run with the plugins that it began with, and that the file has, tells nothing."""
    made = workspace(tmp_path / "w", on_lock_mismatch="refuse")
    lock_plugins(made)
    report = resume(made, open_submission(made, "diamond").id, engine="plain")
    assert (report.submission.status, warned(caplog)) == ("completed", [])


def test_a_difference_is_warned_of_when_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By default each difference is named in the log, once, and the submission runs."""
    submission = open_submission(workspace(tmp_path, "1"), "diamond")
    report = resume(workspace(tmp_path, "2"), submission.id, engine="plain")
    assert report.submission.status == "completed"
    (said,) = warned(caplog)
    assert said.startswith(
        f"plugins differ from what submission {submission.id} began with: 'feed' ({STAGES}) version 1 -> 2;"
    )


@pytest.mark.parametrize("run", ["resume", "drain"])
def test_a_difference_is_refused_before_anything_runs(tmp_path: Path, run: str) -> None:
    """With ``refuse`` nothing is run or changed; the error has the differences, what to do, and exit code 2."""
    submission = open_submission(workspace(tmp_path, "1"), "diamond")
    made = workspace(tmp_path, "2", "refuse")
    batches = made.ledger.batches(submission.id)
    with pytest.raises(LockMismatch) as caught:
        resume(made, submission.id, engine="plain") if run == "resume" else drain(made, submission.id, PlainEngine())
    error = caught.value
    assert (error.exit_code, len(error.differences)) == (2, 4)
    advice = 'install what it began with, or set [plugins] on_lock_mismatch = "warn" in medical_kg.toml'
    assert str(error).endswith(advice)
    assert made.ledger.batches(submission.id) == batches
    assert made.ledger.results(batches[0].id) == {}


class Fails(Stage[Config]):
    metadata = StageMetadata(stage_type="fails", version="1", description="Fails.", config_model=Config)

    def run(self, ctx: Any, **reads: Any) -> None:
        raise ValueError


def test_a_failed_batch_stays_as_it_is(tmp_path: Path) -> None:
    """Who resumes a failed submission is refused before its batches are opened again."""
    made = make_workspace(
        tmp_path, 'name: failing\nversion: "1"\nstages:\n  - {name: fails, type: fails}\n', fails=Fails
    )
    report = resume(made, open_submission(made, "failing").id, engine="plain")
    assert [batch.status for batch in report.batches] == ["failed"]
    made.installation.settings = PluginSettings(on_lock_mismatch="refuse")
    made.installation.stages.add("fails", Fails, version="2")
    with pytest.raises(LockMismatch):
        resume(made, report.submission.id, engine="plain")
    assert tuple(made.ledger.batches(report.submission.id)) == report.batches


def test_the_file_is_held_against_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A plugin of the plan that differs from the file is told, or refused before a submission is opened."""
    lock_plugins(workspace(tmp_path / "w", "1"))
    made = workspace(tmp_path / "w", "2")
    submission = open_submission(made, "diamond")
    assert warned(caplog) == []
    resume(made, submission.id, engine="plain")
    (said,) = warned(caplog)
    assert said.startswith(f"plugins differ from medical_kg.lock: 'feed' ({STAGES}) version 1 -> 2;")
    assert "barrier" not in said
    refusing = workspace(tmp_path / "w", "2", "refuse")
    with pytest.raises(LockMismatch, match=r"differ from medical_kg\.lock"):
        open_submission(refusing, "diamond", tenant="other")
    assert refusing.ledger.submissions(tenant="other") == []


def test_a_plugin_the_file_does_not_have(tmp_path: Path) -> None:
    """One that the plan uses and the file has not is a difference as well."""
    made = workspace(tmp_path / "w", on_lock_mismatch="refuse")
    lock_plugins(Workspace(tmp_path / "w", installation=Installation(path=[])))
    with pytest.raises(LockMismatch, match=r"'feed' \(.*\) is new: in-code"):
        open_submission(made, "diamond")


def test_a_submission_of_an_older_release_has_none(tmp_path: Path) -> None:
    """A submission without a lock runs as before."""
    made = workspace(tmp_path, on_lock_mismatch="refuse")
    submission = open_submission(made, "diamond")
    from sqlalchemy import update

    from medical_kg.orchestration.ledger.tables import SUBMISSIONS

    with made.ledger._engine.begin() as connection:  # type: ignore[attr-defined]
        connection.execute(update(SUBMISSIONS).values(plugin_lock=None))
    assert made.ledger.submission(submission.id).plugin_lock is None
    assert resume(made, submission.id, engine="plain").submission.status == "completed"


class Reading(Config):
    adapter: Annotated[str, PluginName(SOURCES)] = "own"


class Read(Stage[Reading]):
    metadata = StageMetadata(stage_type="read", version="1", description="Reads.", config_model=Reading)

    def run(self, ctx: Any, **reads: Any) -> None:
        return None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder on ``sys.path`` to install into."""
    with importable(tmp_path / "site") as folder:
        folder.mkdir()
        yield folder


def test_what_configs_name_is_kept_too(tmp_path: Path, site: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A plugin behind another door that a config names belongs to the plan; it is not loaded for it."""
    module(site, "own_source", "raise ValueError\n")
    distribution(site, "dist", {"own": "own_source:Thing"}, door=SOURCES)
    installation = Installation(path=[str(site)])
    installation.stages.add("read", Read)
    path = tmp_path / "reading.yaml"
    path.write_text('name: reading\nversion: "1"\nstages:\n  - {name: read, type: read}\n')
    plan = load_plan(str(path), installation=installation, folders=())
    with caplog.at_level(logging.WARNING):
        kept = plan_lock(installation, plan)
    assert (kept[SOURCES]["own"].distribution, kept[STAGES]["read"].behaviour) == ("dist", "1")
    assert not (site / "imported.txt").exists()
    assert caplog.records == []


def test_a_type_that_lives_elsewhere(tmp_path: Path) -> None:
    """A stage type the engine has no claim for, or that runs in an environment, is kept without the files' hashes."""
    made = workspace(tmp_path)
    plan = load_plan("diamond", installation=made.installation, folders=made.pipeline_folders)
    kept = plan_lock(Installation(path=[]), plan)[STAGES]["feed"]
    assert (kept.distribution, kept.behaviour, kept.config) == ("in-code", "1.0", "")


class Elsewhere(StageType):
    """A stage type as the engine knows one that runs in an environment."""

    environment = "process"


def test_a_type_in_an_environment(tmp_path: Path) -> None:
    """Of a stage type that its worker describes, the version counts, and no file or config of this process."""
    made = workspace(tmp_path, "1")
    plan = load_plan("diamond", installation=made.installation, folders=made.pipeline_folders)
    feed, *others = plan.stages
    there = Elsewhere(feed.type.name, feed.type.cls, feed.type.metadata, feed.type.origin)
    kept = plan_lock(made.installation, replace(plan, stages=(replace(feed, type=there), *others)))[STAGES]
    assert (kept["feed"].version, kept["feed"].behaviour, kept["feed"].config) == ("1", "1.0", "")
    assert kept["shout"].config != ""


def test_a_type_in_an_environment_differs_in_what_is_known_of_it_only(tmp_path: Path) -> None:
    """The file has a config that only its worker could tell now: no difference. Another version is one."""
    lock_plugins(workspace(tmp_path, "1"))
    for version, refused in (("1", False), ("2", True)):
        made = workspace(tmp_path, version, "refuse")
        plan = load_plan("diamond", installation=made.installation, folders=made.pipeline_folders)
        feed = plan.stages[0]
        there = Elsewhere(feed.type.name, feed.type.cls, feed.type.metadata, feed.type.origin)
        with pytest.raises(LockMismatch, match=r"'feed'.* version 1 -> 2") if refused else nullcontext():
            check_plan(made, replace(plan, stages=(replace(feed, type=there),)))
