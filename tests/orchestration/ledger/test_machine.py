"""The ledger against a plain model of it, over random sequences of calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from medical_kg.orchestration.contract import Signal
from medical_kg.orchestration.contract.errors import BatchHeld, IllegalTransition, StaleGeneration
from medical_kg.orchestration.ledger.contract import LEGAL_MOVES, UNFINISHED, NextBatch, Status
from medical_kg.orchestration.ledger.sql import open_ledger
from medical_kg.orchestration.ledger.transitions import submission_status

STAGES = ["ingest", "gate"]
OWNERS = st.sampled_from(["ana", "ben"])
LEASE = 60.0


@dataclass
class Model:
    """What the ledger should know of a batch; ``told`` are the lines of its moves: event, actor, time."""

    status: Status = "pending"
    generation: int = 0
    owner: str = ""
    until: float = 0.0
    results: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, str, float]] = field(default_factory=list)

    def move(self, status: Status, actor: str, now: float) -> None:
        assert status in LEGAL_MOVES[self.status]
        self.status = status
        self.told.append((status, actor, now))


class LedgerMachine(RuleBasedStateMachine):
    """Claims, commits, settles, retries and cancels batches of one submission, rightly and wrongly."""

    fresh_url: Callable[[], str]
    make: Any
    clock: Any
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.clock.time = 1_000.0
        self.ledger = open_ledger(type(self).fresh_url(), clock=self.clock)
        self.models: dict[str, Model] = {}

    def teardown(self) -> None:
        self.ledger.close()

    def opened(self, actor: str) -> str:
        batch_id = f"s1-{len(self.models) + 1:04d}"
        self.models[batch_id] = Model(told=[("pending", actor, self.clock.time)])
        return batch_id

    def unchanged(self) -> int:
        return len(self.ledger.history("s1"))

    def at_work(self, batch_id: str, generation: int) -> type[Exception] | None:
        model = self.models[batch_id]
        if generation != model.generation:
            return StaleGeneration
        return None if model.status in ("running", "failed") else BatchHeld

    @initialize(target=ids)
    def submit(self) -> str:
        self.ledger.open_submission(self.make.new(id="s1"))
        return self.opened("ana")

    @rule(seconds=st.sampled_from([1.0, LEASE, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.time += seconds

    @rule(batch_id=ids, owner=OWNERS, dead_owner=st.none() | OWNERS)
    def claim(self, batch_id: str, owner: str, dead_owner: str | None) -> None:
        model, now = self.models[batch_id], self.clock.time
        held = model.status == "running" and model.owner not in (owner, dead_owner) and model.until > now
        if held or model.status not in ("pending", "waiting", "running"):
            with pytest.raises(BatchHeld):
                self.ledger.claim(batch_id, owner, lease_seconds=LEASE, dead_owner=dead_owner)
            return
        batch = self.ledger.claim(batch_id, owner, lease_seconds=LEASE, dead_owner=dead_owner)
        model.move("running", owner, now)
        model.generation, model.owner, model.until = model.generation + 1, owner, now + LEASE
        assert batch.generation == model.generation

    @rule(batch_id=ids, late=st.booleans())
    def heartbeat(self, batch_id: str, late: bool) -> None:  # noqa: FBT001  # hypothesis gives arguments by name
        model = self.models[batch_id]
        generation = model.generation - late
        if error := self.at_work(batch_id, generation):
            with pytest.raises(error):
                self.ledger.heartbeat(batch_id, generation, lease_seconds=LEASE)
            return
        self.ledger.heartbeat(batch_id, generation, lease_seconds=LEASE)
        model.until = self.clock.time + LEASE

    @rule(
        target=ids,
        batch_id=ids,
        stage=st.sampled_from(STAGES),
        status=st.sampled_from(["completed", "completed", "failed", "waiting"]),
        more=st.booleans(),
        late=st.sampled_from([0, 0, 0, 1]),
    )
    def commit(self, batch_id: str, stage: str, status: str, more: bool, late: int) -> Any:  # noqa: FBT001  # as above
        model, before = self.models[batch_id], self.unchanged()
        generation = model.generation - late
        record = self.make.record(batch_id, stage, status)
        given: dict[str, Any] = {
            "wait": self.make.wait(batch_id, stage) if status == "waiting" else None,
            "next_batch": NextBatch(cursor="next") if more else None,
        }
        if error := self.at_work(batch_id, generation):
            with pytest.raises(error):
                self.ledger.commit(record, generation, **given)
            assert self.unchanged() == before
            return multiple()
        self.ledger.commit(record, generation, **given)
        model.results[stage] = status
        if status == "failed" and model.status != "failed":
            model.move("failed", model.owner, self.clock.time)
        follows = batch_id == f"s1-{len(self.models):04d}"
        return self.opened(model.owner) if more and follows else multiple()

    @rule(batch_id=ids, late=st.sampled_from([0, 0, 0, 1]))
    def settle(self, batch_id: str, late: int) -> None:
        model, before = self.models[batch_id], self.unchanged()
        generation = model.generation - late
        found = [model.results.get(stage) for stage in STAGES]
        status: Status = "completed" if set(found) == {"completed"} else "pending"
        status = "failed" if "failed" in found else "waiting" if "waiting" in found else status
        if late:
            with pytest.raises(StaleGeneration):
                self.ledger.settle(batch_id, generation, STAGES)
        elif model.status == status == "failed":
            assert self.ledger.settle(batch_id, generation, STAGES).status == "failed"
        elif model.status == "cancelled":
            with pytest.raises(BatchHeld):
                self.ledger.settle(batch_id, generation, STAGES)
        elif model.status == "failed" or status not in LEGAL_MOVES[model.status]:
            with pytest.raises(IllegalTransition):
                self.ledger.settle(batch_id, generation, STAGES)
        else:
            self.ledger.settle(batch_id, generation, STAGES)
            model.move(status, model.owner, self.clock.time)
            return
        assert self.unchanged() == before

    @rule(batch_id=ids, actor=OWNERS)
    def reopen(self, batch_id: str, actor: str) -> None:
        model, before = self.models[batch_id], self.unchanged()
        if model.status != "failed":
            with pytest.raises(IllegalTransition):
                self.ledger.reopen(batch_id, actor)
            assert self.unchanged() == before
            return
        self.ledger.reopen(batch_id, actor)
        model.move("pending", actor, self.clock.time)
        model.results = {stage: status for stage, status in model.results.items() if status != "failed"}

    @rule(actor=OWNERS, really=st.sampled_from([False, False, False, True]))
    def cancel(self, actor: str, really: bool) -> None:  # noqa: FBT001  # as above
        unfinished = [model for model in self.models.values() if model.status in UNFINISHED]
        if not unfinished:
            with pytest.raises(IllegalTransition):
                self.ledger.cancel("s1", actor)
        elif really:
            self.ledger.cancel("s1", actor)
            for model in unfinished:
                model.move("cancelled", actor, self.clock.time)

    @rule(batch_id=ids, actor=OWNERS)
    def cancel_one(self, batch_id: str, actor: str) -> None:
        model, before = self.models[batch_id], self.unchanged()
        if model.status in UNFINISHED:
            self.ledger.cancel("s1", actor, batch_id=batch_id)
            model.move("cancelled", actor, self.clock.time)
            return
        with pytest.raises(IllegalTransition):
            self.ledger.cancel("s1", actor, batch_id=batch_id)
        assert self.unchanged() == before

    @rule()
    def tell(self) -> None:
        if any(model.status in UNFINISHED for model in self.models.values()):
            self.ledger.tell("s1", Signal(name="other"))
        else:
            with pytest.raises(IllegalTransition):
                self.ledger.tell("s1", Signal(name="other"))

    @invariant()
    def batches_are_as_the_model_says(self) -> None:
        found = {batch.id: batch for batch in self.ledger.batches("s1")}
        assert list(found) == list(self.models)
        for ident, model in self.models.items():
            batch = found[ident]
            assert (batch.status, batch.generation) == (model.status, model.generation)
            held = (model.owner, model.until) if model.status == "running" else (None, None)
            assert (batch.lease_owner, batch.lease_until) == held
            results = {stage: record.status for stage, record in self.ledger.results(ident).items()}
            assert results == model.results

    @invariant()
    def the_submission_follows(self) -> None:
        if self.models:
            expected = submission_status(model.status for model in self.models.values())
            assert self.ledger.submission("s1").status == expected

    @invariant()
    def only_unfinished_work_is_ready(self) -> None:
        now = self.clock.time
        due = {
            ident
            for ident, model in self.models.items()
            if model.status == "pending" or (model.status == "running" and model.until <= now)
        }
        assert {batch.id for batch in self.ledger.ready(limit=1000)} == due

    @invariant()
    def every_move_is_in_the_history(self) -> None:
        lines = self.ledger.history("s1") if self.models else []
        assert [line.id for line in lines] == sorted(line.id for line in lines)
        assert all(line.actor and line.reason for line in lines if line.event in LEGAL_MOVES)
        assert all(line.stage and line.actor for line in lines if line.event.startswith("stage "))
        for ident, model in self.models.items():
            moves = [line for line in lines if line.batch_id == ident and line.event in LEGAL_MOVES]
            assert [(line.event, line.actor, line.at) for line in moves] == model.told


@pytest.mark.slow
def test_the_ledger_keeps_to_its_model(fresh_url: Callable[[], str], database: str, make: Any, clock: Any) -> None:
    """Whatever is called, illegal transitions change nothing and legal ones are in the history, each once."""

    class Machine(LedgerMachine):
        pass

    Machine.fresh_url, Machine.make, Machine.clock = staticmethod(fresh_url), make, clock
    few = settings(
        max_examples=40 if database == "sqlite" else 15,  # a server takes three times as long for one
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    run_state_machine_as_test(Machine, settings=few)
