"""A document taken up before a stage, in a workspace of its own, and running the stages on it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from medical_kg.orchestration.contract.errors import InputError, StorageError
from medical_kg.orchestration.debugging.directly import DirectGuard, RaisingGuard, let_out
from medical_kg.orchestration.execution import BatchRun, Instances, execute_stage
from medical_kg.orchestration.execution.narrowing import here, narrow
from medical_kg.orchestration.ledger.contract import NewSubmission, NextBatch, Replay, StageRecord
from medical_kg.orchestration.ledger.records import input_record
from medical_kg.orchestration.runner import make_run, owner_name, settle
from medical_kg.orchestration.submissions import this_actor
from medical_kg.orchestration.telemetry.events import Events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medical_kg.orchestration.contract import Files, StoredFile
    from medical_kg.orchestration.execution.batch import Checkpoints, OutcomeStatus
    from medical_kg.orchestration.ledger.contract import Batch, DeadLetter
    from medical_kg.orchestration.pipeline.plan import Plan, PlannedStage
    from medical_kg.orchestration.traces.scan import Found
    from medical_kg.orchestration.workspace import Workspace

LEASE_SECONDS = 30 * 86_400.0
"""Nobody else takes the batch, however long somebody sits in the debugger."""
NEVER: dict[str, Any] = {"started_at": 0.0, "finished_at": 0.0}


@dataclass(frozen=True, slots=True)
class StageDebugged:
    """What came of a stage: ``outputs`` by state key, ``seconds`` it took, its dead letters, and the error it failed with.

    ``status`` is ``completed``, ``failed``, ``waiting`` or ``skipped``; ``reason`` says why it was skipped, or what it
    waits for.
    """

    stage: str
    stage_type: str
    status: OutcomeStatus
    seconds: float
    counts: Mapping[str, float]
    outputs: Mapping[str, Any]
    dead_letters: tuple[DeadLetter, ...] = ()
    error: BaseException | None = None
    reason: str = ""

    @property
    def outcome(self) -> str:
        """How it ended, in words: with the number of dead letters, and the reason."""
        letters = len(self.dead_letters)
        said = self.status if not letters else f"{self.status}, {letters} dead letter{'s' if letters > 1 else ''}"
        return f"{said}: {self.reason}" if self.reason else said

    @property
    def trace(self) -> str:
        """The traceback of the error, or of the dead letters; empty where nothing went wrong."""
        if self.error is not None:
            return "".join(traceback.format_exception(self.error)).rstrip()
        return "\n".join(one.traceback or f"{one.error}: {one.message}" for one in self.dead_letters)


class Layered:
    """Checkpoints that are read from two stores and written to the first."""

    def __init__(self, own: Checkpoints, below: Checkpoints) -> None:
        """Keep both."""
        self._own, self._below = own, below

    def put(self, data: bytes, suffix: str) -> str:
        """Store in the first."""
        return self._own.put(data, suffix)

    def get(self, digest: str, suffix: str) -> bytes:
        """Return from the first that has it."""
        return (self._own if self._own.has(digest, suffix) else self._below).get(digest, suffix)

    def has(self, digest: str, suffix: str) -> bool:
        """Whether either has it."""
        return self._own.has(digest, suffix) or self._below.has(digest, suffix)


class LayeredFiles:
    """Service ``files`` that reads from two areas and writes to the first."""

    def __init__(self, own: Files, below: Files) -> None:
        """Keep both."""
        self._own, self._below = own, below

    def put(self, chunks: Iterable[bytes], *, suffix: str = "") -> StoredFile:
        """Store in the first."""
        return self._own.put(chunks, suffix=suffix)

    def open(self, uri: str) -> BinaryIO:
        """Open from the first that has it."""
        with suppress(StorageError):
            return self._own.open(uri)
        return self._below.open(uri)


class Session:
    """A document before a stage; ``run`` runs the stages.

    Attributes:
        root: the id of its input record.
        found: the batch it was taken from.
        stages: what will run, in order.
        scratch: the workspace that keeps what they store.
        kept: whether that stays.
    """

    def __init__(
        self,
        workspace: Workspace,
        scratch: Workspace,
        plan: Plan,
        root: str,
        found: Found,
        stages: list[PlannedStage],
        *,
        kept: bool,
    ) -> None:
        """Keep what is given; nothing is written yet."""
        self.root, self.found, self.stages, self.scratch, self.kept = root, found, stages, scratch, kept
        self._workspace = workspace
        # One document that fails is all of them.
        self._plan = replace(plan, max_failed_items=None)
        self._checkpoints = Layered(scratch.checkpoints, workspace.checkpoints)
        self._instances = Instances()
        self._batch: Batch | None = None

    def prepare(self, stage: str, before: Mapping[str, StageRecord]) -> None:
        """Open a replay of the batch in the scratch workspace that takes over what stood before a stage."""
        parent = self._parent()
        records = tuple(self._narrowed(self._plan.stage(name), record) for name, record in before.items())
        asked = Replay(parent=parent.id, stage=stage, items=(), records=records)
        (opened,) = self.scratch.ledger.replay(parent.submission_id, [asked], this_actor())
        self._batch = self._claim(opened)

    def _parent(self) -> Batch:
        """Return a completed batch with the results, the cursor and the signals of the one that was found."""
        ledger, old = self.scratch.ledger, self.found.submission
        fields = {name: getattr(old, name) for name in NewSubmission.model_fields if hasattr(old, name)}
        submission, _ = ledger.open_submission(NewSubmission(**{**fields, "id": None, "actor": this_actor()}))
        for signal in self._workspace.ledger.signals(self.found.batch.id).values():
            ledger.tell(submission.id, signal)
        batch = self._claim(ledger.batches(submission.id)[0])
        done = [record for record in self.found.results.values() if record.status == "completed"]
        if self.found.batch.cursor is not None:
            before = StageRecord(
                batch_id=batch.id, stage="before", stage_type="", status="completed", fingerprint="", **NEVER
            )
            ledger.commit(before, batch.generation, next_batch=NextBatch(cursor=self.found.batch.cursor))
            batch = self._claim(ledger.batches(submission.id)[1])
        for record in done:
            ledger.commit(record.model_copy(update={"batch_id": batch.id}), batch.generation)
        return ledger.settle(batch.id, batch.generation, [record.stage for record in done])

    def _claim(self, batch: Batch) -> Batch:
        return self.scratch.ledger.claim(batch.id, owner_name(), lease_seconds=LEASE_SECONDS)

    def _narrowed(self, planned: PlannedStage, record: StageRecord) -> StageRecord:
        outputs = {
            key.name: narrow(
                here(self._plan, key), record.outputs[key.name], {self.root}.__contains__, self._checkpoints
            )
            for key in planned.type.metadata.writes
        }
        return record.model_copy(update={"outputs": outputs})

    def run(self, *, raise_errors: bool = False) -> Iterator[StageDebugged]:
        """Run the stages, and give each as it ends; those after one that gave nothing are skipped.

        Raises:
            InputError: the source does not give the document any more.
            BdbQuit: the debugger was quit.
            Exception: what a stage raised, where ``raise_errors`` asks for it.
        """
        assert self._batch is not None  # noqa: S101  # prepare() was called
        run = self._run(self._batch, raise_errors=raise_errors)
        for planned in self.stages:
            done = self._stage(run, planned, raise_errors=raise_errors)
            yield done
            if planned.type.metadata.mode == "stream" and done.status == "completed" and not _gave(done):
                given = run.submission.input.get("input", "")
                told = f"the source {given} does not give {self.root} any more, at least not in this place and by this name"
                raise InputError(told)
        settle(run)

    def _run(self, batch: Batch, *, raise_errors: bool) -> BatchRun:
        run = make_run(self.scratch, self._plan, batch, Events(), self._instances)
        guard: type[DirectGuard] = RaisingGuard if raise_errors else DirectGuard
        more: dict[str, Any] = {"guard": guard, "on_told": None, "only": frozenset({self.root})}
        return replace(run, checkpoints=self._checkpoints, services=self._services, **more)

    def _services(self, run: BatchRun, planned: PlannedStage) -> Mapping[str, Any]:
        found = dict(self.scratch.services(run, planned))
        if "files" in found:
            found["files"] = LayeredFiles(self.scratch.files, self._workspace.files)
        return found

    def _stage(self, run: BatchRun, planned: PlannedStage, *, raise_errors: bool) -> StageDebugged:
        outcome = execute_stage(run, planned.name)
        let_out(outcome, raise_errors=raise_errors)
        record = outcome.record
        letters = [
            one
            for one in run.ledger.dead_letters(run.submission.id)
            if one.stage == planned.name and one.batch_id == run.batch.id
        ]
        if planned.type.metadata.mode == "stream":
            # Of the page that was read again, what others came to is not asked for.
            letters = [one for one in letters if input_record(one) == self.root]
        wait = run.ledger.wait(run.batch.id, planned.name) if outcome.status == "waiting" else None
        return StageDebugged(
            stage=planned.name,
            stage_type=planned.type.name,
            status=outcome.status,
            seconds=record.duration if record else 0.0,
            counts=record.counts if record else {},
            outputs=self._values(planned, record) if outcome.emitted and record else {},
            dead_letters=tuple(letters),
            error=outcome.error,
            reason=f"waits for {wait.condition}" if wait else outcome.reason,
        )

    def _values(self, planned: PlannedStage, record: StageRecord) -> dict[str, Any]:
        values = {}
        for key in planned.type.metadata.writes:
            assert key.codec is not None  # noqa: S101  # a state key always has one once it is made
            ref = record.outputs[key.name]
            values[key.name] = key.codec.decode(self._checkpoints.get(ref.digest, ref.suffix))
        return values

    def close(self) -> None:
        """Close the stages and the scratch workspace."""
        self._instances.close()
        self.scratch.close()


def _gave(done: StageDebugged) -> bool:
    return bool(done.dead_letters) or any(done.outputs.values())
