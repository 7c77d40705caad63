"""Conditions over signals: what a waiting stage waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, GetCoreSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema, core_schema

from medical_kg.orchestration.contract.model import Model

Operator = Literal["equals", "not_equals", "exists", "in", "gte", "lte", "changed"]
OnTimeout = Literal["fail", "continue"]

MISSING = object()
"""Stands for the value of a signal that nobody has told."""


class Clause(Model):
    """One test of one signal: ``field operator value``. ``ledger.X`` is another spelling of ``X``.

    ``exists`` takes an optional boolean (true unless given); ``changed`` takes none and compares with the value the
    signal had when the wait began. ``gte`` and ``lte`` compare numbers with numbers and text with text; anything else
    does not hold.
    """

    field: str = Field(min_length=1)
    operator: Operator = "equals"
    value: Any = None

    @field_validator("field")
    @classmethod
    def _plain_field(cls, field: str) -> str:
        return field.removeprefix("ledger.")

    @model_validator(mode="after")
    def _value_fits(self) -> Clause:
        if self.operator == "in" and not isinstance(self.value, (list, tuple)):
            msg = "operator 'in' needs a list of values"
            raise ValueError(msg)
        if self.operator in ("gte", "lte") and (
            isinstance(self.value, bool) or not isinstance(self.value, (int, float, str))
        ):
            msg = f"operator {self.operator!r} needs a number or a text"
            raise ValueError(msg)
        if self.operator == "exists" and not isinstance(self.value, (bool, type(None))):
            msg = "operator 'exists' takes true, false or nothing"
            raise ValueError(msg)
        return self

    def holds(self, signals: Mapping[str, Any], baseline: Mapping[str, Any]) -> bool:
        """Whether the clause holds for the signals' values; ``baseline`` is what they were when the wait began."""
        found = signals.get(self.field, MISSING)
        return TESTS[self.operator](found, self.value, baseline.get(self.field, MISSING))


def _same(left: Any, right: Any) -> bool:
    # true is not 1 here: YAML and JSON tell them apart, so do we.
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _comparable(found: Any, value: Any) -> bool:
    numbers = isinstance(found, (int, float)) and not isinstance(found, bool) and not isinstance(value, str)
    return numbers or (isinstance(found, str) and isinstance(value, str))


TESTS: Mapping[Operator, Callable[[Any, Any, Any], bool]] = {
    "equals": lambda found, value, _: _same(found, value),
    "not_equals": lambda found, value, _: not _same(found, value),
    "exists": lambda found, value, _: (found is not MISSING) is (value is not False),
    "in": lambda found, value, _: any(_same(found, one) for one in value),
    "gte": lambda found, value, _: _comparable(found, value) and found >= value,
    "lte": lambda found, value, _: _comparable(found, value) and found <= value,
    "changed": lambda found, _, before: not _same(found, before),
}
"""The operators: ``(value found, value asked for, value when the wait began) -> holds``."""


class Condition(Model):
    """All, or any, of some clauses over signals."""

    mode: Literal["all", "any"] = "all"
    clauses: tuple[Clause, ...] = Field(min_length=1)

    def holds(self, signals: Mapping[str, Any], baseline: Mapping[str, Any] | None = None) -> bool:
        """Whether the condition holds for the signals' values (``baseline``: their values when the wait began)."""
        test = all if self.mode == "all" else any
        return test(clause.holds(signals, baseline or {}) for clause in self.clauses)

    def __str__(self) -> str:
        """Return the clauses in words."""
        words = [
            f"{c.field} {c.operator}" + ("" if c.operator in ("exists", "changed") else f" {c.value!r}")
            for c in self.clauses
        ]
        return (" and " if self.mode == "all" else " or ").join(words)


class NamedCondition(Model):
    """A condition that a pipeline gives a name (an entry of ``gates``), with the time it may take.

    ``timeout_seconds`` counts from the first wait; None waits for ever.
    """

    name: str
    condition: Condition
    timeout_seconds: float | None = None
    on_timeout: OnTimeout = "fail"


class ConditionRef(str):
    """A config field of this type names one of the pipeline's conditions; the check refuses unknown names."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate as text, keep the type."""
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1))
