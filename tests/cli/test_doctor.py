"""``medical-kg plugins doctor``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]
Package = Callable[..., Path]
SOURCES, COMMANDS = "medical_kg.sources", "medical_kg.commands"


def test_all_is_well(cli: Cli) -> None:
    """With nothing to mend the exit code is 0; every plugin has a row, and the counts stand at the end."""
    told = cli("plugins", "doctor")
    assert told.exit_code == 0, told.stdout
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["status", "door", "name", "distribution", "version", "import", "ms"]
    assert any(line.split()[:5] == ["installed", "stages", "chunk", "medical-kg", "0.1.0"] for line in lines)
    assert lines[-1].endswith(" installed")


def test_the_built_in_plugins_have_no_side_effects(cli: Cli) -> None:
    """Our own are examined like anybody's, and behave."""
    own = [one for one in json.loads(cli("plugins", "doctor", "--json").stdout) if one["distribution"] == "medical-kg"]
    assert {one["status"] for one in own} == {"installed"}
    assert [note for one in own for note in one["notes"] if "its import took" not in note] == []


def test_what_is_wrong_is_told_with_what_to_do(cli: Cli, package: Package) -> None:
    """A plugin that ends the process is named with reason and remedy; the rest is examined, and the exit code is 1."""
    package("a-bad", {SOURCES: {"bad": "a_bad:Thing"}}, "import os\nos._exit(3)\n")
    package("z-good", {SOURCES: {"good": "z_good:Thing"}}, "print('hello')\nThing = 1\n")
    told = cli("plugins", "doctor")
    assert told.exit_code == 1
    assert (
        "bad (medical_kg.sources) from a-bad 1.5 is broken: its import ended the process with exit code 3"
        in told.stdout
    )
    assert "  to do: pip install --upgrade a-bad, or do without it:" in told.stdout
    assert "  written in " in told.stdout
    assert (
        "good (medical_kg.sources) from z-good 1.5 is installed\n  note: it printed to stdout: 'hello\\n'"
        in told.stdout
    )
    assert "1 broken" in told.stdout.splitlines()[-1]


def test_json_has_everything(cli: Cli, package: Package) -> None:
    """With ``--json`` each finding is an object; a command with a built-in's name is shadowed, which is no failure."""
    package("colours", {COMMANDS: {"run": "colours:app"}}, "app = 1\n")
    told = cli("plugins", "doctor", "--json")
    (one,) = (one for one in json.loads(told.stdout) if one["distribution"] == "colours")
    assert (told.exit_code, one["status"], one["reason"]) == (0, "shadowed", "a built-in command has this name")
    assert set(one) >= {"door", "name", "version", "object", "remedy", "notes", "seconds", "place", "detail"}


def test_tracebacks_are_shown_when_asked_for(cli: Cli, package: Package) -> None:
    """``-v`` shows where a plugin failed."""
    package("a-bad", {SOURCES: {"bad": "a_bad:Thing"}}, "raise ValueError('no')\n")
    assert "Traceback" not in cli("plugins", "doctor").stdout
    assert "raise ValueError('no')" in cli("-v", "plugins", "doctor").stdout


def test_a_plugin_that_hangs(cli: Cli, package: Package) -> None:
    """``--timeout`` says how long an import may take."""
    package("a-slow", {SOURCES: {"slow": "a_slow:Thing"}}, "import time\ntime.sleep(600)\n")
    told = cli("plugins", "doctor", "--timeout", "1.5")
    assert (told.exit_code, "its import takes longer than 1.5 s" in told.stdout) == (1, True)


def test_a_distribution_that_cannot_be_read(cli: Cli, package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose entry points are damaged has no plugin to name, so it is named itself."""
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "__all__")  # as the program sets it, which is not run here
    folder = package("torn", {}, "")
    (folder / "torn-1.5.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe")
    told = cli("plugins", "doctor")
    assert told.exit_code == 1
    assert "torn is broken: its plugins cannot be listed: its entry_points.txt is damaged" in told.stdout


def test_a_preference_that_nothing_fulfils_is_named(cli: Cli, package: Package, here: Path) -> None:
    """It is told as what it is, a line of the settings, and the exit code is 1."""
    (here / "medical_kg.toml").write_text('[plugins.prefer]\nlonely = "nobody"\n', encoding="utf-8")
    package("some-kit", {SOURCES: {"lonely": "some_kit:Thing"}}, "Thing = 1\n")
    told = cli("plugins", "doctor")
    assert told.exit_code == 1
    said = (
        "the preference lonely = 'nobody' is broken: settings prefer distribution 'nobody', which does not provide it"
    )
    assert said in told.stdout.splitlines()
