"""The specification is held to the tests: every scenario names its proof, and every proof exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPECS = sorted((ROOT / "specs").rglob("spec.md"))
PROOF = re.compile(r"^Proved by: (.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


def parts(text: str, heading: str) -> list[str]:
    """The parts of a text that begin with a heading, each up to the next heading of its level or above."""
    level = heading.split(maxsplit=1)[0]
    ends = rf"^#{{1,{len(level)}}} "
    return [
        re.split(ends, part, maxsplit=1, flags=re.MULTILINE)[0]
        for part in re.split(rf"^{heading}", text, flags=re.MULTILINE)[1:]
    ]


SCENARIOS = [
    pytest.param(part, id=part.splitlines()[0])
    for spec in SPECS
    for part in parts(spec.read_text("utf-8"), "#### Scenario: ")
]


@cache
def functions_of(path: str) -> frozenset[str]:
    """The names of the test functions of a file, read without running it."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_there_are_specifications() -> None:
    """The checks below look at something."""
    assert SPECS
    assert SCENARIOS


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.parent.name)
def test_every_requirement_says_shall_and_has_a_scenario(spec: Path) -> None:
    """A requirement is binding, and somebody has thought of a case."""
    requirements = parts(spec.read_text(encoding="utf-8"), "### Requirement: ")
    assert requirements
    assert [text.splitlines()[0] for text in requirements if "SHALL" not in text or "#### Scenario: " not in text] == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_has_a_proof_that_exists(scenario: str) -> None:
    """A scenario has WHEN and THEN, and names tests that are there."""
    assert "- WHEN " in scenario
    assert "- THEN " in scenario
    named = PROOF.search(scenario)
    assert named is not None
    for proof in named[1].split(","):
        path, _, test = proof.strip().partition("::")
        assert (ROOT / path).is_file(), proof
        assert test in functions_of(path), proof
