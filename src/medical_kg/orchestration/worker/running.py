"""One stage's work in a worker: load what it reads, call it with the engine's own code, store what it gives."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from medical_kg.orchestration.contract import NamedCondition, Stage, StageContext
from medical_kg.orchestration.contract.logs import stage_logger
from medical_kg.orchestration.contract.turns import in_turn
from medical_kg.orchestration.execution.calling import Called, call, pull
from medical_kg.orchestration.execution.keeping import plain
from medical_kg.orchestration.execution.leaving_out import counted
from medical_kg.orchestration.execution.remembering import Remembering, mark_till_done, received
from medical_kg.orchestration.execution.remembering import counted as with_cached
from medical_kg.orchestration.execution.remembering import plain as told_to_engine
from medical_kg.orchestration.execution.storing import load, store
from medical_kg.orchestration.execution.sweeping import Swept, sweep
from medical_kg.orchestration.isolation.board import OPENING, WHOLE, Board, Spool
from medical_kg.orchestration.isolation.errors import told
from medical_kg.orchestration.ledger.contract import OutputRef
from medical_kg.orchestration.resilience import Policy
from medical_kg.orchestration.worker.services import RemoteTurns, services
from medical_kg.orchestration.worker.watched import Items, Watched

if TYPE_CHECKING:
    from medical_kg.orchestration.contract.turns import Turns
    from medical_kg.orchestration.isolation.channel import Channel
    from medical_kg.orchestration.ledger.keeping import ItemResult, Remembered
    from medical_kg.orchestration.registry import StageType
    from medical_kg.orchestration.workspace import Workspace


class _Made(NamedTuple):
    """What a call gave: also who watched it, what a stream stage found, and what is kept of single items."""

    called: Called
    guard: Watched
    swept: Swept | None = None
    remembered: Remembered | None = None


class Runner:
    """Keeps the one stage instance of this worker open between requests.

    Args:
        workspace: where checkpoints are.
        channel: to the engine.
        out_of_memory: ends the process where memory is limited.
    """

    def __init__(
        self, workspace: Workspace, channel: Channel, *, out_of_memory: Callable[[], None] | None = None
    ) -> None:
        """Start with no stage."""
        self._workspace, self._channel, self._out_of_memory = workspace, channel, out_of_memory
        self._stage: Stage[Any] | None = None

    def run(self, type_: StageType, request: Mapping[str, Any], fds: list[int]) -> dict[str, Any]:
        """Do what the request says; ``fds`` are board and spool."""
        config, ctx = self._asked(type_, request)
        board = Board(fds[0])
        try:
            called = self._call(type_, config, ctx, request, board, Spool(fds[1]))
        finally:
            board.close()
        return self._answer(type_, called, request)

    def ask(self, type_: StageType, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a stage that keeps things what it keeps, or tell it to forget."""
        config, ctx = self._asked(type_, request)
        stage = type_.cls(config)
        stage.open(ctx)
        try:
            return {"value": plain(request["method"], getattr(stage, request["method"])(ctx, request["argument"]))}
        finally:
            stage.close()

    def _asked(self, type_: StageType, request: Mapping[str, Any]) -> tuple[Any, StageContext]:
        conditions = {name: NamedCondition.model_validate(one) for name, one in request["conditions"].items()}
        config = type_.metadata.config_model.model_validate(request["config"])
        config = type_.cls.configure(config, stage=request["context"]["stage"], conditions=conditions)
        logging.getLogger().setLevel(request["log_level"])
        return config, self._context(type_, request, config, conditions)

    def _call(
        self,
        type_: StageType,
        config: Any,
        ctx: StageContext,
        request: Mapping[str, Any],
        board: Board,
        spool: Spool,
    ) -> _Made:
        used = {(index, length): count for index, length, count in request["used"]}
        common: dict[str, Any] = {"board": board, "out_of_memory": self._out_of_memory}
        policy = Policy.model_validate(request["policy"])
        plain = (policy, ctx, self._retried, random.random)
        turns = self._under_turns(policy, ctx, board)
        if self._stage is None:
            opening = Watched(*_left(plain, used.get((OPENING, 0), 0)), **common)
            opening.at((OPENING, 0), used.get((OPENING, 0), 0))
            stage = type_.cls(config)
            opening(stage.open, ctx)
            self._stage = stage
        whole = used.get((WHOLE, 0), 0)
        guard = Watched(*_left((*plain, turns), whole), **common)
        guard.at((WHOLE, 0), whole)
        if type_.metadata.mode == "stream":
            take = partial(pull, self._stage, ctx, guard)
            asked = (request["cursor"], request["limit"], self._meet, request["leave_out"], request["most_pages"])
            called, swept = sweep(type_.metadata, take, *asked)
            return _Made(called, guard, swept)
        reads = self._reads(type_, request["reads"])
        if type_.metadata.mode == "item":
            items = reads[type_.metadata.read_keys[0].name]
            guard = Items(*plain, turns, items=items, metadata=type_.metadata, spool=spool, used=used, **common)
            if mark := request.get("mark") or mark_till_done(type_.metadata, policy, request.get("mark_till_done", "")):
                before = Remembering(guard, type_.metadata, mark, items, self._recall)
                called = call(self._stage, ctx, before, reads)
                return _Made(called, guard, remembered=before.remembered(called, failures=bool(called.put_off)))
        return _Made(call(self._stage, ctx, guard, reads), guard)

    def _under_turns(self, policy: Policy, ctx: StageContext, board: Board) -> Turns | None:
        """Put what makes requests under turns; returns those that the guard takes itself."""

        def on_wait(seconds: float) -> None:
            ctx.extend_call(seconds)
            board.wait(seconds)

        served = dict(ctx.services)
        turns = in_turn(served, RemoteTurns(self._channel, on_wait), by_policy=policy.takes_turns)
        ctx.services = served
        return turns

    def _recall(self, keys: Sequence[str]) -> dict[str, ItemResult]:
        return {one.key: one for one in map(received, self._asked_engine({"recall": list(keys)}))}

    def _reads(self, type_: StageType, refs: Mapping[str, Any]) -> dict[str, Any]:
        get = self._workspace.checkpoints.get
        known = {name: [OutputRef.model_validate(ref) for ref in found] for name, found in refs.items()}
        return {key.name: load(key, known[key.name], get) for key in type_.metadata.read_keys}

    def _meet(self, digests: Mapping[str, str], rejected: Sequence[str], *, process_all: bool) -> Collection[str]:
        said = {"met": dict(digests), "rejected": list(rejected), "process_all": process_all}
        skipped: list[str] = self._asked_engine(said)
        return skipped

    def _asked_engine(self, said: Mapping[str, Any]) -> Any:
        return self._channel.ask(said)["answer"]

    def _answer(self, type_: StageType, made: _Made, request: Mapping[str, Any]) -> dict[str, Any]:
        called, guard, swept, remembered = made
        answer: dict[str, Any] = {"overran": guard.overran, "cursor": called.cursor}
        if called.waiting is not None:
            waiting = called.waiting
            deadline = None if waiting.deadline is None else waiting.deadline.total_seconds()
            return answer | {
                "waiting": {
                    "condition": waiting.condition.model_dump(mode="json"),
                    "deadline": deadline,
                    "on_timeout": waiting.on_timeout,
                }
            }
        if called.put_off and request.get("may_put_off"):
            put_off = [{"failure": one.failure.plain(), "seconds": one.seconds} for one in called.put_off]
            return answer | {"put_off": put_off, "remembered": remembered and told_to_engine(remembered)}
        called.fail_put_off()
        if not request.get("mark"):
            remembered = None
        outputs, counts = store(type_.metadata, called, self._workspace.checkpoints.put)
        return answer | {
            "outputs": {name: ref.model_dump() for name, ref in outputs.items()},
            "counts": with_cached(counted(counts, swept.left_out if swept else 0), remembered),
            "remembered": remembered and told_to_engine(remembered),
            "failures": [failure.plain() for failure in called.failures],
            "swept": asdict(swept) if swept else None,
        }

    def _context(
        self, type_: StageType, request: Mapping[str, Any], config: Any, conditions: Mapping[str, NamedCondition]
    ) -> StageContext:
        said = request["context"]
        ids = {name: said[name] for name in ("submission_id", "batch_id", "stage")}
        return StageContext(
            **said,
            config=config,
            logger=stage_logger(type_.name, ids),
            conditions=conditions,
            services=services(type_.metadata.needs, self._workspace, said["tenant"], self._channel),
            isolated=True,
        )

    def _retried(self, attempt: int, delay: float, error: BaseException) -> None:
        self._channel.send({"retried": {"attempt": attempt, "delay": delay, "error": told(error)}})

    def close(self) -> None:
        """Close the stage, if it was opened."""
        if self._stage is not None:
            self._stage.close()
            self._stage = None


def _left(plain: tuple[Any, ...], used: int) -> tuple[Any, ...]:
    """Return a guard's arguments with the attempts that are left."""
    policy, *rest = plain
    return (policy.model_copy(update={"max_attempts": policy.max_attempts - used}), *rest)
