"""Calling the command line as a person would, and packages made up for a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner, Result

from medical_kg.cli.app import app

Cli = Callable[..., Result]
Package = Callable[..., Path]


FEED = """
name: NAME
version: "1"
stages:
  - {name: ingest, type: ingest, config: {adapter: files}}
  - {name: parse, type: parse, depends_on: [ingest]}
"""

GATED = """
name: gated
version: "1"
stages:
  - {name: ingest, type: ingest, config: {adapter: files}}
  - {name: gate_ready, type: gate, depends_on: [ingest]}
  - {name: parse, type: parse, depends_on: [gate_ready]}
gates:
  - name: ready
    resume_stage: parse
    condition: {field: converted, equals: "yes", timeout_seconds: 900}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and no setting of the machine."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("MEDICAL_KG_WORKSPACE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def cli() -> Cli:
    """Call the command line in this process."""
    runner = CliRunner()
    return lambda *words: runner.invoke(app, [str(word) for word in words])


class Program:
    """The command line as a program of its own, started in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def command(*words: object) -> list[str]:
        return [sys.executable, "-c", "from medical_kg.cli import main; main()", *map(str, words)]

    @staticmethod
    def environment(**more: str) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MEDICAL_KG"))}
        return {**ours, **more}

    def __call__(self, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture
def program(here: Path) -> Program:
    """Run the command line as a program of its own."""
    return Program(here)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Install a made-up distribution: its entry points by door, and its one module; returns its folder."""

    def install(name: str, points: dict[str, dict[str, str]], source: str = "", requires: str = "") -> Path:
        folder = tmp_path / f"site-{name}"
        info = folder / f"{name.replace('-', '_')}-1.5.dist-info"
        info.mkdir(parents=True)
        needed = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n{needed}")
        lines = [f"[{door}]\n" + "".join(f"{k} = {v}\n" for k, v in found.items()) for door, found in points.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (folder / f"{name.replace('-', '_')}.py").write_text(dedent(source))
        monkeypatch.syspath_prepend(str(folder))
        return folder

    return install


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Three short plain texts."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in (1, 2, 3):
        (folder / f"note{number}.txt").write_text(f"Note {number}\n\nAspirin helps against headache number {number}.\n")
    return folder


@pytest.fixture
def feed(here: Path) -> Path:
    """A pipeline that reads and parses files."""
    return write(here / "feed.yaml", FEED.replace("NAME", "feed"))


@pytest.fixture
def gated(here: Path) -> Path:
    """A pipeline that waits for the signal ``converted=yes`` before it parses."""
    return write(here / "gated.yaml", GATED)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
