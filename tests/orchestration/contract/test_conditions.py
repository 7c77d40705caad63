"""Conditions over signals: the operators, all and any, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from medical_kg import Clause, Condition

HOLDS: list[tuple[str, Any, dict[str, Any], bool]] = [
    ("equals", True, {"x": True}, True),
    ("equals", True, {"x": False}, False),
    ("equals", True, {"x": 1}, False),
    ("equals", 1, {"x": True}, False),
    ("equals", 1, {"x": 1.0}, True),
    ("equals", True, {}, False),
    ("equals", None, {"x": None}, True),
    ("equals", None, {}, False),
    ("not_equals", True, {"x": False}, True),
    ("not_equals", True, {"x": True}, False),
    ("not_equals", True, {}, True),
    ("exists", None, {"x": None}, True),
    ("exists", None, {}, False),
    ("exists", True, {"x": 0}, True),
    ("exists", False, {}, True),
    ("exists", False, {"x": 0}, False),
    ("in", ["a", "b"], {"x": "b"}, True),
    ("in", ["a", "b"], {"x": "c"}, False),
    ("in", [1, 2], {"x": True}, False),
    ("in", ["a"], {}, False),
    ("gte", 3, {"x": 3}, True),
    ("gte", 3, {"x": 2.9}, False),
    ("gte", 3, {"x": "4"}, False),
    ("gte", 0, {"x": True}, False),
    ("gte", "2026-01", {"x": "2026-02"}, True),
    ("gte", "2026-01", {"x": 5}, False),
    ("gte", 3, {}, False),
    ("lte", 3, {"x": 3}, True),
    ("lte", 3, {"x": 4}, False),
    ("lte", "b", {"x": "a"}, True),
    ("lte", 3, {}, False),
]


@pytest.mark.parametrize(("operator", "value", "signals", "expected"), HOLDS)
def test_operator(operator: Any, value: Any, signals: dict[str, Any], *, expected: bool) -> None:
    """Each operator compares values of one sort only, and a signal nobody told has no value."""
    assert Clause(field="x", operator=operator, value=value).holds(signals, {}) is expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"x": 1}, {"x": 2}, True),
        ({"x": 1}, {"x": 1}, False),
        ({}, {"x": 1}, True),
        ({}, {}, False),
        ({"x": 1}, {"x": True}, True),
    ],
)
def test_changed_compares_with_the_start_of_the_wait(
    before: dict[str, Any], now: dict[str, Any], *, expected: bool
) -> None:
    """``changed`` holds when the value is not the one from when the wait began; being told at all is a change."""
    assert Condition(clauses=(Clause(field="x", operator="changed"),)).holds(now, before) is expected


def test_all_and_any() -> None:
    """``all`` needs every clause, ``any`` one of them."""
    clauses = (Clause(field="x", value=True), Clause(field="n", operator="gte", value=3))
    every, one = Condition(mode="all", clauses=clauses), Condition(mode="any", clauses=clauses)
    for signals, all_holds, any_holds in [
        ({"x": True, "n": 3}, True, True),
        ({"x": True, "n": 2}, False, True),
        ({"n": 3}, False, True),
        ({}, False, False),
    ]:
        assert (every.holds(signals), one.holds(signals)) == (all_holds, any_holds), signals


def test_ledger_prefix_is_another_spelling() -> None:
    """``ledger.X`` asks for the signal ``X``."""
    clause = Clause(field="ledger.pdf_ir_ready", value=True)
    assert clause.field == "pdf_ir_ready"
    assert clause.holds({"pdf_ir_ready": True}, {})


@pytest.mark.parametrize(
    ("operator", "value", "reason"),
    [
        ("in", "abc", "needs a list"),
        ("gte", True, "needs a number or a text"),
        ("lte", None, "needs a number or a text"),
        ("exists", "yes", "takes true, false or nothing"),
        ("above", 1, "Input should be"),
    ],
)
def test_wrong_values_are_refused(operator: Any, value: Any, reason: str) -> None:
    """A clause whose value cannot fit its operator is refused when it is read, with the reason."""
    with pytest.raises(ValidationError, match=reason):
        Clause(field="x", operator=operator, value=value)


def test_condition_needs_a_clause() -> None:
    """An empty condition would always or never hold, so it is refused."""
    with pytest.raises(ValidationError):
        Condition(clauses=())


def test_condition_in_words() -> None:
    """A condition reads as words, for messages."""
    clauses = (Clause(field="x", value=True), Clause(field="y", operator="changed"))
    assert str(Condition(clauses=clauses)) == "x equals True and y changed"
    assert str(Condition(mode="any", clauses=clauses)) == "x equals True or y changed"
    assert str(Condition(clauses=(Clause(field="x", operator="exists", value=True),))) == "x exists"
