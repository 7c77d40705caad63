"""Commands of packages, through the door ``medical_kg.commands``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]
Package = Callable[..., Path]
COMMANDS = "medical_kg.commands"

GOOD = """
import typer
app = typer.Typer()

@app.command()
def hello(ctx: typer.Context, name: str) -> None:
    "Greet somebody."
    typer.echo(f"hello {name} json={ctx.obj.json} {ctx.obj.plugins.names('medical_kg.commands')[0]}")
"""

TWO = """
import typer

app = typer.Typer(help="Two verbs.")
app.command("one")(lambda: typer.echo("one"))
app.command("two")(lambda: typer.echo("two"))
"""


def test_a_package_brings_a_command(cli: Cli, package: Package) -> None:
    """A ``typer.Typer`` behind the door becomes ``medical-kg NAME`` and gets what the command line knows."""
    package("greet-kit", {COMMANDS: {"greet": "greet_kit:app"}}, GOOD)
    result = cli("--json", "greet", "Ada")
    assert (result.exit_code, result.stdout) == (0, "hello Ada json=True documents\n")
    assert "Greet somebody." in cli("--help").stdout
    assert "completion" not in cli("greet", "--help").stdout


def test_a_package_brings_a_noun_with_verbs(cli: Cli, package: Package) -> None:
    """A Typer with several commands is a noun."""
    package("verbs-kit", {COMMANDS: {"verbs": "verbs_kit:app"}}, TWO)
    assert cli("verbs", "two").stdout == "two\n"


def test_only_the_called_command_is_imported(cli: Cli, package: Package) -> None:
    """Calling one command, or listing plugins, imports no other package's command."""
    package("lazy-kit", {COMMANDS: {"lazy": "lazy_kit:app"}}, GOOD)
    cli("plugins", "list")
    cli("pipelines", "list")
    assert "lazy_kit" not in sys.modules
    cli("lazy", "Ada")
    assert "lazy_kit" in sys.modules


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("crash", "1 / 0", "division by zero"),
        ("quitter", "import sys; sys.exit(3)", "SystemExit: 3"),
        ("odd", "app = 5", "it must be a typer.Typer"),
        ("hollow", "import typer; app = typer.Typer()", "its commands cannot be built"),
    ],
)
def test_a_broken_command_harms_nobody(cli: Cli, package: Package, name: str, source: str, reason: str) -> None:
    """A command that cannot be loaded is listed with a note, says why when it is called, and breaks nothing else."""
    package(f"{name}-kit", {COMMANDS: {name: f"{name}_kit:app"}}, source)
    shown = cli("--help")
    assert shown.exit_code == 0
    assert f"  {name} " in shown.stdout
    assert "(cannot be used:" in shown.stdout
    for words in ([name], [name, "x", "--option"], [name, "--help"]):
        called = cli(*words)
        assert (called.exit_code, called.stdout) == (1, "")
        assert reason in called.stderr
        assert f"{name}-kit 1.5" in called.stderr
        assert "Traceback" not in called.stderr
    assert cli("pipelines", "list").exit_code == 0


def test_a_blocked_command_says_so(cli: Cli, package: Package, here: Path) -> None:
    """A command of a denied distribution is not imported; calling it says who denied it, with code 2."""
    (here / "medical_kg.toml").write_text('[plugins]\ndeny = ["barred-kit"]\n')
    package("barred-kit", {COMMANDS: {"barred": "barred_kit:app"}}, GOOD)
    result = cli("barred", "Ada")
    assert (result.exit_code, "deny list" in result.stderr) == (2, True)
    assert "barred_kit" not in sys.modules


def test_a_package_cannot_take_a_built_in_name(cli: Cli, package: Package) -> None:
    """A package's ``plugins`` does not shadow ours."""
    package("thief-kit", {COMMANDS: {"plugins": "thief_kit:app"}}, GOOD)
    assert "knowledge-graph" in cli("plugins", "list").stdout
    assert "thief_kit" not in sys.modules
    assert cli("--help").stdout.count("\n  plugins ") == 1
