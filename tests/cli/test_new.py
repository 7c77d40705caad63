"""``medical-kg plugins new``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]


def test_a_package_is_written_and_the_next_commands_are_printed(cli: Cli, here: Path) -> None:
    """Every file is named, and what to type next; notes go to standard error."""
    result = cli("plugins", "new", "stage", "chunk", "--reads", "documents, chunks", "--writes", "tops")
    assert result.exit_code == 0, result.stderr
    printed = result.stdout.splitlines()
    written = [str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()]
    assert sorted(printed[: len(written)]) == sorted(written)
    assert printed[len(written) :] == [
        "",
        "Next:",
        "  cd medical-kg-chunk",
        "  python -m pip install --editable '.[test]'",
        "  python -m pytest",
        "  medical-kg plugins show medical-kg-chunk:chunk",
        "  medical-kg pipelines check pipelines/chunk.yaml",
    ]
    assert result.stderr.startswith("note: 'chunk' is also a stage type of medical-kg")


def test_the_folder_is_chosen_with_into(cli: Cli, here: Path) -> None:
    """``--into`` is made where it is not there yet, and the command to go there is ready to paste."""
    result = cli("plugins", "new", "stage", "tally", "--mode", "batch", "--into", here / "my work")
    assert f"  cd '{here}/my work/medical-kg-tally'" in result.stdout.splitlines()
    assert (here / "my work" / "medical-kg-tally" / "pyproject.toml").is_file()


def test_a_local_module_is_listed_once_its_lines_are_added(cli: Cli, here: Path) -> None:
    """``--local`` writes beside the settings; with the printed lines pasted, the stage type is there and checks out."""
    (here / "medical_kg.toml").write_text("", encoding="utf-8")
    result = cli("plugins", "new", "stage", "scaffolded-tally", "--local", "--reads", "documents", "--json")
    made = json.loads(result.stdout)
    assert made["files"] == ["scaffolded_tally_stage.py"]
    (here / "medical_kg.toml").write_text(made["settings"], encoding="utf-8")
    (row,) = [row for row in json.loads(cli("plugins", "list", "--json").stdout) if row["name"] == "scaffolded-tally"]
    assert (row["distribution"], row["status"]) == ("local", "installed")
    shown = json.loads(cli("plugins", "show", "scaffolded-tally", "--json").stdout)
    assert shown["reads"] == ["documents: list[Document]"]


@pytest.mark.parametrize("settings", [True, False])
def test_the_lines_to_add_are_printed(cli: Cli, here: Path, *, settings: bool) -> None:
    """The text says which file they belong in, and what they are."""
    if settings:
        (here / "medical_kg.toml").write_text("", encoding="utf-8")
    printed = cli("plugins", "new", "stage", "tally", "--local", "--mode", "batch").stdout
    where = here / "medical_kg.toml" if settings else "medical_kg.toml, beside the module"
    expected = f'\nAdd to {where}:\n  [plugins.local.stages]\n  tally = "tally_stage:TallyStage"\n'
    assert expected in printed


def test_a_local_module_in_a_folder_below_is_named_from_the_settings(cli: Cli, here: Path) -> None:
    """``--into`` a folder of the project: with the printed lines pasted, the stage type is found there."""
    (here / "medical_kg.toml").write_text("", encoding="utf-8")
    words = ("plugins", "new", "stage", "below-tally", "--local", "--mode", "batch", "--into", "odd/stages")
    made = json.loads(cli(*words, "--json").stdout)
    (here / "medical_kg.toml").write_text(made["settings"], encoding="utf-8")
    shown = json.loads(cli("plugins", "show", "below-tally", "--json").stdout)
    assert shown["object"] == "odd.stages.below_tally_stage:BelowTallyStage"


@pytest.mark.parametrize("into", ["../elsewhere", "not-a-name"])
def test_a_local_module_that_no_import_reaches_is_refused(cli: Cli, here: Path, into: str) -> None:
    """Outside of the settings' folder, or below one that cannot be imported from, nothing is written."""
    (here / "medical_kg.toml").write_text("", encoding="utf-8")
    result = cli("plugins", "new", "stage", "tally", "--local", "--mode", "batch", "--into", into)
    assert result.exit_code == 2
    assert "can be imported from" in result.stderr
    assert not (here / into).exists()


def test_a_wrong_name_is_one_message(cli: Cli, here: Path) -> None:
    """What cannot be done is said in one line, with the code of a wrong request; nothing is written."""
    result = cli("plugins", "new", "stage", "Tally", "--reads", "documents")
    assert result.exit_code == 2
    assert "'Tally' cannot name a stage type" in result.stderr
    assert list(here.iterdir()) == []
