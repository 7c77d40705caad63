"""``medical-kg workspace backup``, and going on from what it made."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]


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
