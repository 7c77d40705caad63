"""Putting the hostile packages on a path as an installer leaves them, and seeing what each stage type does to a run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributions import distribution

from medical_kg.orchestration import api
from medical_kg.orchestration.contract.errors import PipelineInvalid
from medical_kg.orchestration.workspace import Workspace

HERE = Path(__file__).parent
PACKAGES = ("bystander", "hostile", "twin", "old")
SETTINGS = "[environments.small]\nmemory_mb = 400\n"
POLICIES = "policies:\n  default: {max_attempts: 1}\n  hasty: {max_attempts: 1, timeout_seconds: 1}\n"

PIPELINE = """\
name: row
version: "1"
stages:
  - {name: feed, type: bystander-feed}
  - {name: hostile, type: %s, depends_on: [feed]%s}
  - {name: beside, type: bystander-copy, depends_on: [feed]}
"""

INNOCENT = """\
name: innocent
version: "1"
stages:
  - {name: feed, type: bystander-feed}
  - {name: beside, type: bystander-copy, depends_on: [feed]}
"""


def install(site: Path) -> Path:
    """Write every package into a folder of modules, with its metadata."""
    for package in PACKAGES:
        project = tomllib.loads((HERE / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = [
            f"[{door}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for door, entries in project["entry-points"].items()
        ]
        requires = tuple(project["dependencies"])
        distribution(site, project["name"], "\n".join(lines), version=project["version"], requires=requires)
        shutil.copytree(HERE / package / "src", site, dirs_exist_ok=True)
    return site


def workspace_folder(folder: Path) -> Path:
    """Make a workspace with the innocent pipeline in it."""
    (folder / "pipelines").mkdir(parents=True)
    (folder / "medical_kg.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "pipelines" / "resilience.yaml").write_text(POLICIES, encoding="utf-8")
    (folder / "pipelines" / "innocent.yaml").write_text(INNOCENT, encoding="utf-8")
    return folder


def write_row(folder: Path, stage_type: str, more: str = "") -> None:
    """Write the pipeline with a hostile stage between good ones."""
    (folder / "pipelines" / "row.yaml").write_text(PIPELINE % (stage_type, more), encoding="utf-8")


@dataclass(frozen=True)
class Seen:
    """What came of a run: how, and every word about it that reaches the operator."""

    verdict: str
    words: str
    beside: str


def run_row(folder: Path, engine: str = "plain") -> Seen:
    """Run the pipeline in this process."""
    with closing(Workspace(folder)) as workspace:
        try:
            report = api.submit(workspace, "row", engine=engine)
        except PipelineInvalid as error:
            return Seen("refused", str(error), "")
        return seen(workspace, report)


def seen(workspace: Workspace, report: Any) -> Seen:
    """Return what the ledger says of a run's only batch."""
    (batch,) = report.batches
    results = workspace.ledger.results(batch.id)
    letters = workspace.ledger.dead_letters(report.submission.id)
    hostile, beside = results["hostile"], results.get("beside")
    verdict = {"failed": "stage", "completed": "item" if letters else "none"}[hostile.status]
    words = [f"{letter.item_id}: {letter.error}: {letter.message}" for letter in letters]
    return Seen(verdict, "\n".join([*words, hostile.error or ""]), copies(workspace, beside))


def copies(workspace: Workspace, record: Any) -> str:
    """Return what the good stage gave, or how it stands."""
    if record is None or record.status != "completed":
        return "did not run" if record is None else str(record.status)
    ref = record.outputs["copies"]
    lines = workspace.checkpoints.get(ref.digest, ref.suffix).decode().splitlines()
    return ", ".join(f"{word['id']} {word['notes']['seen']}" for word in map(json.loads, lines))


def program(
    site: Path, folder: Path, *words: str, wait: float | None = 120, limit: int = 0
) -> tuple[int | None, str, str]:
    """Run the command line as a program; None for the code of one that was killed after ``wait`` seconds."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MEDICAL_KG", "COV"))}
    script = "from medical_kg.cli import main; main()"
    if limit:
        script = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit})); {script}"
    command = [sys.executable, "-c", script, "--workspace", str(folder), *words]
    process = subprocess.Popen(
        command,
        env={**ours, "PYTHONPATH": str(site)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=wait)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return None, out, err
    return process.returncode, out, err
