"""A stage type in a module beside the settings, through the command line, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

STAGE = """
from medical_kg import Stage, StageMetadata, StateKey
from medical_kg.documents.keys import DOCUMENTS

class Marking(Stage):
    metadata = StageMetadata(stage_type="marking", version="1.0", description="Marks.", reads=(DOCUMENTS,),
                             writes=(StateKey("marks", list[str]),))

    def run(self, ctx, documents):
        return ["MARK"] * len(documents)
"""
PIPELINE = """
name: marked
version: "1"
stages:
  - {name: ingest, type: ingest, config: {adapter: files}}
  - {name: parse, type: parse, depends_on: [ingest]}
  - {name: marking, type: marking, depends_on: [parse]}
  - {name: gate_ready, type: gate, depends_on: [marking]}
  - {name: again, type: marking, depends_on: [gate_ready]}
gates:
  - name: ready
    resume_stage: again
    condition: {field: ready, equals: true, timeout_seconds: 900}
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_an_edit_needs_no_installation(program: Any, here: Path, notes: Path, engine: str) -> None:
    """A local stage runs, is shown with its hash, and runs again once it is edited, while the others are reused."""
    (here / "marked.yaml").write_text(PIPELINE)
    (here / "medical_kg.toml").write_text('[plugins.local.stages]\nmarking = "marking:Marking"\n')
    (here / "marking.py").write_text(STAGE)
    told = program("run", "marked.yaml", "--input", notes, "--engine", engine)
    assert told.returncode == 3, told.stderr
    ident = json.loads(program("submissions", "list", "--json").stdout)[0]["id"]
    before = shown(program, ident)
    assert before["provenance"]["marking"].startswith("local ")
    (here / "marking.py").write_text(STAGE.replace("MARK", "DONE"))
    assert program("submissions", "signal", ident, "ready").returncode == 0
    told = program("submissions", "resume", ident, "--engine", engine)
    assert told.returncode == 0, told.stderr
    assert "plugins differ from what submission" in told.stderr
    after = shown(program, ident)
    for reused in ("ingest", "parse"):
        assert after["results"][reused] == before["results"][reused]
    assert after["results"]["marking"]["outputs"] != before["results"]["marking"]["outputs"]
    assert after["provenance"]["marking"] != before["provenance"]["marking"]


def shown(program: Any, ident: str) -> dict[str, Any]:
    said = json.loads(program("submissions", "show", ident, "--json").stdout)
    return {**said, "results": {one["stage"]: one for one in said["results"]}}
