"""What a stage is told: its services, its time, and nothing it did not ask for."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from medical_kg import (
    Condition,
    ConditionRef,
    ContractError,
    Page,
    PluginName,
    Rejected,
    Signal,
    Stage,
    StageContext,
    StageTimeout,
    StoredFile,
    Waiting,
)
from medical_kg.orchestration.contract import SERVICES, SystemClock
from medical_kg.testing import FakeClock


def context(**more: Any) -> StageContext:
    logger = logging.LoggerAdapter(logging.getLogger("test"), {})
    return StageContext("p", "my_stage", "s", "b", "t", config=None, logger=logger, **more)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_by_name(name: str) -> None:
    """Each service has an attribute of its name."""
    service = object()
    assert getattr(context(services={name: service}), name) is service


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_undeclared_services_are_refused(name: str) -> None:
    """A service that the metadata does not declare is refused, naming stage and service."""
    what = f"stage 'my_stage' broke its contract: it asked for service '{name}', which its metadata does not declare"
    with pytest.raises(ContractError, match=what):
        getattr(context(), name)


def test_the_time_of_a_call() -> None:
    """A call has its own deadline on the context's clock; without one there is no limit."""
    ctx = context(clock=FakeClock())
    assert ctx.remaining() is None
    ctx.check_timeout()
    ctx.start_call(10)
    ctx.clock.sleep(9)
    assert ctx.remaining() == 1
    ctx.check_timeout()
    ctx.clock.sleep(2)
    assert ctx.remaining() == 0
    with pytest.raises(StageTimeout, match="stage 'my_stage' used up the timeout_seconds of its policy"):
        ctx.check_timeout()
    ctx.start_call(5)
    assert ctx.remaining() == 5
    ctx.extend_call(3)
    assert ctx.remaining() == 8
    ctx.start_call(None)
    ctx.extend_call(3)
    assert ctx.remaining() is None


def test_the_system_s_clock() -> None:
    """Unless a test gives another, time is the machine's."""
    clock = context().clock
    assert isinstance(clock, SystemClock)
    assert abs(clock.now() - time.time()) < 60
    first = clock.monotonic()
    clock.sleep(0)
    assert clock.monotonic() >= first


def test_condition_names_are_texts_of_their_own() -> None:
    """A config field for a condition's name takes text, refuses emptiness, and keeps its type for the check."""
    adapter = TypeAdapter(ConditionRef)
    assert isinstance(adapter.validate_python("ready"), ConditionRef)
    assert adapter.dump_json(adapter.validate_python("ready")) == b'"ready"'
    assert adapter.json_schema() == {"minLength": 1, "type": "string"}
    for wrong in ("", 3, None):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (Page([]), "cursor"),
        (Rejected("i", "why"), "root"),
        (PluginName("door"), "door"),
        (Waiting(Condition.model_validate({"clauses": [{"field": "x"}]})), "deadline"),
    ],
)
def test_outcomes_are_frozen(record: Any, field: str) -> None:
    """What a stage gave back is not changed afterwards."""
    with pytest.raises(AttributeError):
        setattr(record, field, "changed")


def test_records_refuse_unknown_fields() -> None:
    """What comes from outside in these records is checked."""
    with pytest.raises(ValidationError):
        Signal.model_validate({"name": "x", "valeu": 1})
    with pytest.raises(ValidationError):
        StoredFile.model_validate({"uri": "x", "sha256": "y", "size": "big"})


def test_the_base_of_stages_does_nothing_by_itself() -> None:
    """A stage keeps its config as it is, opens and closes nothing, and has no method of its own."""
    config, ctx = object(), context()
    stage: Stage[Any] = Stage(config)
    assert stage.config is config
    assert Stage.configure(config, stage="s", conditions={}) is config
    stage.open(ctx)
    stage.close()
    for call in (
        lambda: stage.run(ctx),
        lambda: stage.process(ctx, 1),
        lambda: stage.process_many(ctx, [1]),
        lambda: stage.pull(ctx, None, 1),
    ):
        with pytest.raises(NotImplementedError):
            call()
