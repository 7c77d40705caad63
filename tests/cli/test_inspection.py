"""``submissions explain`` and ``pipelines diff`` as a person sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]


@pytest.fixture
def waiting(cli: Cli, gated: Path, notes: Path) -> str:
    """The id of a submission that waits for ``converted=yes``."""
    report = json.loads(cli("run", gated, "--input", notes, "--engine", "plain", "--json").stdout)
    assert report["exit_code"] == 3
    return report["submission"]["id"]


def edit(path: Path, old: str, new: str) -> None:
    before = path.read_text(encoding="utf-8")
    assert old in before
    path.write_text(before.replace(old, new), encoding="utf-8")


def test_explain_tells_per_stage_what_decided(cli: Cli, waiting: str) -> None:
    """Verdict and reason on one line per stage, times of a wait among them."""
    result = cli("submissions", "explain", waiting)
    assert result.exit_code == 0
    head, _, *rows, _ = result.stdout.splitlines()
    assert head == f"batch {waiting}-0001 waiting"
    told = {row.split()[0]: row for row in rows}
    assert "for the first time in this batch" in told["ingest"]
    assert "converted equals 'yes' is missing; it waits since " in told["gate_ready"]
    assert told["gate_ready"].endswith("Z, then it fails")
    assert "gate_ready gave nothing (waits)" in told["parse"]


def test_explain_of_one_stage_as_json(cli: Cli, waiting: str, gated: Path) -> None:
    """The same facts for programs, changes with both values."""
    edit(gated, "adapter: files", "adapter: auto")
    edit(gated, "timeout_seconds: 900", "timeout_seconds: 60")
    result = cli("submissions", "explain", f"{waiting}-0001", "gate_ready", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    assert (said["submission"], said["pipeline_changed"], said["problem"]) == (waiting, True, None)
    [batch] = said["batches"]
    [stage] = batch["stages"]
    assert (stage["verdict"], stage["wait"]["missing"]) == ("waits", ["converted equals 'yes'"])
    assert [change["told"] for change in stage["changes"]] == ["condition ready changed"]


def test_explain_says_that_the_file_was_changed_and_is_invalid(cli: Cli, waiting: str, gated: Path) -> None:
    """What the ledger has is told, then what is wrong with the file; no traceback, exit code 2."""
    edit(gated, "type: parse", "type: prase")
    result = cli("submissions", "explain", waiting)
    assert result.exit_code == 2
    assert "converted equals 'yes' is missing" in result.stdout
    assert "the pipeline as it is now cannot be compared" in result.stderr
    assert "did you mean 'parse'?" in result.stderr
    assert "Traceback" not in result.output
    again = cli("submissions", "explain", waiting, "--json")
    assert again.exit_code == 2
    assert "prase" in json.loads(again.stdout)["problem"]
    assert json.loads(again.stderr)["error"]["type"] == "PipelineInvalid"


def test_explain_notes_a_file_that_has_changed(cli: Cli, waiting: str, gated: Path) -> None:
    """On standard error, as the table compares with the file as it is now."""
    edit(gated, 'equals: "yes"', 'equals: "no"')
    assert f"the file {gated} was changed since" in cli("submissions", "explain", waiting).stderr


@pytest.mark.parametrize("words", [["s000"], ["ID", "gate"], ["ID", "nix"]])
def test_what_is_not_there_is_code_2(cli: Cli, waiting: str, words: list[str]) -> None:
    """An unknown batch or stage is a wrong request."""
    result = cli("submissions", "explain", *[waiting if word == "ID" else word for word in words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "in the ledger" in result.stderr


def test_a_wait_without_an_end_says_so(cli: Cli, gated: Path, notes: Path) -> None:
    """No deadline, no time in the reason."""
    edit(gated, ", timeout_seconds: 900", "")
    ident = json.loads(cli("run", gated, "--input", notes, "--engine", "plain", "--json").stdout)["submission"]["id"]
    assert "Z, without an end" in cli("submissions", "explain", ident).stdout


def test_diff_tells_what_differs_and_what_runs_again(cli: Cli, gated: Path, here: Path) -> None:
    """One line per stage; 0 unless ``--exit-code`` asks for diff's 1."""
    new = here / "new.yaml"
    new.write_text(gated.read_text(encoding="utf-8").replace("name: parse,", "name: read,"), encoding="utf-8")
    edit(new, "resume_stage: parse", "resume_stage: read")
    edit(new, "adapter: files", "adapter: auto")
    edit(new, 'version: "1"', 'version: "2"')
    result = cli("pipelines", "diff", gated, new)
    assert (result.exit_code, result.stderr) == (0, "")
    first, _, *rows = result.stdout.splitlines()
    assert first == "pipeline.version: 1 → 2"
    told = {row.split()[0]: row for row in rows}
    assert "config.adapter: files → auto" in told["ingest"]
    assert "looks like parse under another name" in told["read"]
    assert cli("pipelines", "diff", gated, new, "--exit-code").exit_code == 1
    assert cli("pipelines", "diff", gated, gated, "--exit-code").exit_code == 0
    assert cli("pipelines", "diff", gated, gated).stderr == "both come to the same plan\n"


def test_a_stage_moved_into_a_worker_process_is_not_run_again(cli: Cli, gated: Path, here: Path) -> None:
    """Where a stage runs is told, and decides no output: the fingerprint is the same in both places."""
    new = here / "new.yaml"
    new.write_text(gated.read_text(encoding="utf-8"), encoding="utf-8")
    edit(new, "adapter: files}}", "adapter: files}, environment: process}")
    ingest = json.loads(cli("pipelines", "diff", gated, new, "--json").stdout)["stages"][0]
    assert [change["told"] for change in ingest["changes"]] == ["environment (not there) → process"]
    assert (ingest["status"], ingest["rerun"]) == ("changed", "no")


def test_diff_as_json(cli: Cli, gated: Path, here: Path) -> None:
    """The same for programs."""
    new = here / "new.yaml"
    new.write_text(gated.read_text(encoding="utf-8"), encoding="utf-8")
    edit(new, "adapter: files", "adapter: auto")
    said = json.loads(cli("pipelines", "diff", gated, new, "--json").stdout)
    assert (said["equal"], said["changes"]) == (False, [])
    ingest = said["stages"][0]
    assert (ingest["stage"], ingest["status"], ingest["rerun"]) == ("ingest", "changed", "no")
    assert ingest["changes"][0]["told"] == "config.adapter: files → auto"


def test_diff_of_what_cannot_be_compared_is_code_2(cli: Cli, gated: Path, here: Path) -> None:
    """A file that is not there, or has problems, is a wrong request."""
    broken = here / "broken.yaml"
    broken.write_text("name: broken\n", encoding="utf-8")
    for other in (broken, here / "gone.yaml"):
        result = cli("pipelines", "diff", gated, other)
        assert (result.exit_code, result.stdout) == (2, "")
        assert other.stem in result.stderr
