"""``medical-kg documents debug``: one document through some stages again, with a debugger that really stops there."""

from __future__ import annotations

import json
import pdb  # noqa: T100  # what is tested
import subprocess
from bdb import BdbQuit
from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration.contract.errors import ItemRejected
from medical_kg.stages.ir_validation import IrValidationStage

STAGE = """
from medical_kg import Stage, StageMetadata
from medical_kg.documents.ir import Document
from medical_kg.documents.keys import DOCUMENTS


class LookStage(Stage):
    metadata = StageMetadata(
        stage_type="look", version="1", description="Looks.", reads=(DOCUMENTS,), writes=(DOCUMENTS,), mode="item"
    )

    def process(self, ctx, document, **reads):
        secret = len(document.text)
        return document
"""
PIPELINE = """
name: looked
version: "1"
stages:
  - {name: ingest, type: ingest, config: {adapter: files}}
  - {name: parse, type: parse, depends_on: [ingest]}
  - {name: look, type: look, depends_on: [parse]}
"""
NOTE = "file:note2.txt"


@pytest.fixture
def looked(cli: Any, here: Path, notes: Path) -> Path:
    """The module of a stage of this project, once a pipeline with it has run over three notes."""
    (here / "medical_kg.toml").write_text('[plugins.local.stages]\nlook = "look_here:LookStage"\n')
    (here / "looked.yaml").write_text(PIPELINE)
    module = here / "look_here.py"
    module.write_text(STAGE)
    assert cli("run", "looked.yaml", "--engine", "plain", "--input", notes).exit_code == 0
    return module


def test_a_breakpoint_stops_in_the_stage_and_an_error_opens_the_debugger(looked: Path, program: Any) -> None:
    """A person edits the stage, debugs, and asks the debugger for what the stage has at hand."""
    looked.write_text(
        STAGE.replace("        return", "        breakpoint()\n        raise ValueError(secret)\n        return")
    )
    asked = subprocess.run(
        program.command("documents", "debug", NOTE, "--from", "look", "--pdb"),
        cwd=program.folder,
        env=program.environment(),
        input="p 'stopped', document.id\nc\np 'dead', document.id\nq\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert f"('stopped', '{NOTE}')" in asked.stdout, asked.stderr
    assert f"('dead', '{NOTE}')" in asked.stdout
    assert asked.returncode == 1
    assert "ValueError: 48" in asked.stderr


@pytest.fixture
def validated(cli: Any, here: Path, notes: Path) -> Any:
    """The command line, once a pipeline of built-in stages has run over three notes."""
    (here / "validated.yaml").write_text(
        PIPELINE.replace("looked", "validated").replace("type: look", "type: ir-validation")
    )
    assert cli("run", "validated.yaml", "--engine", "plain", "--input", notes).exit_code == 0
    return cli


def test_each_stage_is_told(validated: Any) -> None:
    """Outcome, seconds and counts, what is asked to be shown, and where it went; the same for programs."""
    told = validated("documents", "debug", NOTE, "--from", "parse", "--show", "documents")
    assert told.exit_code == 0, told.stderr
    assert [line.split()[:3] for line in told.stdout.splitlines()[:3]] == [
        ["stage", "type", "outcome"],
        ["parse", "parse", "completed"],
        ["look", "ir-validation", "completed"],
    ]
    shown = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    assert [one["id"] for one in shown] == [NOTE] * 2
    assert "thrown away" in told.stderr
    found = json.loads(validated("documents", "debug", NOTE, "--from", "look", "--json").stdout)
    assert (found["document"], found["kept_in"]) == (NOTE, None)
    assert [(one["stage"], one["status"], one["counts"]) for one in found["stages"]] == [
        ("look", "completed", {"documents": 1.0})
    ]
    assert found["stages"][0]["outputs"]["documents"][0]["id"] == NOTE
    wrong = validated("documents", "debug", NOTE, "--from", "look", "--show", "chunks")
    assert wrong.exit_code == 2
    assert "known: documents" in wrong.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("bad"), 4, "look completed, 1 dead letter:"),
        (SystemExit(3), 4, "SystemExit: 3"),
        (MemoryError(), 1, "look failed:"),
        (BdbQuit(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_exit_code_tells_how_it_ended(
    validated: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    """A rejected document, a failed stage and a debugger that was quit are told apart, with the traceback."""
    monkeypatch.setattr(IrValidationStage, "process", raising(error))
    told = validated("documents", "debug", NOTE, "--from", "look")
    assert told.exit_code == code, told.output
    assert said in told.stderr


def raising(error: BaseException) -> Any:
    def process(*_: Any, **reads: Any) -> None:
        raise error

    return process


def test_the_debugger_gets_the_frame_of_the_error(validated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the stage rejects the document; what is wrong with the request opens none."""
    seen: list[str] = []

    def post_mortem(trace: Any) -> None:
        while trace.tb_next:
            trace = trace.tb_next
        seen.append(trace.tb_frame.f_code.co_name)

    monkeypatch.setattr(pdb, "post_mortem", post_mortem)
    monkeypatch.setattr(IrValidationStage, "process", raising(ItemRejected("bad")))
    assert validated("documents", "debug", NOTE, "--from", "look", "--pdb").exit_code == 1
    assert validated("documents", "debug", NOTE, "--from", "nope", "--pdb").exit_code == 2
    assert seen == ["process"]


def test_a_stage_that_waits_is_told(gated: Path, cli: Any, notes: Path) -> None:
    """With what it waits for, and the exit code of what is not finished."""
    assert cli("run", gated, "--engine", "plain", "--input", notes).exit_code == 3
    told = cli("documents", "debug", NOTE, "--from", "gate_ready")
    assert told.exit_code == 3
    assert "waiting: waits for converted equals 'yes'" in told.stdout
