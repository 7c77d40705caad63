"""Completion: what the shell offers for names, found without anything heavy, in a real shell too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medical_kg.cli.app import app
from medical_kg.orchestration import Workspace

STAGES = ["ingest", "parse"]


@pytest.fixture
def offered() -> Any:
    """Ask what is offered for the last word of a command line."""

    def ask(*words: str) -> list[str]:
        line = {"COMP_WORDS": " ".join(("medical-kg", *words)), "COMP_CWORD": str(len(words))}
        asked = CliRunner().invoke(
            app, [], env={**line, "_MEDICAL_KG_COMPLETE": "complete_bash"}, prog_name="medical-kg"
        )
        assert asked.stderr == ""
        return asked.stdout.split()

    return ask


@pytest.fixture
def ident(cli: Any, feed: Path, notes: Path) -> str:
    """The id of a submission that has run."""
    assert cli("run", feed, "--engine", "plain", "--input", notes).exit_code == 0
    workspace = Workspace.find()
    (one,) = workspace.ledger.submissions()
    workspace.close()
    return one.id


def test_names_are_offered(offered: Any, here: Path) -> None:
    """Commands of ours and of packages, pipelines, plugins of any or one door, doors, codes; nothing is written."""
    assert offered("sub") == ["submissions"]
    assert offered("documents", "s") == ["show"]
    assert offered("pipelines", "check", "pu") == ["pubmed"]
    assert offered("plugins", "show", "ch") == ["chunk"]
    assert offered("plugins", "why", "--door", "embedders", "ha") == ["hashing"]
    assert "stages" in offered("plugins", "list", "--door", "s")
    assert offered("pipelines", "explain", "MKG08") == ["MKG080", "MKG081", "MKG082"]
    assert list(here.iterdir()) == []


def test_submissions_and_their_stages_are_offered(offered: Any, ident: str) -> None:
    """Also in a workspace that is chosen on the line; a stage of the submission that is named, or of the latest."""
    assert offered("submissions", "show", "") == [ident]
    assert offered("submissions", "explain", ident, "") == STAGES
    assert offered("documents", "debug", "x", "--from", "p") == ["parse"]
    assert offered("--workspace", "elsewhere", "submissions", "show", "") == []
    assert not Path("elsewhere").exists()


def test_where_nothing_can_be_found_nothing_is_offered(offered: Any, ident: str) -> None:
    """No message in the middle of a line: a damaged database, settings that cannot be read."""
    Path(".medical-kg/medical-kg.db").write_bytes(b"no database")
    assert offered("submissions", "show", "") == []
    Path("medical_kg.toml").write_text("[", encoding="utf-8")
    assert offered("submissions", "show", "") == offered("plugins", "show", "ch") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_real_shell_completes_without_dagster(ident: str, program: Any, here: Path) -> None:
    """The script that is installed asks the program, which loads neither Dagster nor SQLAlchemy for an answer."""
    (here / "medical-kg").write_text(
        f"#!{sys.executable}\n"
        "import atexit, sys\n"
        "atexit.register(lambda: print(sorted({'dagster', 'sqlalchemy'} & set(sys.modules)), file=sys.stderr))\n"
        "from medical_kg.cli import main\nmain()\n"
    )
    (here / "medical-kg").chmod(0o755)
    line = (
        'eval "$(_MEDICAL_KG_COMPLETE=source_bash medical-kg)"; COMP_WORDS=(medical-kg submissions show ""); COMP_CWORD=3; '
        '_medical_kg_completion medical-kg; echo "${COMPREPLY[@]}"'
    )
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    words = ["bash", "--norc", "-c", line]
    done = subprocess.run(
        words, env=program.environment(PATH=path), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"{ident}\n"
    assert done.stderr == "[]\n[]\n"
