"""Running one stage of one batch. The Dagster op, the plain runner and the test kit all come through here.

bind inputs → reuse the checkpoint if its fingerprint still fits → guard → call → handle → check → store → commit
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import LedgerError, TooManyFailed, WaitTimedOut
from medical_kg.orchestration.contract.foreign import said
from medical_kg.orchestration.execution.batch import Outcome
from medical_kg.orchestration.execution.budget import budget_of
from medical_kg.orchestration.execution.calling import call, pull
from medical_kg.orchestration.execution.failing import seconds_of
from medical_kg.orchestration.execution.fingerprint import fingerprint_of, rerun_note, why_not_reused
from medical_kg.orchestration.execution.inputs import inputs, outputs_of
from medical_kg.orchestration.execution.isolated import Work
from medical_kg.orchestration.execution.leaving_out import counted
from medical_kg.orchestration.execution.narrowing import narrowed
from medical_kg.orchestration.execution.pulling import finished, meet, pages_of
from medical_kg.orchestration.execution.remembering import Remembering, mark_of, mark_till_done
from medical_kg.orchestration.execution.remembering import counted as with_cached
from medical_kg.orchestration.execution.sharing import handing
from medical_kg.orchestration.execution.storing import Made, joined, store
from medical_kg.orchestration.execution.sweeping import sweep
from medical_kg.orchestration.execution.turns import Metered, added, meter, put_off
from medical_kg.orchestration.execution.waiting import look
from medical_kg.orchestration.interruption import watched
from medical_kg.orchestration.isolation import RemoteStageType
from medical_kg.orchestration.ledger.contract import Calls, DeadLetter, NextBatch, Note, OutputRef, StageRecord
from medical_kg.orchestration.resilience import Tally
from medical_kg.orchestration.surroundings import kept
from medical_kg.orchestration.telemetry.events import (
    CallOverran,
    CallRetried,
    CircuitChanged,
    InputPulled,
    ItemDeadLettered,
    StageCompleted,
    StageFailed,
    StagePaused,
    StagePutOff,
    StageReused,
    StageStarted,
)

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import StateKey
    from medical_kg.orchestration.execution.batch import BatchRun
    from medical_kg.orchestration.execution.failing import Failure
    from medical_kg.orchestration.execution.waiting import Pause
    from medical_kg.orchestration.ledger.contract import FingerprintParts, StageStatus, Wait
    from medical_kg.orchestration.ledger.keeping import ItemResult, Remembered
    from medical_kg.orchestration.pipeline.plan import PlannedStage
    from medical_kg.orchestration.resilience import Guard, HostChange, HostState


def execute_stage(run: BatchRun, name: str) -> Outcome:
    """Run one stage of a batch, or reuse its stored result, and commit what came of it.

    A stage's own failure is committed and returned as an outcome, whatever it raised.

    Raises:
        LedgerError: the ledger refused the commit (e.g. ``StaleGeneration``); nothing was changed.
        BaseException: what the handler of a signal raised: Ctrl-C, or Dagster's own word for it.
    """
    execution = _Execution(run, run.plan.stage(name))
    with watched() as watch:
        try:
            with kept(f"stage {name!r} of type {execution.type_name!r}"):
                return execution.run()
        except LedgerError:
            raise
        except BaseException as error:  # noqa: BLE001  # a plugin may raise anything; it fails this stage only
            watch.check()
            return execution.end(error)


class _Execution:
    """The state of running one stage once."""

    def __init__(self, run: BatchRun, planned: PlannedStage) -> None:
        self._batch_run, self._planned = run, planned
        self._metadata = planned.type.metadata
        self._started = run.clock.now()
        self._notes: list[Note] = []
        self._parts: FingerprintParts | None = None
        self._mark = ""
        self._former: Calls | None = None
        self._attempts = self._retries = 0
        self._metered: Metered | None = None

    @property
    def type_name(self) -> str:
        """The name of the stage's type."""
        return self._planned.type.name

    def run(self) -> Outcome:
        run, planned = self._batch_run, self._planned
        results = run.ledger.results(run.batch.id)
        if lacking := [stage for stage in planned.depends_on if not _is_done(results.get(stage))]:
            return Outcome(planned.name, "skipped", reason=f"{', '.join(lacking)} gave nothing")
        refs = inputs(run.plan, planned, outputs_of(results))
        mark, self._parts = fingerprint_of(planned, {key: [ref.digest for ref in found] for key, found in refs.items()})
        former, self._mark = results.get(planned.name), f"{mark}/{run.batch.id}"
        if former is not None and former.status == "postponed":
            self._former, self._retries = former.calls, former.retries
        if former is not None and former.status == "completed" and self._may_reuse(former, mark, self._parts):
            run.ledger.note(
                run.batch.id, run.batch.generation, planned.name, Note(event="stage reused", reason="unchanged")
            )
            run.events.emit(StageReused(**run.about(planned), counts=former.counts))
            return Outcome(planned.name, "reused", former)
        run.events.emit(StageStarted(**run.about(planned)))
        return self._work(refs, mark, look(run, planned, former, mark))

    def _may_reuse(self, former: StageRecord, mark: str, parts: FingerprintParts) -> bool:
        checkpoints, stream = self._batch_run.checkpoints, self._metadata.mode == "stream"
        found = why_not_reused(
            former, mark, parts, stream=stream, has=lambda ref: checkpoints.has(ref.digest, ref.suffix)
        )
        if found:
            self._notes.append(rerun_note(found))
        return not found

    def _load(self, refs: Mapping[str, list[OutputRef]]) -> dict[str, Any]:
        return {
            binding.key.name: joined(binding.key, [self._value(binding.key, ref) for ref in refs[binding.key.name]])
            for binding in self._planned.bindings
        }

    def _value(self, key: StateKey[Any], ref: OutputRef) -> Any:
        """Return a stored value as one reader gets it: nothing it does to it reaches another."""
        values, hand = self._batch_run.values, handing(key)
        # By key as well: equal bytes may stand for records of different types.
        place = (key.name, ref.digest)
        if hand is not None and place in values:
            return hand(values[place])
        assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
        value = key.codec.decode(self._batch_run.checkpoints.get(ref.digest, ref.suffix))
        if hand is None:
            return value
        values[place] = value
        return hand(value)

    def _work(self, refs: Mapping[str, list[OutputRef]], mark: str, pause: Pause) -> Outcome:
        run, planned = self._batch_run, self._planned
        self._metered = metered = meter(run, planned, self._circuit_changed)
        metered.ctx.timed_out = pause.goes_on
        try:
            if isinstance(planned.type, RemoteStageType):
                made = self._work_elsewhere(refs, metered)
            else:
                made = self._work_here(refs, metered)
        except LedgerError as error:
            # The stage's own, or of a service it asked. If the batch is lost, the commit of this failure says so.
            return self.fail(error)
        if made.put_off:
            return self._put_off_items(made)
        if self._metadata.mode == "stream" and run.batch.parent is not None:
            made = narrowed(made, run, planned)
        if made.overran:
            run.events.emit(CallOverran(**run.about(planned), calls=made.overran))
        if made.waiting is not None:
            if pause.is_over:
                msg = f"the wait for {made.waiting.condition} reached its deadline"
                raise WaitTimedOut(msg)
            return self._wait(pause.kept(run, planned.name, made.waiting), mark)
        return self._complete(made, mark)

    def _work_elsewhere(self, refs: Mapping[str, list[OutputRef]], metered: Metered) -> Made:
        may = {"recalls": self._recalls(), "may_put_off": self._may_put_off()}
        work = Work(self._batch_run, self._planned, metered, self._retried, self._mark, **may)
        try:
            return work.until_done(refs)
        finally:
            self._attempts = work.attempts
            work.close()

    def _work_here(self, refs: Mapping[str, list[OutputRef]], metered: Metered) -> Made:
        run, planned, ctx = self._batch_run, self._planned, metered.ctx
        reads = self._load(refs)
        remembering: Remembering | None = None
        opening = run.guard(planned.policy, ctx, self._retried, run.draw)
        guard = run.guard(planned.policy, ctx, self._retried, run.draw, metered.guarded)
        try:
            with run.instances.use(planned, ctx, opening) as stage:
                if self._metadata.mode == "stream":
                    take, cursor, limit = partial(pull, stage, ctx, guard), run.batch.cursor, run.submission.batch_size
                    forgotten = run.ledger.forgotten_roots(run.submission.tenant)
                    most = pages_of(run, planned.name)
                    called, swept = sweep(self._metadata, take, cursor, limit, partial(meet, run), forgotten, most)
                else:
                    remembering = self._remembering(guard, reads)
                    called, swept = call(stage, ctx, remembering or guard, reads), None
        finally:
            self._attempts = guard.attempts
        overran = opening.overran + guard.overran
        if called.waiting is not None:
            return Made(waiting=called.waiting, overran=overran)
        if called.put_off and self._may_put_off():
            till_done = remembering.remembered(called, failures=True) if remembering else None
            return Made(put_off=called.put_off, remembered=till_done)
        called.fail_put_off()
        outputs, counts = store(self._metadata, called, run.checkpoints.put)
        for key, value in called.output.items():
            if hand := handing(key):
                # The stage may have kept what it gave.
                run.values[key.name, outputs[key.name].digest] = hand(value)
        remembered = remembering.remembered(called) if remembering and planned.cache else None
        counts = with_cached(counted(counts, swept.left_out if swept else 0), remembered)
        return Made(outputs, counts, called.failures, None, called.cursor, overran, swept, remembered)

    def _remembering(self, guard: Guard, reads: Mapping[str, Any]) -> Remembering | None:
        run, planned = self._batch_run, self._planned
        mark = mark_of(planned) or mark_till_done(self._metadata, planned.policy, self._mark)
        if not mark:
            return None
        find = partial(run.ledger.recall, run.submission.tenant) if self._recalls() else _nothing
        return Remembering(guard, self._metadata, mark, reads[self._metadata.read_keys[0].name], find)

    def _recalls(self) -> bool:
        """Whether results of single items may be there already."""
        return self._planned.cache or self._former is not None

    def _may_put_off(self) -> bool:
        """Whether items may be put off (once more), instead of failing."""
        now = self._batch_run.clock.now()
        return put_off(self._former, self._planned.policy, 0.0, now, items=True) is not None

    def _retried(self, attempt: int, delay: float, error: BaseException) -> None:
        run = self._batch_run
        self._notes.append(Note(event="retrying", reason=said(error), detail={"attempt": attempt}))
        run.events.emit(CallRetried(**run.about(self._planned), attempt=attempt, delay=delay, error=said(error)))

    def _circuit_changed(self, host: str, change: HostChange, state: HostState) -> None:
        run, planned = self._batch_run, self._planned
        facts: dict[str, Any] = {
            "policy": planned.policy_name,
            "host": host,
            "failures": state.failures,
            "open_until": state.open_until,
        }
        reason = f"{host or 'no host'} (policy {planned.policy_name}), {state.failures} failures in a row"
        self._notes.append(Note(event=f"circuit {change}", reason=reason, detail=facts))
        run.events.emit(CircuitChanged(**run.about(planned), change=change, **facts))

    def end(self, error: BaseException) -> Outcome:
        """Commit that the stage is put off, where the error says so and it has not been for too long; else its failure."""
        seconds = seconds_of(error)
        if seconds is None:
            return self.fail(error)
        now = self._batch_run.clock.now()
        times = put_off(self._former, self._planned.policy, seconds, now, items=False)
        return self.fail(error) if times is None else self._put_off(times, said(error))

    def _put_off_items(self, made: Made) -> Outcome:
        seconds, now = max(one.seconds for one in made.put_off), self._batch_run.clock.now()
        times = put_off(self._former, self._planned.policy, seconds, now, items=True)
        assert times is not None  # noqa: S101  # items are put off only where they may be
        first = made.put_off[0].failure
        number = len(made.put_off)
        reason = f"{number} {'item' if number == 1 else 'items'}: {first.error}: {first.message}"
        return self._put_off(times, reason, made.remembered)

    def _put_off(self, times: Mapping[str, Any], reason: str, remembered: Remembered | None = None) -> Outcome:
        run, planned = self._batch_run, self._planned
        record = self._record("postponed", "", error=reason, times=times)
        run.ledger.commit(record, run.batch.generation, notes=self._notes, remembered=remembered)
        until = times["again_at"]
        run.events.emit(StagePutOff(**run.about(planned), until=until, reason=reason, **_figures(record)))
        return Outcome(planned.name, "postponed", record, reason=reason)

    def _wait(self, wait: Wait, mark: str) -> Outcome:
        run, planned = self._batch_run, self._planned
        record = self._record("waiting", mark)
        run.ledger.commit(record, run.batch.generation, notes=self._notes, wait=wait)
        run.events.emit(StagePaused(**run.about(planned), condition=str(wait.condition), deadline_at=wait.deadline_at))
        return Outcome(planned.name, "waiting", record)

    def _complete(self, made: Made, mark: str) -> Outcome:
        run, planned = self._batch_run, self._planned
        letters = [self._dead_letter(ident, failure) for ident, failure in _told_apart(made.failures)]
        pulled, found = None, None
        if made.swept is not None:
            made, pulled, found = finished(run, made)
        came: dict[str, Any] = {"outputs": made.outputs, "counts": made.counts, "dead_letters": len(letters)}
        record = self._record("completed", mark, sweep=found, **came)
        following = None if made.cursor is None else NextBatch(cursor=made.cursor)
        try:
            run.ledger.commit(
                record,
                run.batch.generation,
                dead_letters=letters,
                notes=self._notes,
                next_batch=following,
                budget=budget_of(run, planned, record),
                pulled=pulled,
                remembered=made.remembered,
            )
        except TooManyFailed as error:
            return self.fail(error, letters, following)
        self._tell_letters(letters)
        if self._metadata.mode == "stream":
            records = sum(ref.items or 0 for ref in made.outputs.values())
            total = found.total if found else None
            about = run.about(planned)
            run.events.emit(InputPulled(**about, records=records, more=following is not None, total=total))
        run.events.emit(
            StageCompleted(
                **run.about(planned),
                counts=made.counts,
                dead_letters=len(letters),
                retries=record.retries,
                duration=record.duration,
                **_figures(record),
            )
        )
        return Outcome(planned.name, "completed", record)

    def _tell_letters(self, letters: Iterable[DeadLetter]) -> None:
        run = self._batch_run
        for letter in letters:
            told = f"{letter.error}: {letter.message}"
            run.events.emit(ItemDeadLettered(**run.about(self._planned), item_id=letter.item_id, error=told))

    def _dead_letter(self, ident: str, failure: Failure) -> DeadLetter:
        run = self._batch_run
        return DeadLetter(
            submission_id=run.submission.id,
            batch_id=run.batch.id,
            stage=self._planned.name,
            item_id=ident,
            root=failure.root,
            error=failure.error,
            message=failure.message,
            traceback=failure.traceback,
            at=run.clock.now(),
        )

    def fail(
        self, error: BaseException, letters: Sequence[DeadLetter] = (), following: NextBatch | None = None
    ) -> Outcome:
        """Commit the stage's failure; the batch fails with it, and nothing but the batch."""
        run, planned = self._batch_run, self._planned
        told = said(error)
        record = self._record("failed", "", error=told, dead_letters=len(letters))
        run.ledger.commit(record, run.batch.generation, dead_letters=letters, notes=self._notes, next_batch=following)
        self._tell_letters(letters)
        run.events.emit(StageFailed(**run.about(planned), error=told, **_figures(record)))
        return Outcome(planned.name, "failed", record, error)

    def _record(
        self, status: StageStatus, mark: str, *, times: Mapping[str, Any] | None = None, **more: Any
    ) -> StageRecord:
        run, planned = self._batch_run, self._planned
        calls = added(self._former, self._attempts, self._metered.turns.tally if self._metered else Tally())
        origin = planned.type.origin
        return StageRecord(
            batch_id=run.batch.id,
            stage=planned.name,
            stage_type=planned.type.name,
            status=status,
            fingerprint=mark,
            origin={"distribution": origin.distribution, "version": origin.version, "object": origin.object},
            parts=self._parts if mark else None,
            retries=self._retries + sum(note.event == "retrying" for note in self._notes),
            started_at=self._started,
            finished_at=run.clock.now(),
            calls=calls.model_copy(update=times or {}),
            **more,
        )


def _figures(record: StageRecord) -> dict[str, Any]:
    assert record.calls is not None  # noqa: S101  # it is in each new record
    return record.calls.model_dump(include={"attempts", "waits", "waited", "refused", "put_offs"})


def _nothing(_: Sequence[str]) -> Mapping[str, ItemResult]:
    return {}


def _told_apart(failures: Iterable[Failure]) -> Iterator[tuple[str, Failure]]:
    """Give each failure with an id of its own: the ledger keeps one dead letter per id, and none may be lost."""
    seen: Counter[str] = Counter()
    for failure in failures:
        seen[failure.item_id] += 1
        again = seen[failure.item_id]
        yield (failure.item_id if again == 1 else f"{failure.item_id}#{again}"), failure


def _is_done(record: StageRecord | None) -> bool:
    return record is not None and record.status == "completed"
