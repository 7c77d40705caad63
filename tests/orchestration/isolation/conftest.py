"""A workspace with the odd plugin installed, its pipelines, and what came of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributions import STAGES, distribution

from medical_kg.orchestration import Workspace, submit
from medical_kg.orchestration.api import Report

HERE = Path(__file__).parent

TYPES = {
    "odd-feed": "Feed",
    "odd-shout": "Shout",
    "odd-chorus": "Chorus",
    "odd-split": "Split",
    "odd-pair": "Pair",
    "odd-handled": "Handled",
    "odd-sink": "Sink",
    "odd-keeper": "Keeper",
    "odd-tally": "Tally",
    "odd-gate": "Gate",
    "odd-reading": "Reading",
    "odd-asking": "Asking",
}


@pytest.fixture
def odd_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The odd plugin, installed; its module's name. Whatever a test imports of it is forgotten afterwards."""
    site = tmp_path / "site"
    stages = "".join(f"{name} = odd_stages:{cls}\n" for name, cls in TYPES.items())
    distribution(site, "odd", f"[{STAGES}]\n{stages}[medical_kg.readers]\nodd = odd_stages:Reader\n")
    for folder in (HERE, site):
        monkeypatch.syspath_prepend(str(folder))
    yield "odd_stages"
    sys.modules.pop("odd_stages", None)


@dataclass
class Place:
    """A workspace and the ways to run things in it."""

    workspace: Workspace

    @property
    def root(self) -> Path:
        return self.workspace.root

    def write(self, text: str, name: str = "odd") -> Path:
        folder = self.root / "pipelines"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.yaml"
        path.write_text(f'name: {name}\nversion: "1"\n{text}', encoding="utf-8")
        return path

    def run(self, text: str, name: str = "odd", **more: Any) -> Report:
        self.write(text, name)
        return submit(self.workspace, name, **{"engine": "plain", **more})

    def values(self, report: Report, stage: str) -> dict[str, bytes]:
        """The stored bytes of what a stage wrote in the first batch, by key."""
        results = self.workspace.ledger.results(report.batches[0].id)
        get = self.workspace.checkpoints.get
        return {key: get(ref.digest, ref.suffix) for key, ref in results[stage].outputs.items()}

    def letters(self, report: Report) -> dict[str, tuple[str, str]]:
        """Error and message of each dead letter, by item."""
        found = self.workspace.ledger.dead_letters(report.submission.id)
        return {one.item_id: (one.error, one.message) for one in found}


@pytest.fixture
def place(odd_plugin: str, tmp_path: Path) -> Iterator[Place]:
    """A workspace in which the odd plugin is installed."""
    (tmp_path / "w").mkdir()
    workspace = Workspace(tmp_path / "w")
    yield Place(workspace)
    workspace.close()


@pytest.fixture
def settings(tmp_path: Path, odd_plugin: str) -> Iterator[Any]:
    """Open a workspace with a settings file."""
    opened: list[Workspace] = []

    def open_with(text: str) -> Place:
        root = tmp_path / "w"
        root.mkdir(exist_ok=True)
        (root / "medical_kg.toml").write_text(text, encoding="utf-8")
        opened.append(Workspace(root))
        return Place(opened[-1])

    yield open_with
    for workspace in opened:
        workspace.close()
