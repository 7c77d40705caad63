"""Running one stage of one batch. The Dagster op, the plain runner and the test kit all come through here.

bind inputs → reuse the checkpoint if its fingerprint still fits → guard → call → handle → check → store → commit
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import ContractError, LedgerError, WaitTimedOut
from medical_kg.orchestration.execution.batch import Outcome
from medical_kg.orchestration.execution.calling import Called, Failure, call, count, pull
from medical_kg.orchestration.ledger.contract import DeadLetter, NextBatch, Note, OutputRef, StageRecord, Wait
from medical_kg.orchestration.resilience import Guard
from medical_kg.orchestration.telemetry.events import (
    CallOverran,
    CallRetried,
    ItemDeadLettered,
    StageCompleted,
    StageFailed,
    StagePaused,
    StageReused,
    StageStarted,
)

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey, Waiting
    from medical_kg.orchestration.execution.batch import BatchRun
    from medical_kg.orchestration.ledger.contract import StageStatus
    from medical_kg.orchestration.pipeline.plan import Binding, PlannedStage


def execute_stage(run: BatchRun, name: str) -> Outcome:
    """Run one stage of a batch, or reuse its stored result, and commit what came of it.

    A stage's own failure is committed and returned as an outcome.

    Raises:
        LedgerError: the ledger refused the commit (e.g. ``StaleGeneration``); nothing was changed.
    """
    execution = _Execution(run, run.plan.stage(name))
    try:
        return execution.run()
    except LedgerError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything; it fails this stage only
        return execution.fail(error)


def fingerprint(planned: PlannedStage, inputs: Mapping[str, list[str]]) -> str:
    """Return the sha256 over everything that decides a stage's output.

    That is its type, distribution, behaviour version, config, the conditions its config names, and the content digests
    of its inputs. The distribution's version is left out: an upgrade must not void the work of waiting batches.
    """
    parts = {
        "type": planned.type.name,
        "distribution": planned.type.origin.distribution,
        "version": planned.type.metadata.version,
        "config": planned.config.model_dump(mode="json"),
        "conditions": {name: condition.model_dump(mode="json") for name, condition in planned.conditions.items()},
        "inputs": inputs,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class _Execution:
    """The state of running one stage once."""

    def __init__(self, run: BatchRun, planned: PlannedStage) -> None:
        self._batch_run, self._planned = run, planned
        self._metadata = planned.type.metadata
        self._started = run.clock.now()
        self._notes: list[Note] = []

    def run(self) -> Outcome:
        run, planned = self._batch_run, self._planned
        results = run.ledger.results(run.batch.id)
        if lacking := [stage for stage in planned.depends_on if not _is_done(results.get(stage))]:
            return Outcome(planned.name, "skipped", reason=f"{', '.join(lacking)} gave nothing")
        refs = {binding.key.name: _refs(binding, results) for binding in planned.bindings}
        mark = fingerprint(planned, {name: [ref.digest for ref in found] for name, found in refs.items()})
        former = results.get(planned.name)
        if former is not None and self._may_reuse(former, mark):
            run.ledger.note(
                run.batch.id, run.batch.generation, planned.name, Note(event="stage reused", reason="unchanged")
            )
            run.events.emit(StageReused(**run.about(planned), counts=former.counts))
            return Outcome(planned.name, "reused", former)
        run.events.emit(StageStarted(**run.about(planned)))
        return self._work(self._load(refs), mark)

    def _may_reuse(self, former: StageRecord, mark: str) -> bool:
        # What a stream stage gave a batch is fixed for that batch: its source may have moved on.
        fits = former.fingerprint == mark or self._metadata.mode == "stream"
        stored = all(self._batch_run.checkpoints.has(ref.digest, ref.suffix) for ref in former.outputs.values())
        return former.status == "completed" and fits and stored

    def _load(self, refs: Mapping[str, list[OutputRef]]) -> dict[str, Any]:
        reads: dict[str, Any] = {}
        for binding in self._planned.bindings:
            values = [self._value(binding.key, ref) for ref in refs[binding.key.name]]
            if not values:
                reads[binding.key.name] = None
            elif binding.key.is_list:
                # A list of its own for each reader: what one does to it stays with it.
                reads[binding.key.name] = [item for value in values for item in value]
            else:
                reads[binding.key.name] = values[0]
        return reads

    def _value(self, key: StateKey[Any], ref: OutputRef) -> Any:
        run = self._batch_run
        # By key as well: equal bytes may stand for records of different types.
        if (key.name, ref.digest) not in run.values:
            assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
            run.values[key.name, ref.digest] = key.codec.decode(run.checkpoints.get(ref.digest, ref.suffix))
        return run.values[key.name, ref.digest]

    def _work(self, reads: dict[str, Any], mark: str) -> Outcome:
        run, planned = self._batch_run, self._planned
        wait = run.ledger.wait(run.batch.id, planned.name)
        ctx = run.context(planned)
        timed_out = wait is not None and wait.deadline_at is not None and run.clock.now() >= wait.deadline_at
        ctx.timed_out = timed_out and wait is not None and wait.on_timeout == "continue"
        guard = Guard(planned.policy, ctx, self._retried, run.draw)
        with run.instances.use(planned, ctx, guard) as stage:
            if self._metadata.mode == "stream":
                called = pull(stage, ctx, guard, run.batch.cursor, run.submission.batch_size)
            else:
                called = call(stage, ctx, guard, reads)
        if guard.overran:
            run.events.emit(CallOverran(**run.about(planned), calls=guard.overran))
        if called.waiting is not None:
            if timed_out:
                msg = f"the wait for {called.waiting.condition} reached its deadline"
                raise WaitTimedOut(msg)
            return self._wait(called.waiting, wait, mark)
        return self._complete(called, mark)

    def _retried(self, attempt: int, delay: float, error: BaseException) -> None:
        run = self._batch_run
        said = f"{type(error).__name__}: {error}"
        self._notes.append(Note(event="retrying", reason=said, detail={"attempt": attempt}))
        run.events.emit(CallRetried(**run.about(self._planned), attempt=attempt, delay=delay, error=said))

    def _wait(self, waiting: Waiting, former: Wait | None, mark: str) -> Outcome:
        run, planned = self._batch_run, self._planned
        now = run.clock.now()
        deadline = None if waiting.deadline is None else now + waiting.deadline.total_seconds()
        wait = Wait(
            batch_id=run.batch.id,
            stage=planned.name,
            condition=waiting.condition,
            on_timeout=waiting.on_timeout,
            first_waited_at=now,
            deadline_at=deadline,
            baseline={name: signal.value for name, signal in run.ledger.signals(run.batch.id).items()},
        )
        record = self._record("waiting", mark)
        run.ledger.commit(record, run.batch.generation, notes=self._notes, wait=wait)
        counts_from = former or wait
        said = StagePaused(**run.about(planned), condition=str(waiting.condition), deadline_at=counts_from.deadline_at)
        run.events.emit(said)
        return Outcome(planned.name, "waiting", record)

    def _complete(self, called: Called, mark: str) -> Outcome:
        run, planned = self._batch_run, self._planned
        outputs = {key.name: self._store(key, called) for key in self._metadata.writes}
        counts = count(self._metadata, called.output)
        letters = [self._dead_letter(failure) for failure in called.failures]
        record = self._record("completed", mark, outputs=outputs, counts=counts, dead_letters=len(letters))
        run.ledger.commit(
            record,
            run.batch.generation,
            dead_letters=letters,
            notes=self._notes,
            next_batch=None if called.cursor is None else NextBatch(cursor=called.cursor),
        )
        for letter in letters:
            said = f"{letter.error}: {letter.message}"
            run.events.emit(ItemDeadLettered(**run.about(planned), item_id=letter.item_id, error=said))
        run.events.emit(
            StageCompleted(
                **run.about(planned),
                counts=counts,
                dead_letters=len(letters),
                retries=record.retries,
                duration=record.duration,
            )
        )
        return Outcome(planned.name, "completed", record)

    def _store(self, key: StateKey[Any], called: Called) -> OutputRef:
        run = self._batch_run
        data = self._encode(key, called)
        value = called.output[key]
        assert key.codec is not None  # noqa: S101  # as above
        digest = run.checkpoints.put(data, key.codec.suffix)
        run.values[key.name, digest] = value
        return OutputRef(digest=digest, suffix=key.codec.suffix, items=len(value) if key.is_list else None)

    def _encode(self, key: StateKey[Any], called: Called) -> bytes:
        """Return the value's bytes; in item mode a record that cannot be encoded becomes a dead letter."""
        assert key.codec is not None  # noqa: S101  # as above
        try:
            return key.codec.encode(called.output[key])
        except Exception as error:
            if self._metadata.mode != "item":
                what = f"{key.name!r} cannot be stored: {type(error).__name__}: {error}"
                raise ContractError(f"stage type {self._metadata.stage_type!r}", what, key=key.name) from error
        kept = []
        for record in called.output[key]:
            try:
                key.codec.encode([record])
            except Exception as error:  # noqa: BLE001  # whatever the codec says, it is this record's
                called.failures.append(Failure.of(key, record, error))
            else:
                kept.append(record)
        called.output[key] = kept
        return key.codec.encode(kept)

    def _dead_letter(self, failure: Failure) -> DeadLetter:
        run = self._batch_run
        return DeadLetter(
            submission_id=run.submission.id,
            batch_id=run.batch.id,
            stage=self._planned.name,
            item_id=failure.item_id,
            root=failure.root,
            error=failure.error,
            message=failure.message,
            traceback=failure.traceback,
            at=run.clock.now(),
        )

    def fail(self, error: BaseException) -> Outcome:
        """Commit the stage's failure; the batch fails with it."""
        run, planned = self._batch_run, self._planned
        said = f"{type(error).__name__}: {error}"
        record = self._record("failed", "", error=said)
        run.ledger.commit(record, run.batch.generation, notes=self._notes)
        run.events.emit(StageFailed(**run.about(planned), error=said))
        return Outcome(planned.name, "failed", record, error)

    def _record(self, status: StageStatus, mark: str, **more: Any) -> StageRecord:
        run, planned = self._batch_run, self._planned
        origin = planned.type.origin
        return StageRecord(
            batch_id=run.batch.id,
            stage=planned.name,
            stage_type=planned.type.name,
            status=status,
            fingerprint=mark,
            origin={"distribution": origin.distribution, "version": origin.version, "object": origin.object},
            retries=sum(note.event == "retrying" for note in self._notes),
            started_at=self._started,
            finished_at=run.clock.now(),
            **more,
        )


def _is_done(record: StageRecord | None) -> bool:
    return record is not None and record.status == "completed"


def _refs(binding: Binding, results: Mapping[str, StageRecord]) -> list[OutputRef]:
    return [results[writer].outputs[binding.key.name] for writer in binding.writers]
