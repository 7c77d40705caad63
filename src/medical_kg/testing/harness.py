"""Running one stage with no engine around it: no ledger, no checkpoints, no Dagster.

The stage is configured, called, guarded, isolated, handled, checked and counted by the engine's own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medical_kg.orchestration.contract import (
    NamedCondition,
    Stage,
    StageContext,
    StageMetadata,
    Waiting,
)
from medical_kg.orchestration.contract.errors import ContractError
from medical_kg.orchestration.contract.logs import stage_logger
from medical_kg.orchestration.contract.turns import Turns, in_turn
from medical_kg.orchestration.execution.calling import Called, call, count, pull
from medical_kg.orchestration.execution.failing import Failure
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.resilience import Guard, HostTurns, MemoryHosts, Policy
from medical_kg.testing.fakes import FakeClock, FakeFiles, FakeSignals, FakeWorkspace
from medical_kg.testing.http import FakeHttp
from medical_kg.testing.state import StateView


@dataclass(frozen=True, slots=True)
class StageRun:
    """What came of the run.

    ``output`` is by key name and refuses keys the stage does not write; ``dead_letters`` are the items that failed;
    ``retries`` the errors that were retried; ``waiting`` what it waits for, if it does; ``cursor`` where a stream goes on,
    ``complete`` and ``process_all`` what else its page says.
    """

    output: StateView
    counts: Mapping[str, float]
    dead_letters: tuple[Failure, ...] = ()
    retries: tuple[BaseException, ...] = ()
    waiting: Waiting | None = None
    cursor: str | None = None
    complete: bool = False
    process_all: bool = False


@dataclass(slots=True)
class _Asked:
    """The keywords of ``run_stage`` that are not reads."""

    input: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, NamedCondition] = field(default_factory=dict)
    services: Mapping[str, Any] = field(default_factory=dict)
    stage_name: str | None = None
    workspace: Path | None = None
    policy: Policy = field(default_factory=Policy)
    clock: FakeClock = field(default_factory=FakeClock)
    sequence: int = 1
    timed_out: bool = False
    isolated: bool = False
    cursor: str | None = None
    limit: int = 100


class OpenStage:
    """A stage that is open; it may be called several times, as the engine calls it for several batches."""

    def __init__(self, stage: Stage[Any], ctx: StageContext, guard: Guard, retries: list[BaseException]) -> None:
        """Keep the stage; see ``opened_stage``."""
        self.stage, self.ctx = stage, ctx
        self._guard, self._retries = guard, retries

    def run(self, reads: Mapping[str, Any]) -> StageRun:
        """Call a batch or item stage with its reads by name; optional ones may be left out."""
        metadata = self.stage.metadata
        return self._result(call(self.stage, self.ctx, self._guard, _reads(metadata, reads)))

    def pull(self, cursor: str | None, limit: int) -> StageRun:
        """Take one page of a stream stage."""
        return self._result(pull(self.stage, self.ctx, self._guard, cursor, limit))

    def _result(self, called: Called) -> StageRun:
        metadata = self.stage.metadata
        # There is no later here.
        called.fail_put_off()
        output = StateView(f"stage type {metadata.stage_type!r}", metadata.writes, called.output)
        counts = {} if called.waiting else count(metadata, called.output)
        found = StageRun(output, counts, tuple(called.failures), tuple(self._retries), called.waiting, called.cursor)
        return replace(found, complete=called.complete, process_all=called.process_all)


@contextmanager
def opened_stage(
    stage_type: type[Stage[Any]], config: Mapping[str, Any] | None = None, /, **keywords: Any
) -> Iterator[OpenStage]:
    """Configure and open a stage, and close it when the block ends; keywords are those of ``run_stage`` but reads.

    Raises:
        ContractError: a service it needs is missing.
        pydantic.ValidationError: the config is wrong.
    """
    metadata, asked = stage_type.metadata, _Asked(**keywords)
    name = asked.stage_name or metadata.stage_type
    validated = metadata.config_model.model_validate(dict(config or {}))
    completed = stage_type.configure(validated, stage=name, conditions=asked.conditions)
    ctx = _context(metadata, name, completed, asked)
    stage = stage_type(completed)
    retries: list[BaseException] = []
    opening = Guard(asked.policy, ctx, lambda _attempt, _delay, error: retries.append(error), lambda: 0.5)
    opening(stage.open, ctx)
    guard = Guard(
        asked.policy,
        ctx,
        lambda _attempt, _delay, error: retries.append(error),
        lambda: 0.5,
        _turns(ctx, asked.policy),
    )
    try:
        yield OpenStage(stage, ctx, guard, retries)
    finally:
        stage.close()


def _turns(ctx: StageContext, policy: Policy) -> Turns | None:
    """Put the service ``http`` under the policy, as the engine does, with a state that ends with this stage."""
    turns = HostTurns("test", policy, MemoryHosts(), ctx.clock)
    turns.on_wait = ctx.extend_call
    services = dict(ctx.services)
    guarded = in_turn(services, turns, by_policy=policy.takes_turns)
    ctx.services = services
    return guarded


def run_stage(stage_type: type[Stage[Any]], config: Mapping[str, Any] | None = None, /, **keywords: Any) -> StageRun:
    """Run one stage and return what came of it.

    Args:
        stage_type: the stage class.
        config: its config as a pipeline would write it.
        keywords: one per key it reads (optional reads may be left out), and any of ``input`` (what ``ctx.input``
            holds), ``conditions`` (the pipeline's named conditions), ``services`` (in place of the fakes),
            ``stage_name``, ``workspace`` (a folder, e.g. ``tmp_path``, for stages that need one), ``policy``,
            ``clock``, ``sequence``, ``timed_out``, ``isolated``; for a stream stage ``cursor`` and ``limit``. Where a
            key read has one of these names, the keyword gives the key.

    Raises:
        ContractError: a needed read is missing, or the stage broke its contract.
        pydantic.ValidationError: the config is wrong.
        Exception: what a batch or stream stage raised.
    """
    metadata = stage_type.metadata
    ours = _Asked.__dataclass_fields__.keys() - {key.name for key in metadata.read_keys}
    asked = {name: keywords.pop(name) for name in list(keywords) if name in ours}
    reads = _reads(metadata, keywords)
    with opened_stage(stage_type, config, **asked) as stage:
        if metadata.mode == "stream":
            return stage.pull(asked.get("cursor"), asked.get("limit", _Asked().limit))
        return stage.run(reads)


def _reads(metadata: StageMetadata, given: Mapping[str, Any]) -> dict[str, Any]:
    plugin = f"stage type {metadata.stage_type!r}"
    known = {key.name for key in metadata.read_keys}
    if unknown := given.keys() - known:
        what = f"it does not read {', '.join(sorted(unknown))}; it reads {', '.join(sorted(known)) or 'nothing'}"
        raise ContractError(plugin, f"{what}; run_stage also takes {', '.join(_Asked.__dataclass_fields__)}")
    optional = {key.name for key in metadata.optional_keys}
    if missing := known - given.keys() - optional:
        raise ContractError(plugin, f"it was run without {', '.join(sorted(missing))}, which it reads")
    return {key.name: given.get(key.name) for key in metadata.read_keys}


def _context(metadata: StageMetadata, name: str, config: Any, asked: _Asked) -> StageContext:
    services: dict[str, Any] = {
        "files": FakeFiles(),
        "http": FakeHttp(),
        "plugins": Installation(),
        "signals": FakeSignals(),
    }
    if asked.workspace is not None:
        services["workspace"] = FakeWorkspace(asked.workspace)
    services |= asked.services
    if lacking := set(metadata.needs) - services.keys():
        what = f"it needs {', '.join(sorted(lacking))}: give run_stage(services=…), or workspace=tmp_path"
        raise ContractError(f"stage type {metadata.stage_type!r}", what)
    return StageContext(
        pipeline="test",
        stage=name,
        submission_id="s-test",
        batch_id="s-test-0001",
        tenant="test",
        sequence=asked.sequence,
        config=config,
        logger=stage_logger(metadata.stage_type, {}),
        input=asked.input,
        conditions=asked.conditions,
        services={need: services[need] for need in metadata.needs},
        clock=asked.clock,
        timed_out=asked.timed_out,
        isolated=asked.isolated,
    )
