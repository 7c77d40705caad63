"""Two versions of a pipeline: what differs, and what a batch in flight runs again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import DIAMOND, GATED, make_workspace

from medical_kg.orchestration import PipelineDiff, api, diff_pipelines
from medical_kg.orchestration.contract.errors import PipelineInvalid, PipelineNotFound
from medical_kg.orchestration.inspection.diff import StageDiff
from medical_kg.orchestration.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, DIAMOND, GATED)


def diff(workspace: Workspace, *edits: tuple[str, str], of: str = DIAMOND) -> PipelineDiff:
    """The difference that edits of a pipeline make."""
    for old, new in edits:
        assert old in of
        of = of.replace(old, new)
    path = workspace.root / "new.yaml"
    path.write_text(of, encoding="utf-8")
    return diff_pipelines(workspace, of.split()[1], str(path))


def by_name(found: PipelineDiff) -> dict[str, StageDiff]:
    return {one.stage: one for one in found.stages}


def test_comments_and_layout_make_no_difference(workspace: Workspace) -> None:
    """What comes to the same plan is equal."""
    found = diff(workspace, ("stages:", "# here they are\nstages:"), ("config: {number: 5}", "config: {number:   5}"))
    assert found.equal
    assert {(one.status, one.rerun) for one in found.stages} == {("unchanged", "no")}


def test_the_version_and_batch_size_are_told_and_run_nothing_again(workspace: Workspace) -> None:
    """They are of the pipeline, not of a stage."""
    found = diff(workspace, ('"1"', '"2"'), ("batch_size: 2", "batch_size: 3"))
    assert list(map(str, found.changes)) == ["pipeline.version: 1 → 2", "pipeline.batch_size: 2 → 3"]
    assert not found.equal
    assert {one.rerun for one in found.stages} == {"no"}


def test_a_changed_config_runs_the_stage_again_and_perhaps_what_follows(workspace: Workspace) -> None:
    """Field by field; downstream by dataflow only if the output comes out otherwise, side branches not."""
    found = by_name(diff(workspace, ("bad: [w3]", "bad: [w1], number: 7")))
    shout, tally = found["shout"], found["tally"]
    assert (shout.status, shout.rerun) == ("changed", "yes")
    assert shout.reason == 'config.number: 3 → 7; config.bad: ["w3"] → ["w1"]'
    assert (tally.status, tally.rerun) == ("unchanged", "if its input changes")
    assert tally.reason == "shout may give other output; the same output is not worked on again"
    assert found["whisper"] == StageDiff("whisper", "unchanged")


def test_another_type_runs_again(workspace: Workspace) -> None:
    """The type is part of the fingerprint."""
    found = by_name(
        diff(
            workspace,
            ("shout, type: shout", "shout, type: whisper"),
            ("whisper, type: whisper", "whisper, type: shout"),
            of=GATED,
        )
    )
    assert list(map(str, found["shout"].changes)) == ["type shout → whisper"]
    assert found["shout"].rerun == "yes"


def test_what_a_stream_stage_gave_is_fixed(workspace: Workspace) -> None:
    """Its config counts for the batches it feeds from now on."""
    feed = by_name(diff(workspace, ("number: 5", "number: 6")))["feed"]
    assert (feed.status, feed.rerun) == ("changed", "no")
    assert feed.reason.startswith("what it gave a batch is fixed for that batch")


def test_a_policy_runs_nothing_again(workspace: Workspace) -> None:
    """Another policy, or one that says something else, is told and does no more."""
    policies = "policies:\n  default: {max_attempts: 3}\n  patient: {max_attempts: 9}\n"
    (workspace.root / "resilience.yaml").write_text(policies, encoding="utf-8")
    found = by_name(diff(workspace, ("name: shout, type: shout", "name: shout, policy: patient, type: shout")))
    assert [change.part for change in found["shout"].changes] == ["policy"]
    assert (found["shout"].status, found["shout"].rerun) == ("changed", "no")
    other = workspace.root / "elsewhere"
    other.mkdir()
    (other / "resilience.yaml").write_text("policies:\n  default: {max_attempts: 7}\n", encoding="utf-8")
    (other / "diamond.yaml").write_text(DIAMOND, encoding="utf-8")
    found = by_name(diff_pipelines(workspace, "diamond", str(other / "diamond.yaml")))
    assert "policy.max_attempts: " in str(found["shout"].changes[0])
    assert found["shout"].rerun == "no"


def test_wiring_and_order_are_told_apart(workspace: Workspace) -> None:
    """A read from elsewhere may be other input; mere order is not."""
    moved = by_name(diff(workspace, ("name: whisper, type: whisper, depends_on: [feed]", "name: whisper, type: whisper, depends_on: [shout]")))  # fmt: skip
    assert list(map(str, moved["whisper"].changes)) == ["order (not there) → shout"]
    assert moved["whisper"].rerun == "no"
    renamed = by_name(diff(workspace, ("name: shout", "name: cry"), ("[shout, whisper]", "[cry, whisper]")))
    assert (renamed["tally"].rerun, renamed["tally"].reason) == ("if its input changes", "wiring.upper: shout → cry")


def test_an_added_stage_that_looks_like_a_removed_one_is_pointed_out(workspace: Workspace) -> None:
    """Type, config and conditions are the same; it runs all the same, as results go by name."""
    found = by_name(diff(workspace, ("name: shout", "name: cry"), ("[shout, whisper]", "[cry, whisper]")))
    assert (found["cry"].status, found["cry"].rerun, found["cry"].looks_like) == ("added", "yes", "shout")
    assert (found["shout"].status, found["shout"].rerun) == ("removed", "no")
    changed = by_name(diff(workspace, ("name: shout", "name: cry"), ("[w3]", "[]"), ("[shout, whis", "[cry, whis")))
    assert changed["cry"].looks_like == ""
    twice = "\n  - {name: cry, type: shout, depends_on: [shout], config: {bad: [w3]}}\n  - {name: whisper,"
    beside = by_name(diff(workspace, ("\n  - {name: whisper,", twice), ("[shout, whisper]", "[cry, whisper]")))
    assert (beside["cry"].status, beside["cry"].looks_like) == ("added", "")


def test_what_it_foretells_comes_true(tmp_path: Path) -> None:
    """Resumed with the new version, a batch in flight runs again what the difference says, and nothing else."""
    workspace = make_workspace(tmp_path, GATED)
    ident = api.submit(workspace, "gated", engine="plain").submission.id
    path = tmp_path / "pipelines" / "gated.yaml"
    old, new = (
        tmp_path / "old.yaml",
        GATED.replace("whisper, depends_on: [feed]", "whisper, depends_on: [feed], config: {number: 9}"),
    )
    old.write_text(GATED, encoding="utf-8")
    path.write_text(new, encoding="utf-8")
    told = {one.stage for one in diff_pipelines(workspace, str(old), "gated").stages if one.rerun == "yes"}
    api.signal(workspace, ident, "open")
    api.resume(workspace, ident, engine="plain")
    again = {entry.stage for entry in workspace.ledger.history(ident) if entry.event == "stage runs again"}
    assert again == told == {"whisper"}


def test_what_cannot_be_compared_is_refused(workspace: Workspace) -> None:
    """A file that is not there, and one with problems, are named."""
    with pytest.raises(PipelineNotFound, match="diamont"):
        diff_pipelines(workspace, "diamont", "diamond")
    with pytest.raises(PipelineInvalid, match=r"new\.yaml: 1 problem"):
        diff(workspace, ("type: shout", "type: shoot"))
