"""Whatever is done to a right file, the check answers with problems, never with an exception."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medical_kg.orchestration.pipeline.check import CheckResult
from medical_kg.orchestration.pipeline.load import parse

TEXT = (Path(__file__).parent / "data" / "pmc-fulltext.yaml").read_text(encoding="utf-8")
TREE = parse(TEXT, "f")
PATHS = [path for path in TREE.values if path]
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["", "ingest", "parse", "no_such", "chunk", "-", "pdf_ir_ready", "x" * 300, "é"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "type", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
quiet = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def judge(text: str, run_check: Callable[..., CheckResult]) -> None:
    result = run_check(text)
    assert (result.plan is None) == bool(result.errors)
    for problem in result.problems:
        assert problem.line >= 1
        assert str(problem).startswith("<text>:")


@quiet
@given(changes=st.lists(st.tuples(st.sampled_from(PATHS), ODD), min_size=1, max_size=3))
def test_any_value_may_stand_anywhere(changes: list[tuple[Any, Any]], run_check: Callable[..., CheckResult]) -> None:
    """Values of the wrong kind, at any place of the file, are problems with places."""
    value = copy.deepcopy(TREE.value)
    for path, odd in changes:
        inner = value
        for step in path[:-1]:
            fits = isinstance(inner, dict) if isinstance(step, str) else isinstance(inner, list)
            inner = inner[step] if fits and (step in inner if isinstance(step, str) else step < len(inner)) else {}
        if isinstance(inner, dict) or (isinstance(inner, list) and isinstance(path[-1], int) and path[-1] < len(inner)):
            inner[path[-1]] = odd
    judge(yaml.safe_dump(value), run_check)


@quiet
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(TEXT)), st.integers(0, 12), st.text(max_size=3)), min_size=1, max_size=4
    )
)
def test_any_characters_may_stand_anywhere(
    edits: list[tuple[int, int, str]], run_check: Callable[..., CheckResult]
) -> None:
    """Characters put in, taken out or replaced anywhere give a plan or problems."""
    text = TEXT
    for start, count, put in edits:
        text = text[:start] + put + text[start + count :]
    judge(text, run_check)
