"""``medical-kg workspace backup``, and going on from what it made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import migrate_to
from typer.testing import Result

from medical_kg.orchestration.ledger.tables import SCHEMA

Cli = Callable[..., Result]
HASHING = ("--set", "chunk.embedder=hashing", "--set", "embed.embedder=hashing")


@pytest.mark.parametrize("engine", ["plain", "dagster"])
@pytest.mark.parametrize("name", ["kg", "kg.tar.gz"])
def test_a_restored_workspace_resumes_what_waited(
    cli: Cli, gated: Path, notes: Path, here: Path, tmp_path: Path, engine: str, name: str
) -> None:
    """Backed up while waiting, the workspace lost, restored as written: the signal wakes it, nothing runs twice."""
    ran = json.loads(cli("run", gated, "--input", notes, "--engine", engine, "--json").stdout)
    submission = ran["submission"]["id"]
    target = tmp_path / name
    result = cli("workspace", "backup", target)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{target}: the database, 1 checkpoint, ")
    shutil.rmtree(here / ".medical-kg")
    shutil.rmtree(notes)  # so that a stage that ran again would find nothing
    if target.is_dir():
        shutil.copytree(target, here / ".medical-kg")
    else:
        (here / ".medical-kg").mkdir()
        subprocess.run(["tar", "-xf", target, "-C", here / ".medical-kg"], check=True)
    assert cli("submissions", "signal", submission, "converted", "yes").exit_code == 0
    done = json.loads(cli("submissions", "resume", submission, "--engine", engine, "--json").stdout)
    assert done["submission"]["status"] == "completed"
    counts = {stage["stage"]: stage["counts"] for stage in done["stages"]}
    assert counts["parse"]["documents"] > 0


def test_a_backup_tells_what_is_wrong(cli: Cli, gated: Path, notes: Path, here: Path, tmp_path: Path) -> None:
    """What is damaged is left out and named, with exit code 1; what is gone is counted."""
    cli("run", gated, "--input", notes, "--engine", "plain")
    [checkpoint] = (path for path in here.glob(".medical-kg/checkpoints/??/*") if path.is_file())
    checkpoint.write_bytes(b"x")
    result = cli("workspace", "backup", tmp_path / "one")
    assert result.exit_code == 1
    assert "left out: checkpoint " in result.stderr
    checkpoint.unlink()
    result = cli("workspace", "backup", tmp_path / "two")
    assert result.exit_code == 0
    assert "1 checkpoint that the ledger mentions" in result.stderr
    told = json.loads(cli("workspace", "backup", tmp_path / "three", "--json").stdout)
    assert (told["target"], told["absent"], told["damaged"]) == (str(tmp_path / "three"), 1, [])


def test_a_backup_of_nothing_is_refused(cli: Cli, tmp_path: Path) -> None:
    """Without a workspace there is one clear message, exit code 2, and no target."""
    result = cli("workspace", "backup", tmp_path / "one")
    assert result.exit_code == 2
    assert not (tmp_path / "one").exists()


def test_pruned_results_are_told_where_they_are_asked_for(cli: Cli, feed: Path, notes: Path, here: Path) -> None:
    """A dry run and the pruning name number and bytes; afterwards the submission says what went, when and by whom."""
    ran = json.loads(cli("run", feed, "--input", notes, "--engine", "plain", "--json").stdout)
    submission = ran["submission"]["id"]
    for path in here.glob(".medical-kg/checkpoints/??/*"):
        os.utime(path, (0, 0))
    would = cli("workspace", "prune", "--older-than", "0s", "--dry-run")
    assert would.exit_code == 0, would.stderr
    assert would.stdout.startswith("would prune what was finished before ")
    assert "1 submission would no longer have stored results" in would.stderr
    assert "checkpoints:   2, " in would.stdout
    done = cli("workspace", "prune", "--older-than", "0s", "--compact")
    assert "checkpoints:   2, " in done.stdout
    assert "databases are " in done.stdout
    shown = cli("submissions", "show", submission)
    assert "stored results of 1 batch were pruned 2" in shown.stderr
    assert json.loads(cli("submissions", "show", submission, "--json").stdout)["pruned"] == [f"{submission}-0001"]
    said = json.loads(cli("workspace", "prune", "--json").stdout)
    assert (said["checkpoints"], said["runs"], said["submissions"]) == ({"number": 0, "size": 0}, 0, [])


def test_an_age_that_is_none_is_refused(cli: Cli, here: Path) -> None:
    """On the command line and in the settings, with an example; nothing is pruned."""
    (here / ".medical-kg").mkdir()
    result = cli("workspace", "prune", "--older-than", "long")
    assert (result.exit_code, "'long' is no age; write a number and a unit, e.g. 30d" in result.stderr) == (2, True)
    (here / ".medical-kg" / "medical_kg.toml").write_text('[prune]\nolder_than = "1y"\n')
    result = cli("workspace", "prune")
    assert result.exit_code == 2
    assert "[prune] older_than" in result.stderr
    assert "'1y' is no age" in result.stderr


def test_an_upgrade_tells_what_is_due_and_does_it(cli: Cli, notes: Path, here: Path) -> None:
    """``--check`` ends with 1 while something is due; done, it tells each part once; then nothing is."""
    assert cli("run", "auto", "--input", notes, "--engine", "plain", *HASHING).exit_code == 0
    result = cli("workspace", "upgrade", "--check")
    assert (result.exit_code, result.stdout.partition(":")[0]) == (0, "nothing is due")
    assert all(f"{part} " in result.stdout for part in ("ledger", "index", "graph"))
    (here / "old" / ".medical-kg").mkdir(parents=True)
    migrate_to(f"sqlite:///{here / 'old' / '.medical-kg' / 'medical-kg.db'}", "0002")
    old = ("--workspace", here / "old" / ".medical-kg", "workspace", "upgrade")
    due = cli(*old, "--check")
    assert (due.exit_code, due.stdout) == (1, f"tenant default: ledger 0002 to {SCHEMA} is due\n")
    assert json.loads(cli(*old, "--check", "--json").stdout) == [
        {"tenant": "default", "part": "ledger", "found": "0002", "version": SCHEMA, "due": True}
    ]
    done = cli(*old)
    assert (done.exit_code, done.stdout) == (0, f"tenant default: ledger 0002 to {SCHEMA} done\n")
    assert cli(*old, "--check").stdout == f"nothing is due: ledger {SCHEMA}\n"
