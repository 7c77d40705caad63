"""``medical-kg plugins lock`` and ``verify``, and what a run makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Cli = Callable[..., Result]
Package = Callable[..., Path]
SOURCES = "medical_kg.sources"


def test_locked_and_verified(cli: Cli, package: Package, here: Path) -> None:
    """What is written holds until something changes; then each difference is a row, and the exit code is 1."""
    package("ward", {SOURCES: {"ward": "ward:Ward"}}, "Ward = 1\n")
    told = cli("plugins", "lock")
    assert (told.exit_code, told.stdout.startswith(f"{here / 'medical_kg.lock'}: ")) == (0, True)
    told = cli("plugins", "verify")
    assert (told.exit_code, told.stdout) == (0, f"the plugins are as {here / 'medical_kg.lock'} says\n")
    assert cli("plugins", "verify", "--json").stdout == "[]\n"
    package("yard", {SOURCES: {"yard": "yard:Yard"}}, "Yard = 1\n")
    told = cli("plugins", "verify")
    assert told.exit_code == 1
    assert told.stdout.splitlines()[1].split() == [SOURCES, "yard", "plugin", "yard", "1.5"]
    (one,) = json.loads(cli("plugins", "verify", "--json").stdout)
    assert one == {"door": SOURCES, "name": "yard", "field": "plugin", "old": "", "new": "yard 1.5"}


def test_what_is_left_out_is_named(cli: Cli, package: Package) -> None:
    """A plugin that cannot be used is not locked, and said to be."""
    package("old", {SOURCES: {"old": "old:Old"}}, requires="medical-kg>=99")
    told = cli("plugins", "lock")
    assert (told.exit_code, "left out: 'old:old' (medical_kg.sources): old 1.5 is incompatible" in told.stderr) == (
        0,
        True,
    )
    assert "old 1.5 is incompatible" in json.loads(cli("plugins", "lock", "--json").stdout)["left_out"][0]


def test_verify_without_a_lock(cli: Cli) -> None:
    """It is a wrong request to verify what was never written."""
    told = cli("plugins", "verify")
    assert (told.exit_code, "write it: medical-kg plugins lock" in told.stderr) == (2, True)


def test_a_run_against_the_lock(cli: Cli, here: Path, feed: Path, notes: Path) -> None:
    """With ``refuse`` a run that differs ends with code 2 before anything is kept; by default it is warned of."""
    cli("plugins", "lock")
    lock = here / "medical_kg.lock"
    lock.write_text(lock.read_text().replace('"behaviour": "', '"behaviour": "0'))
    (here / "medical_kg.toml").write_text('[plugins]\non_lock_mismatch = "refuse"\n')
    told = cli("run", feed, "--input", notes, "--engine", "plain")
    assert told.exit_code == 2
    assert "plugins differ from medical_kg.lock: 'ingest' (medical_kg.orchestration.stages) behaviour 0" in told.stderr
    assert cli("submissions", "list").exit_code == 2 or "feed" not in cli("submissions", "list").stdout
    (here / "medical_kg.toml").write_text("")
    told = cli("run", feed, "--input", notes, "--engine", "plain")
    assert told.exit_code == 0
    assert "plugins differ from medical_kg.lock: " in told.stderr


def test_show_names_the_plugins_of_the_lock(cli: Cli, feed: Path, notes: Path) -> None:
    """A submission shows which plugins it began with."""
    cli("run", feed, "--input", notes, "--engine", "plain")
    ident = json.loads(cli("submissions", "list", "--json").stdout)[0]["id"]
    assert "plugins it began with: medical-kg 0.1.0" in cli("submissions", "show", ident).stdout
