"""The packages in examples/: clean by their own rules, and green under the conformance suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/pyproject.toml"))


def run(example: Path, *command: str) -> subprocess.CompletedProcess[str]:
    homes = os.pathsep.join([str(example / "src"), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": homes, "MYPYPATH": homes, "PYTHONDONTWRITEBYTECODE": "1"}
    program = [sys.executable, "-m", *command]
    return subprocess.run(
        program, cwd=example, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def test_the_examples_are_the_ones_that_are_told_of() -> None:
    """The page of plugins and the examples' own page name each of them."""
    pages = [ROOT / "docs" / "how-to" / "write-plugins.md", ROOT / "examples" / "README.md"]
    assert len(EXAMPLES) == 3
    assert [
        (page.name, example.name)
        for page in pages
        for example in EXAMPLES
        if example.name not in page.read_text(encoding="utf-8")
    ] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=" ".join)
def test_an_example_is_clean_by_its_own_rules(example: Path, command: tuple[str, ...]) -> None:
    """Linter and formatter, with the settings of its own ``pyproject.toml``, find nothing."""
    done = run(example, "ruff", *command, "--no-cache", ".")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_s_types_are_strictly_right(example: Path) -> None:
    """mypy, strict as it sets it, finds nothing."""
    done = run(example, "mypy", "--no-error-summary", "src", "tests")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_s_suite_is_green(example: Path) -> None:
    """Its tests pass, and each subclasses the conformance suite."""
    done = run(example, "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any("(StageConformance)" in path.read_text(encoding="utf-8") for path in (example / "tests").glob("*.py"))
