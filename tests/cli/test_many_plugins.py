"""Fifty and two hundred packages installed, five of them broken, each in another way: what still works, and who is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributions import distribution, importable, imported, module, stage_plugin
from typer.testing import Result

Cli = Callable[..., Result]

RAISES = {
    "absent-module": "import nothing_of_this_name\n",
    "leaves": "raise SystemExit(3)\n",
    "absent-object": "Other = 1\n",
}
TORN = {"no-metadata", "bad-line"}
BROKEN = {*RAISES, *TORN}


@pytest.fixture(params=[50, 200])
def crowd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on ``sys.path`` with so many distributions of one stage type each, of which five are broken."""
    folder = tmp_path / "crowd"
    folder.mkdir()
    for number in range(request.param - len(BROKEN)):
        stage_plugin(folder, f"crowd-{number}")
    for name, source in RAISES.items():
        module(folder, f"crowd_{name.replace('-', '_')}", source)
    for name in BROKEN:
        named = "no object:" if name == "bad-line" else f"crowd_{name.replace('-', '_')}:Plugin"
        info = distribution(folder, f"dist-{name}", {name: named})
        if name == "no-metadata":
            (info / "METADATA").unlink()
    with importable(folder):
        yield folder


def test_listing_many_imports_none(cli: Cli, crowd: Path) -> None:
    """Every package is listed; what its metadata says of a broken one is listed too, and no module is executed."""
    result = cli("plugins", "list", "--door", "stages", "--json")
    assert result.exit_code == 0, (result.stderr, result.exception)
    rows = {row["name"]: row for row in json.loads(result.stdout) if row["distribution"] != "medical-kg"}
    assert (result.exit_code, len(rows)) == (0, len(list(crowd.glob("*.dist-info"))))
    assert {name for name, row in rows.items() if row["status"] != "installed"} == TORN
    assert imported(crowd) == []


def test_the_broken_among_many_are_named(cli: Cli, crowd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``plugins doctor`` names exactly the broken ones, says what is wrong and what to do, and fails."""
    monkeypatch.setenv("PYTHONPATH", str(crowd))  # for the process apart in which they are tried
    result = cli("plugins", "doctor", "--json")
    found = {one["name"]: one for one in json.loads(result.stdout) if one["status"] != "installed"}
    assert (result.exit_code, set(found)) == (1, BROKEN)
    assert {one["status"] for one in found.values()} == {"broken"}
    assert [one["name"] for one in found.values() if not (one["reason"] and one["remedy"])] == []
    assert "No module named 'nothing_of_this_name'" in found["absent-module"]["reason"]


def test_a_pipeline_beside_many_runs(cli: Cli, crowd: Path, feed: Path, notes: Path) -> None:
    """A pipeline that uses none of them runs, and imports none."""
    result = cli("run", feed, "--input", notes, "--engine", "plain")
    assert (result.exit_code, "3 documents" in result.stdout) == (0, True)
    assert imported(crowd) == []
    assert [name for name in BROKEN if name in result.stderr] == []
