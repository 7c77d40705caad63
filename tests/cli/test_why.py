"""``medical-kg plugins why``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Cli = Callable[..., Result]
Package = Callable[..., Path]
STAGES = "medical_kg.orchestration.stages"


GOOD = """
from medical_kg import Stage, StageMetadata
class Chunk(Stage):
    metadata = StageMetadata(stage_type="chunk", version="1.0", description="x")
    def run(self, ctx):
        return None
"""


def test_what_was_found_and_chosen(cli: Cli) -> None:
    """Every claim is listed with where it is written, then the choice and its reason."""
    told = cli("plugins", "why", "chunk")
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert lines[0] == f"chunk ({STAGES})"
    assert "medical_kg.stages.chunk:ChunkStage" in lines[2]
    assert "entry_points.txt:" in lines[2]
    assert "  chosen: medical-kg 0.1.0, because only it provides the name" in lines


def test_a_conflict_ends_with_code_2(cli: Cli, package: Package) -> None:
    """Where nothing can be chosen the claims, the reason and the way out are told; no plugin is imported."""
    package("my-chunk", {STAGES: {"chunk": "my_chunk:Chunk"}}, "raise RuntimeError")
    told = cli("plugins", "why", "chunk")
    assert told.exit_code == 2
    assert "chosen: nothing, because it is claimed by medical-kg 0.1.0 and my-chunk 1.5\n" in told.stdout
    assert 'choose one with [plugins.prefer] "chunk" =' in told.stdout
    assert "my_chunk" not in sys.modules


def test_a_preference_is_shown(cli: Cli, package: Package, here: Path) -> None:
    """What the settings prefer is told first."""
    package("my-chunk", {STAGES: {"chunk": "my_chunk:Chunk"}}, GOOD)
    (here / "medical_kg.toml").write_text('[plugins.prefer]\nchunk = "my-chunk"\n')
    told = cli("plugins", "why", "chunk", "--door", "stages")
    assert told.exit_code == 0
    assert "  preferred: my-chunk, by [plugins.prefer]" in told.stdout
    assert "chosen: my-chunk 1.5, because [plugins.prefer] chooses my-chunk" in told.stdout
    assert "medical-kg:chunk (" in cli("plugins", "why", "medical-kg:chunk").stdout


def test_unknown_names(cli: Cli) -> None:
    """A misspelt name gives the nearest; as JSON too."""
    told = cli("plugins", "why", "chunkk")
    assert (told.exit_code, "did you mean 'chunk'?" in told.stdout) == (2, True)
    told = cli("plugins", "why", "chunkk", "--json")
    (one,) = json.loads(told.stdout)
    assert (told.exit_code, one["chosen"], one["found"], one["advice"]) == (2, None, [], "did you mean 'chunk'?")


def test_a_plugin_that_cannot_be_loaded(cli: Cli, package: Package, tmp_path: Path) -> None:
    """What the name means is tried, in another process, and told as broken; the exit code is 2."""
    source = f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nos._exit(7)\n"
    package("ends", {STAGES: {"ends": "ends:Stage"}}, source)
    told = cli("plugins", "why", "ends", "--door", "stages")
    assert told.exit_code == 2
    reason = "ends 1.5 is broken: its import ended the process with exit code 7"
    assert f"  chosen: nothing, because {reason}\n  to do:  run medical-kg plugins doctor\n" in told.stdout
    assert told.stdout.splitlines()[2].startswith("broken")
    assert int((tmp_path / "pid").read_text()) != os.getpid()
