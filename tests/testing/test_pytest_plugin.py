"""What an author's pytest gets: fixtures, the suite, and full detail where a rule is broken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock, pytest_plugin
from medical_kg.testing.pytest_plugin import medical_kg_workspace

HERE = Path(__file__).parent

BROKEN = """
import pytest
from lying_stages import IdsByChance, given
from medical_kg.testing import StageCase
from medical_kg.testing.conformance import StageConformance

class TestIdsByChance(StageConformance):
    @pytest.fixture
    def case(self):
        return StageCase(IdsByChance, reads={"words": given()})

class TestForgotten(StageConformance):
    pass

def test_fixtures(fake_clock, medical_kg_workspace, tmp_path):
    fake_clock.advance(1)
    assert medical_kg_workspace.root.is_relative_to(tmp_path)
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An author's pytest, in a project of their own."""
    (folder / "test_mine.py").write_text(BROKEN, encoding="utf-8")
    plugin = ["-p", "no:medical_kg", "-p", "medical_kg.testing.pytest_plugin", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_author_sees_what_was_compared(tmp_path: Path) -> None:
    """A broken rule shows its message and, by assertion rewriting, both values; the fixtures are there."""
    ended = run(tmp_path, "-k", "ids_are or fixtures")
    assert ended.returncode == 1, ended.stdout
    assert "1 failed" in ended.stdout
    assert "stage type 'lying' breaks the rule of stable ids." in ended.stdout
    assert "To do: make ids from the item, not from chance or time" in ended.stdout
    assert "Differing items:" in ended.stdout, "pytest's own account of the two values"


def test_a_forgotten_case_says_how_to_give_it(tmp_path: Path) -> None:
    """Without the one fixture each rule says what is missing."""
    ended = run(tmp_path, "-k", "Forgotten and metadata")
    assert "TestForgotten needs a fixture named case that returns a StageCase" in ended.stdout


def test_the_plugin_is_installed_and_tiny() -> None:
    """Pytest finds it by its entry point; loading it loads neither the engine's runner nor a database nor Dagster."""
    (entry,) = [one for one in entry_points(group="pytest11") if one.name == "medical_kg"]
    assert entry.load() is pytest_plugin
    program = (
        "import sys, medical_kg; before = set(sys.modules); import medical_kg.testing.pytest_plugin; "
        "print(sorted(n for n in set(sys.modules) - before if n.startswith('medical_kg') or n in ('dagster', 'sqlalchemy')))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['medical_kg.testing', 'medical_kg.testing.pytest_plugin']"


def test_fixtures(fake_clock: FakeClock, medical_kg_workspace: Workspace, tmp_path: Path) -> None:
    """A clock that stands still, and a workspace in the test's own folder."""
    assert fake_clock.now() == FakeClock().now()
    assert medical_kg_workspace.root.is_relative_to(tmp_path)
    assert medical_kg_workspace.settings_path is None
    assert medical_kg_workspace.ledger.submissions() == []


def test_a_name_that_the_kit_does_not_have() -> None:
    """What is imported late is missed like anything else."""
    import medical_kg.testing as kit

    assert medical_kg_workspace is not None
    with pytest.raises(AttributeError, match=r"module 'medical_kg\.testing' has no attribute 'run_stages'"):
        kit.run_stages  # noqa: B018  # the attribute is asked for


def test_the_guide_s_tests_pass(tmp_path: Path) -> None:
    """The code of the page on testing a stage, in a file of an author's, is a green test module."""
    page = (HERE.parents[1] / "docs" / "how-to" / "test-a-stage.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "test_guide.py").write_text("\n".join(blocks), encoding="utf-8")
    ended = run(tmp_path, "test_guide.py", "-k", "not kill")
    assert ended.returncode == 0, ended.stdout
    assert re.search(r"2[0-9] passed, [0-9]+ skipped", ended.stdout)
