"""Pipelines as Dagster jobs: wiring, figures, provenance, runs started by hand, re-execution."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterEventType, DagsterInstance, ExecuteInProcessResult, ReexecutionOptions, execute_job
from dagster._core.definitions.reconstruct import reconstructable
from support import DIAMOND, GATED, Whisper, make_workspace

from medical_kg.orchestration import api
from medical_kg.orchestration.contract.errors import PipelineInvalid
from medical_kg.orchestration.dagster.definitions import NoPipelines, definitions
from medical_kg.orchestration.dagster.engine import DagsterEngine, DagsterRunFailed
from medical_kg.orchestration.dagster.instance import dagster_home, open_instance
from medical_kg.orchestration.dagster.naming import BATCH_TAG, GENERATION_TAG, SUBMISSION_TAG, dagster_name, op_names
from medical_kg.orchestration.dagster.runtime import build_job
from medical_kg.orchestration.dagster.stages import build_default_stage_factory
from medical_kg.orchestration.planning import plan_of
from medical_kg.orchestration.registry import PluginSettings
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.workspace import Workspace

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, DIAMOND, GATED)


@pytest.fixture
def instance(workspace: Workspace) -> Iterator[DagsterInstance]:
    with open_instance(workspace) as opened:
        yield opened


def launch(workspace: Workspace, instance: DagsterInstance, name: str, **more: Any) -> ExecuteInProcessResult:
    """Run a job as the launchpad would: nobody has claimed a batch for it."""
    job = definitions(workspace).resolve_job_def(name)
    return job.execute_in_process(run_config=QUIET, instance=instance, raise_on_error=False, **more)


def test_dagster_shows_the_counts_of_ledger_and_event(workspace: Workspace, instance: DagsterInstance) -> None:
    """Output metadata and asset materializations carry the counts the ledger has, and the plugin's origin."""
    report = api.submit(workspace, "diamond", engine="dagster")
    shown: dict[str, Any] = {}
    for batch in report.batches:
        assert batch.run_id is not None
        for record in instance.all_logs(batch.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION):
            event = record.dagster_event
            assert event is not None
            assert event.step_key is not None
            metadata = event.step_materialization_data.materialization.metadata
            for key, value in metadata.items():
                if isinstance(value.value, float):
                    shown.setdefault(event.step_key, {}).setdefault(key, 0)
                    shown[event.step_key][key] += value.value
            assert metadata["distribution"].value == "in-code"
    for stage in report.stages:
        counts = {**stage.counts, "dead_letters": stage.dead_letters, "retries": stage.retries}
        assert shown[stage.stage] == counts


def test_a_run_carries_batch_submission_and_provenance_as_tags(workspace: Workspace, instance: DagsterInstance) -> None:
    """The Dagster run names its submission, batch and generation, and the distribution of each stage type."""
    report = api.submit(workspace, "gated", engine="dagster")
    run = instance.get_runs()[0]
    assert run.tags[SUBMISSION_TAG] == report.submission.id
    assert run.tags[BATCH_TAG] == report.batches[0].id
    assert run.tags[GENERATION_TAG] == "1"
    assert run.tags["medical_kg/plugin.shout"] == "in-code"
    assert run.is_success


def test_values_are_not_written_by_dagster(workspace: Workspace) -> None:
    """Nothing but references passes between ops: Dagster's storage folder stays empty."""
    api.submit(workspace, "diamond", engine="dagster")
    storage = dagster_home(workspace) / "storage"
    assert [path for path in storage.rglob("*") if path.is_file()] == []


def test_telemetry_and_the_newsletter_dialog_are_off(workspace: Workspace, instance: DagsterInstance) -> None:
    """The workspace's dagster.yaml switches both off, and is not written over."""
    settings = dagster_home(workspace) / "dagster.yaml"
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    settings.write_text(settings.read_text() + "# mine\n")
    dagster_home(workspace)
    assert settings.read_text().endswith("# mine\n")


def test_a_run_started_by_hand_becomes_a_submission(workspace: Workspace, instance: DagsterInstance) -> None:
    """A launched job opens a submission and its first batch, with the launch's input, and settles it."""
    config = {"ops": {"open_batch": {"config": {"input": "x", "limit": 4, "tenant": "t"}}}}
    job = definitions(workspace).resolve_job_def("diamond")
    result = job.execute_in_process(run_config={**QUIET, **config}, instance=instance)
    (submission,) = workspace.ledger.submissions()
    assert submission.tenant == "t"
    assert submission.input == {"input": str(Path("x").absolute()), "limit": 4}
    first, second = workspace.ledger.batches(submission.id)
    assert (first.status, first.run_id, second.status) == ("completed", result.run_id, "pending")
    assert f"dagster run {result.run_id}" in {entry.actor for entry in workspace.ledger.history(submission.id)}
    assert api.resume(workspace, submission.id, engine="plain").submission.status == "completed"


def test_a_run_started_by_hand_may_wait(workspace: Workspace, instance: DagsterInstance) -> None:
    """A launched run whose gate is closed ends successfully, with its batch waiting and what follows skipped."""
    result = launch(workspace, instance, "gated")
    (submission,) = workspace.ledger.submissions()
    assert result.success
    assert submission.status == "waiting"
    assert {event.step_key for event in result.all_events if event.is_step_skipped} == {"shout"}


def test_a_run_of_a_batch_that_is_done_fails_visibly(workspace: Workspace, instance: DagsterInstance) -> None:
    """Launching a run for a batch that has nothing left to do fails in its first op and changes nothing."""
    report = api.submit(workspace, "diamond", engine="plain")
    before = workspace.ledger.history(report.submission.id)
    result = launch(workspace, instance, "diamond", tags={BATCH_TAG: report.batches[0].id})
    assert not result.success
    assert [event.step_key for event in result.get_step_failure_events()] == ["open_batch"]
    assert workspace.ledger.history(report.submission.id) == before


def test_a_run_of_a_batch_that_is_held_fails_visibly(workspace: Workspace, instance: DagsterInstance) -> None:
    """Launching a run for a batch that somebody else holds fails in its first op."""
    submission = open_submission(workspace, "diamond")
    batch = workspace.ledger.batches(submission.id)[0]
    workspace.ledger.claim(batch.id, "somebody else", lease_seconds=60)
    result = launch(workspace, instance, "diamond", tags={BATCH_TAG: batch.id})
    assert [event.step_key for event in result.get_step_failure_events()] == ["open_batch"]
    assert "somebody else" in result.get_step_failure_events()[0].step_failure_data.error_display_string


def test_a_run_for_an_older_claim_fails_visibly(workspace: Workspace, instance: DagsterInstance) -> None:
    """A run whose generation is not the batch's current one may not take it."""
    submission = open_submission(workspace, "diamond")
    batch = workspace.ledger.batches(submission.id)[0]
    result = launch(workspace, instance, "diamond", tags={BATCH_TAG: batch.id, GENERATION_TAG: "7"})
    assert [event.step_key for event in result.get_step_failure_events()] == ["open_batch"]


class Fragile(Whisper):
    """Cannot be opened while ``broken`` is set."""

    broken = True

    def open(self, ctx: Any) -> None:
        if type(self).broken:
            raise RuntimeError("no model")


def failing_job() -> Any:
    """The diamond job with a stage that fails; Dagster re-makes it for a re-execution."""
    return definitions(_failing[0]).resolve_job_def("diamond")


_failing: list[Workspace] = []


def test_a_failed_run_can_be_re_executed_from_its_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's re-execution from failure takes the failed batch up again and completes it."""
    monkeypatch.setattr(Fragile, "broken", True)
    workspace = make_workspace(tmp_path, DIAMOND.replace("number: 5", "number: 1"), whisper=Fragile)
    _failing[:] = [workspace]
    with open_instance(workspace) as instance:
        failed = failing_job().execute_in_process(run_config=QUIET, instance=instance, raise_on_error=False)
        (submission,) = workspace.ledger.submissions()
        assert submission.status == "failed"
        monkeypatch.setattr(Fragile, "broken", False)
        options = ReexecutionOptions.from_failure(failed.run_id, instance)
        with execute_job(
            reconstructable(failing_job), instance=instance, run_config=QUIET, reexecution_options=options
        ) as again:
            assert again.success
            steps = {event.step_key for event in again.all_events if event.is_step_success}
    assert steps == {"whisper", "tally", "close_batch"}
    assert workspace.ledger.submission(submission.id).status == "completed"


def test_every_valid_pipeline_becomes_a_job_and_a_wrong_one_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One wrong pipeline file is left out with its problems in the log; the others are there."""
    workspace = make_workspace(tmp_path, DIAMOND, GATED.replace("type: barrier", "type: barier"))
    names = {job.name for job in definitions(workspace).resolve_all_job_defs()}
    assert "diamond" in names
    assert "gated" not in names
    assert "barier" in caplog.text


def test_a_pipeline_that_was_asked_for_must_be_valid(tmp_path: Path) -> None:
    """Asking for certain pipelines raises when one of them is wrong."""
    workspace = make_workspace(tmp_path, DIAMOND, GATED.replace("type: barrier", "type: barier"))
    assert {job.name for job in definitions(workspace, pipelines=["diamond"]).resolve_all_job_defs()} == {"diamond"}
    with pytest.raises(PipelineInvalid, match="barier"):
        definitions(workspace, pipelines=["gated"])


def test_no_valid_pipeline_is_an_error(tmp_path: Path) -> None:
    """A code location without a single job says so instead of being silently empty."""
    with pytest.raises(NoPipelines):
        definitions(make_workspace(tmp_path), pipelines=[])


def test_a_failure_outside_any_stage_is_raised(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """When Dagster itself fails, the caller hears of it, and the batch is left ready for another try."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr("medical_kg.orchestration.dagster.runtime.execute_stage", refuse)
    with pytest.raises(DagsterRunFailed, match="disk on fire"):
        api.submit(workspace, "diamond", engine="dagster")


def test_a_job_is_built_once_per_plan(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """All batches of a submission use one job."""
    built: list[Any] = []

    def build(*args: Any) -> Any:
        built.append(args)
        return build_job(*args)

    monkeypatch.setattr("medical_kg.orchestration.dagster.engine.build_job", build)
    api.submit(workspace, "diamond", engine="dagster")
    assert len(built) == 1
    DagsterEngine(workspace).close()


def test_the_wiring_has_one_input_per_key_and_writer(workspace: Workspace) -> None:
    """Reads become inputs named by key and writer, order-only dependencies Nothing inputs, and all ends meet."""
    submission = open_submission(workspace, "gated")
    job = build_job(workspace, plan_of(workspace, submission.id))
    wired = {node.alias: set(inputs) for node, inputs in job.graph.dependencies.items()}
    assert wired == {
        "open_batch": set(),
        "feed": {"batch"},
        "barrier": {"after__feed"},
        "shout": {"words__from__feed", "after__barrier"},
        "whisper": {"words__from__feed"},
        "close_batch": {"done"},
    }


def test_every_pipeline_loads_into_one_code_location(workspace: Workspace) -> None:
    """Dagster takes all jobs together, as its UI does: their ops share no name, and a job is told from every other."""
    text = Path(workspace.root, "pipelines", "gated.yaml").read_text()
    for name in ("two-halves", "two_halves"):
        Path(workspace.root, "pipelines", f"{name}.yaml").write_text(text.replace("name: gated", f"name: {name}"))
    repository = definitions(workspace).get_repository_def()
    repository.load_all_definitions()
    assert {"diamond", "gated", "two_halves"} <= set(repository.job_names)


def test_names_are_made_fit_for_dagster_and_stay_unique() -> None:
    """Characters Dagster refuses become underscores, and no two ops share a name."""
    assert dagster_name("clinical-trials") == "clinical_trials"
    assert op_names(["a-b", "a_b", "open_batch"]) == {"a-b": "a_b", "a_b": "a_b_", "open_batch": "open_batch_"}


def test_the_default_factory_is_the_registry_filled_by_entry_points() -> None:
    """build_default_stage_factory gives what the installed distributions declare, under the settings given."""
    assert len(build_default_stage_factory().names()) >= 1
    blocked = build_default_stage_factory(PluginSettings(deny=("medical-kg",)))
    assert all(claim.origin.distribution != "medical-kg" for claim in blocked.claims() if claim.usable)


class Talks(Whisper):
    """Says a word of warning."""

    def open(self, ctx: Any) -> None:
        ctx.logger.warning("mind the %s", "gap")


def test_what_stages_log_is_in_the_log_of_a_run_started_by_hand(tmp_path: Path) -> None:
    """A warning of a stage is shown with the Dagster run that had it."""
    workspace = make_workspace(tmp_path, DIAMOND.replace("number: 5", "number: 1"), whisper=Talks)
    with open_instance(workspace) as instance:
        result = launch(workspace, instance, "diamond")
        said = [entry.user_message for entry in instance.all_logs(result.run_id)]
    assert "mind the gap" in said


def test_a_run_that_dagster_started_is_held_against_the_lock(tmp_path: Path) -> None:
    """With ``refuse`` a run from the launchpad whose plugins differ fails at its first op, and claims nothing."""
    opened = make_workspace(tmp_path, DIAMOND)
    submission = open_submission(opened, "diamond")
    (batch,) = opened.ledger.batches(submission.id)
    changed = make_workspace(tmp_path, DIAMOND)
    changed.installation.settings = PluginSettings(on_lock_mismatch="refuse")
    changed.installation.stages.add("feed", changed.installation.stages.get("feed").cls, version="2")
    with open_instance(changed) as instance:
        result = launch(changed, instance, "diamond", tags={BATCH_TAG: batch.id})
    (failure,) = (event.step_failure_data for event in result.get_step_failure_events())
    assert "LockMismatch: plugins differ from what submission" in failure.error_display_string
    assert opened.ledger.batch(batch.id) == batch
