"""``medical-kg demo``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from medical_kg.cli import demo
from medical_kg.cli.errors import MEANINGS
from medical_kg.orchestration.contract.errors import InputError

Cli = Callable[..., Result]


def test_the_samples_are_found() -> None:
    """The sample documents come with the package, or stand in the checkout it runs from."""
    assert (demo.samples() / "NOTICE.md").is_file()


def test_an_installation_without_samples_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the samples are missing the message says where they were looked for."""
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / "a" / "b")
    with pytest.raises(InputError, match="no sample documents"):
        demo.samples()


def test_a_demo_that_cannot_finish_asks_nothing(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the run fails, its exit code is the demo's, and no question is asked."""
    empty = here / "empty"
    empty.mkdir()
    monkeypatch.setattr(demo, "samples", lambda: empty)
    result = cli("--workspace", here / "w", "demo")
    assert (result.exit_code, "$ medical-kg" in result.output) == (2, False)


def test_a_question_nobody_answers_is_told(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, here: Path, notes: Path, feed: Path
) -> None:
    """Without the package that brings a command, the demo says so and goes on."""
    monkeypatch.setattr(demo, "samples", lambda: notes)
    monkeypatch.setattr(demo, "PIPELINE", str(feed))
    monkeypatch.setattr(demo, "QUESTIONS", (("serach", "x"), ("plugins", "list", "--door", "stores")))
    result = cli("demo")
    assert result.exit_code == 0
    assert "nothing installed provides the command serach" in result.stderr
    assert "medical_kg.stores" in result.stdout
    assert f"workspace: {here / '.medical-kg-demo'}" in result.stderr
    assert "What to try next" in result.stderr


def test_the_demo_asks_what_the_samples_answer(cli: Cli, here: Path) -> None:
    """The search finds passages of several documents, the graph a node that joins several and what is around it."""
    hashing = ("--set", "chunk.embedder=hashing", "--set", "embed.embedder=hashing")
    workspace = ("--workspace", here / "w")
    cli(*workspace, "run", demo.PIPELINE, "--input", demo.samples(), "--engine", "plain", *hashing)
    answers = [cli(*workspace, "--json", *words) for words in demo.QUESTIONS]
    assert [(answer.exit_code, answer.stderr) for answer in answers] == [(0, "")] * 3
    hits, shown, around = (json.loads(answer.stdout) for answer in answers)
    assert len({hit["document"] for hit in hits}) > 1
    assert len({edge["root"] for edge in shown["edges"]}) == shown["node"]["roots"] == 5
    assert len(around["nodes"]) == 10


@pytest.mark.slow
def test_the_demo_works_without_a_network(program: Any, here: Path) -> None:
    """The whole of it: twenty documents indexed and in the graph, a search with hits, a node, its neighbours, what to try next."""
    blocked = here / "offline"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import socket\n\ndef refuse(*_):\n    raise OSError('no network in this test')\n\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
    )
    result = program("demo", PYTHONPATH=str(blocked))
    assert result.returncode == 0, result.stderr
    assert "20 documents" in result.stdout
    assert "\n1. " in result.stdout
    assert "insect repellent" in result.stdout
    assert "Artemisinin" in result.stdout
    assert "<- has_mesh_condition  nct:NCT05897541" in result.stdout
    assert "organization:modernatx, inc" in result.stdout
    assert "What to try next" in result.stderr
    assert (here / ".medical-kg-demo").is_dir()


def test_every_exit_code_is_documented() -> None:
    """The reference lists the exit codes with what they mean."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "exit-codes.md"
    text = page.read_text(encoding="utf-8")
    assert [code for code, meaning in MEANINGS.items() if f"| {code} | {meaning} |" not in text] == []
