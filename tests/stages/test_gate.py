"""``gate``: passes, waits, or goes on after its time; and finds the condition it is meant for."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from medical_kg import Clause, Condition, ConditionRef, NamedCondition, StageContext, Waiting
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stages.gate import GateConfig, GateStage

READY = Condition(clauses=(Clause(field="pdf_ir_ready", value=True),))


@dataclass
class Told:
    """The signals service over a plain mapping."""

    values: dict[str, Any] = field(default_factory=dict)
    baseline: dict[str, Any] = field(default_factory=dict)

    def holds(self, condition: Condition) -> bool:
        return condition.holds(self.values, self.baseline)


def named(name: str = "pdf_ir_ready", condition: Condition = READY, **more: Any) -> NamedCondition:
    return NamedCondition(name=name, condition=condition, **more)


def context(conditions: list[NamedCondition], told: Told, **more: Any) -> StageContext:
    return StageContext(
        pipeline="p",
        stage="gate_pdf_ir_ready",
        submission_id="s",
        batch_id="b",
        tenant="t",
        config=None,
        logger=logging.LoggerAdapter(logging.getLogger("test")),
        conditions={one.name: one for one in conditions},
        services={"signals": told},
        **more,
    )


def gate(name: str | None = "pdf_ir_ready") -> GateStage:
    return GateStage(GateConfig(gate=None if name is None else ConditionRef(name)))


def test_condition_that_holds_lets_pass() -> None:
    """A condition that holds gives no output, and no wait."""
    assert gate().run(context([named()], Told({"pdf_ir_ready": True}))) is None


@pytest.mark.parametrize("on_timeout", ["fail", "continue"])
@pytest.mark.parametrize(("seconds", "deadline"), [(900, timedelta(minutes=15)), (None, None)])
def test_condition_that_does_not_hold_waits(on_timeout: Any, seconds: Any, deadline: Any) -> None:
    """A condition that does not hold is waited for, as long and with the end its pipeline says."""
    condition = named(timeout_seconds=seconds, on_timeout=on_timeout)
    waiting = gate().run(context([condition], Told({"pdf_ir_ready": False})))
    assert waiting == Waiting(READY, deadline=deadline, on_timeout=on_timeout)


def test_timeout_with_continue_lets_pass(caplog: pytest.LogCaptureFixture) -> None:
    """Called again after its time, the gate lets the batch go on and says so."""
    assert gate().run(context([named(on_timeout="continue")], Told(), timed_out=True)) is None
    assert "did not hold in time" in caplog.text


def test_changed_looks_at_the_start_of_the_wait() -> None:
    """The gate leaves the baseline of ``changed`` to the signals service."""
    changed = named("n", Condition(clauses=(Clause(field="n", operator="changed"),)))
    assert gate("n").run(context([changed], Told({"n": 2}, {"n": 1}))) is None
    assert isinstance(gate("n").run(context([changed], Told({"n": 1}, {"n": 1}))), Waiting)


def test_any_of_several_clauses() -> None:
    """All and any are the condition's business; the gate asks it."""
    clauses = (Clause(field="a", operator="exists"), Clause(field="b", operator="in", value=[1, 2]))
    either = named("either", Condition(mode="any", clauses=clauses))
    both = named("both", Condition(mode="all", clauses=clauses))
    ctx = context([either, both], Told({"b": 2}))
    assert gate("either").run(ctx) is None
    assert isinstance(gate("both").run(ctx), Waiting)


@pytest.mark.parametrize("name", ["pdf_ready", None])
def test_unknown_condition_is_a_clear_error(name: str | None) -> None:
    """A gate whose condition the pipeline does not have names it and those there are."""
    with pytest.raises(UsageError, match=r"gate_pdf_ir_ready.*no condition.*pdf_ir_ready"):
        gate(name).run(context([named()], Told()))


@pytest.mark.parametrize(
    ("stage", "names", "expected"),
    [
        ("gate_pdf_ir_ready", ["other", "pdf_ir_ready"], "pdf_ir_ready"),
        ("gate-pdf-ir-ready", ["other", "pdf_ir_ready"], "pdf_ir_ready"),
        ("gate_pdf_ir_ready", ["other", "pdf-ir-ready"], "pdf-ir-ready"),
        ("pdf_ir_ready", ["other", "pdf_ir_ready"], "pdf_ir_ready"),
        ("wait", ["only"], "only"),
    ],
)
def test_missing_gate_is_completed(stage: str, names: list[str], expected: str) -> None:
    """Without ``gate`` the condition named like the stage is meant, else the only one there is."""
    completed = GateStage.configure(GateConfig(), stage=stage, conditions={name: named(name) for name in names})
    assert completed == GateConfig(gate=ConditionRef(expected))
    assert isinstance(completed.gate, ConditionRef)


def test_given_gate_is_kept() -> None:
    """A gate that is named is never replaced."""
    config = GateConfig(gate=ConditionRef("b"))
    conditions = {name: named(name) for name in ("a", "b")}
    assert GateStage.configure(config, stage="gate_a", conditions=conditions) is config


@pytest.mark.parametrize(("names", "listed"), [(["a", "b"], "a, b"), ([], "none"), (["x-y", "x_y"], "x-y, x_y")])
def test_doubtful_gate_is_refused(names: list[str], listed: str) -> None:
    """Where no condition is meant without doubt, the message lists those there are."""
    with pytest.raises(ValueError, match=f"gate_x_y.*{listed}"):
        GateStage.configure(GateConfig(), stage="gate_x_y", conditions={name: named(name) for name in names})


def test_gate_has_no_part_in_the_data() -> None:
    """A gate reads nothing, writes nothing and counts nothing."""
    metadata = GateStage.metadata
    assert (metadata.reads, metadata.writes, metadata.output_counter) == ((), (), None)
