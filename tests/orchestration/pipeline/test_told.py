"""What people are told of a wrong text, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from medical_kg.orchestration.pipeline.check import CheckResult
from medical_kg.orchestration.pipeline.problems import Problem

CASES = (Path(__file__).parent / "data" / "told.txt").read_text(encoding="utf-8").rstrip("\n").split("\n\n===\n")
"""A text, then ``>>> CODE LINE:COLUMN PATH``, the message and the advice of each problem."""


def told(problem: Problem) -> str:
    head = f">>> {problem.code} {problem.line}:{problem.column} {problem.path}".rstrip()
    return "\n".join([head, problem.message, *([f"help: {problem.suggestion}"] if problem.suggestion else [])])


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(re.findall(r"MKG\d+", case)))
def test_what_is_wrong_is_told_in_these_words(case: str, run_check: Callable[..., CheckResult]) -> None:
    """Each problem of a text gives its code, its place, a message that says what is wrong, and a way out."""
    text, *expected = re.split(r"\n(?=>>> )", case)
    assert [told(problem) for problem in run_check(text).problems] == expected
