"""``medical-kg run``: settings, dry run, the end of a run, exit codes, interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from medical_kg.cli.run import parse_settings
from medical_kg.orchestration.contract.errors import UsageError

Cli = Callable[..., Result]
Package = Callable[..., Path]
STAGES = "medical_kg.orchestration.stages"

SLOW = """
import pathlib, time
from medical_kg import NoConfig, Stage, StageMetadata

class SlowStage(Stage[NoConfig]):
    metadata = StageMetadata(stage_type="slow", version="1.0.0", description="Sleeps until told not to.")

    def run(self, ctx):
        if not pathlib.Path("hurry").exists():
            pathlib.Path("started").touch()
            time.sleep(120)
"""

FAILING = """
from medical_kg import NoConfig, Stage, StageMetadata

class FailStage(Stage[NoConfig]):
    metadata = StageMetadata(stage_type="fail", version="1.0.0", description="Fails.")

    def run(self, ctx):
        raise ValueError("no [power] today")
"""


def extended(feed: Path, name: str, stage_type: str) -> Path:
    text = feed.read_text().replace("name: feed", f"name: {name}")
    path = feed.with_name(f"{name}.yaml")
    path.write_text(text + f"  - {{name: last, type: {stage_type}, depends_on: [parse]}}\n")
    return path


def test_settings_are_yaml() -> None:
    """``--set`` values are read as pipeline files are: numbers, booleans, lists, quoted and plain text."""
    given = ["a.b=5", "a.c=no", "a.d=[1, x]", "a.e='5'", "a.f=", "a.g=x=y", "a.h=true", "a.i.j=0.5"]
    expected = {
        "a.b": 5,
        "a.c": "no",
        "a.d": [1, "x"],
        "a.e": "5",
        "a.f": None,
        "a.g": "x=y",
        "a.h": True,
        "a.i.j": 0.5,
    }
    assert parse_settings(given) == expected


@pytest.mark.parametrize("given", ["a.b", "ab=5", ".b=5", "a.=5", "=5", "a.b=[1"])
def test_a_setting_of_another_form_is_refused(given: str) -> None:
    """A setting that cannot be understood is named."""
    with pytest.raises(UsageError, match=r"--set"):
        parse_settings([given])


def test_a_dry_run_shows_the_plan_and_touches_nothing(cli: Cli, here: Path) -> None:
    """``--dry-run`` shows order, reads, policy and config with the overrides; no file is made, not even a folder."""
    result = cli("run", "auto", "--dry-run", "--set", "chunk.max_tokens=100", "--input", "nowhere")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()[4:]]
    assert [line[0] for line in lines] == [
        "ingest",
        "parse",
        "ir_validation",
        "chunk",
        "embed",
        "index",
        "extract",
        "kg",
    ]
    assert "max_tokens=100" in result.stdout
    assert "documents from ir_validation, chunks from chunk, embeddings from embed" in result.stdout
    assert list(here.iterdir()) == []


def test_a_dry_run_can_be_read_by_a_program(cli: Cli, gated: Path) -> None:
    """``--dry-run --json`` gives every stage with its origin, wiring, policy and config."""
    plan = json.loads(cli("run", gated, "--dry-run", "--json").stdout)
    assert [stage["stage"] for stage in plan["stages"]] == ["ingest", "gate_ready", "parse"]
    assert plan["stages"][2]["reads"]["payloads"] == ["ingest"]
    assert plan["stages"][1]["config"] == {"gate": "ready"}
    assert plan["stages"][0]["origin"].startswith("medical-kg ")
    assert "after gate_ready" in cli("run", gated, "--dry-run").stdout


@pytest.mark.parametrize("setting", ["chunk.max_tokens=many", "chnuk.max_tokens=5", "chunk.max_token=5"])
def test_a_wrong_override_runs_nothing(cli: Cli, here: Path, setting: str) -> None:
    """An override that does not fit is a problem of the pipeline: code 2, and nothing is written."""
    result = cli("run", "auto", "--input", here, "--set", setting)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "problem" in result.stderr
    assert list(here.iterdir()) == []


def test_a_run_ends_with_a_table_and_the_submission(cli: Cli, feed: Path, notes: Path) -> None:
    """The table has stage, type, status, counts, dead letters, retries and seconds; progress is on standard error."""
    result = cli("run", feed, "--input", notes, "--engine", "plain")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[0] == "stage"
    assert lines[1].split()[:5] == ["ingest", "ingest", "completed", "3", "payloads"]
    assert lines[2].split()[:5] == ["parse", "parse", "completed", "3", "documents"]
    assert "completed, 1 batch" in result.stdout
    assert "parse completed, 3 documents" in result.stderr
    assert "Warning" not in result.stderr


def test_limit_and_tenant_reach_the_submission(cli: Cli, feed: Path, notes: Path) -> None:
    """``--limit`` takes so many records; the submission is the tenant's."""
    options = ("--engine", "plain", "--limit", "2", "--tenant", "lab", "--json")
    report = json.loads(cli("run", feed, "--input", notes, *options).stdout)
    assert (report["submission"]["tenant"], report["stages"][0]["counts"]) == ("lab", {"payloads": 2})


def test_dead_letters_are_a_warning_and_with_strict_code_4(cli: Cli, feed: Path, notes: Path) -> None:
    """A run with dead letters is done (0) and says how many and where to see them; ``--strict`` makes that 4."""
    (notes / "odd.bin").write_bytes(b"\0\1\2\xff" * 10)
    result = cli("run", feed, "--input", notes, "--engine", "plain")
    assert result.exit_code == 0
    assert (
        "Warning: 1 item could not be processed and was left out; see medical-kg submissions dead-letters s"
        in result.stderr
    )
    strict = cli("run", feed, "--input", notes, "--engine", "plain", "--strict")
    assert strict.exit_code == 4
    as_json = json.loads(cli("run", feed, "--input", notes, "--engine", "plain", "--strict", "--json").stdout)
    assert (as_json["exit_code"], as_json["dead_letters"]) == (4, 1)


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_a_failed_stage_is_code_1_and_told_once(
    cli: Cli, feed: Path, notes: Path, package: Package, engine: str
) -> None:
    """When a stage fails, its error is told once, with what to do, and the exit code is 1."""
    package("fail-kit", {STAGES: {"fail": "fail_kit:FailStage"}}, FAILING)
    result = cli("run", extended(feed, "failing", "fail"), "--input", notes, "--engine", engine)
    assert result.exit_code == 1
    assert result.output.count("no [power] today") == 1
    assert "Error: stage last failed in batch" in result.stderr
    assert "go on with: medical-kg submissions resume s" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("words", "said"), [(["--input", "nowhere"], "does not exist"), ([], "no input was given")])
def test_a_missing_input_is_code_2(cli: Cli, feed: Path, words: list[str], said: str) -> None:
    """A stage that finds its input missing or empty makes it the caller's error."""
    result = cli("run", feed, *words, "--engine", "plain")
    assert result.exit_code == 2
    assert result.stderr.count(said) == 1


def test_an_empty_folder_is_code_2(cli: Cli, feed: Path, tmp_path: Path) -> None:
    """No documents is an error, not a success."""
    (tmp_path / "empty").mkdir()
    assert cli("run", feed, "--input", tmp_path / "empty", "--engine", "plain").exit_code == 2


def test_waiting_is_code_3_with_the_command_that_ends_it(cli: Cli, gated: Path, notes: Path, tmp_path: Path) -> None:
    """A waiting run says what it waits for and the very commands to type, for the workspace it was started in."""
    place = tmp_path / "work space"
    result = cli("--workspace", place, "run", gated, "--input", notes, "--engine", "plain")
    assert result.exit_code == 3
    assert "waits for converted equals 'yes' until 20" in result.stderr
    assert f"  medical-kg --workspace '{place}' submissions signal s" in result.stderr
    assert " converted yes\n" in result.stderr
    assert f"go on with: medical-kg --workspace '{place}' submissions resume s" in result.stderr


def test_the_same_input_again_goes_on_with_what_is_unfinished(cli: Cli, gated: Path, notes: Path) -> None:
    """An unfinished submission is resumed, not doubled."""
    for _ in range(2):
        cli("run", gated, "--input", notes, "--engine", "plain")
    assert len(json.loads(cli("submissions", "list", "--json").stdout)) == 1


def test_unchanged_records_are_told_with_the_way_to_process_them(cli: Cli, feed: Path, notes: Path) -> None:
    """How many were skipped is said plainly after the run and by ``submissions show``; nothing of it at the first run."""
    first = cli("run", feed, "--input", notes, "--engine", "plain")
    assert "unchanged" not in first.stdout
    told = "2 input records skipped as unchanged, 1 new or changed, 0 removed\n"
    (notes / "note1.txt").write_text("Note 1\n\nIt says something else now.\n")
    again = cli("run", feed, "--input", notes, "--engine", "plain")
    assert told + "to process those that are unchanged as well: run it with --full-refresh\n" in again.stdout
    ident = json.loads(cli("submissions", "list", "--json").stdout)[0]["id"]
    assert told in cli("submissions", "show", ident).stdout
    assert json.loads(cli("submissions", "show", ident, "--json").stdout)["sweep"]["unchanged"] == 2
    full = cli("run", feed, "--input", notes, "--engine", "plain", "--full-refresh", "--json")
    assert json.loads(full.stdout)["sweep"]["changed"] == 3


def test_too_many_that_are_gone_are_a_warning(cli: Cli, notes: Path) -> None:
    """It says why and what to type; ``--max-removed`` removes them, and is a number or a percentage."""
    hashing = ("--set", "chunk.embedder=hashing", "--set", "embed.embedder=hashing")
    words = ("run", "auto", "--input", notes, "--engine", "plain", *hashing)
    cli(*words)
    for name in ("note1.txt", "note2.txt"):
        (notes / name).unlink()
    kept = cli(*words)
    assert "1 input record skipped as unchanged, 0 new or changed, 0 removed\n" in kept.stdout
    assert "Warning: 2 of 3 records seen before are absent from the source now" in kept.stderr
    assert "run again with --max-removed 2, or raise it in the pipeline" in kept.stderr
    assert cli(*words, "--max-removed", "lots").exit_code == 2
    assert "0 new or changed, 2 removed\n" in cli(*words, "--max-removed", "2").stdout


def test_verbose_logs_events_instead_of_progress(cli: Cli, feed: Path, notes: Path) -> None:
    """With ``-v`` the log tells every event, and progress does not tell it again."""
    result = cli("-v", "run", feed, "--input", notes, "--engine", "plain")
    assert "INFO StageCompleted" in result.stderr
    assert "parse completed, " not in result.stderr


def test_a_json_log_is_json_on_every_line(cli: Cli, feed: Path, notes: Path) -> None:
    """With ``--log-format json`` standard error carries one object a line, hints included."""
    (notes / "odd.bin").write_bytes(b"\0\1\2\xff" * 10)
    result = cli("--log-format", "json", "run", feed, "--input", notes, "--engine", "plain")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {"StageCompleted", "BatchSettled"} <= {line["event"]["name"] for line in lines if "event" in line}
    assert any(line["message"].startswith("Warning: 1 item") for line in lines)


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_ctrl_c_is_code_130_and_loses_nothing(
    program: Any, here: Path, feed: Path, notes: Path, package: Package, engine: str
) -> None:
    """Interrupted, a run ends with 130 and the command to go on with; resumed, it repeats no finished stage."""
    folder = package("slow-kit", {STAGES: {"slow": "slow_kit:SlowStage"}}, SLOW)
    path = extended(feed, "slowly", "slow")
    child = subprocess.Popen(
        program.command("run", path, "--input", notes, "--engine", engine),
        cwd=here,
        env=program.environment(PYTHONPATH=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (here / "started").exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err
    resume = err.split("go on with: medical-kg ")[1].splitlines()[0].split()
    (here / "hurry").touch()
    again = program(*resume, "--engine", engine, PYTHONPATH=str(folder))
    assert again.returncode == 0, again.stderr
    assert "parse reused" in again.stderr
    assert "last completed" in again.stderr
