"""What the ledger keeps and how it may change: the durable record of submissions, batches and stage results.

All times are seconds since the epoch. Every change happens in one transaction and appends to the history. A run that
changes a batch shows the generation it claimed; a commit under another generation is refused (``StaleGeneration``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from medical_kg.orchestration.contract import Condition, OnTimeout, Signal
from medical_kg.orchestration.ledger.calls import Calls as Calls  # noqa: PLC0414  # of a record here
from medical_kg.orchestration.ledger.parts import FingerprintParts as FingerprintParts  # noqa: PLC0414  # of a record here
from medical_kg.orchestration.ledger.requests import Budget as Budget  # noqa: PLC0414  # given on
from medical_kg.orchestration.ledger.requests import NewSubmission as NewSubmission  # noqa: PLC0414  # given on
from medical_kg.orchestration.ledger.requests import NextBatch as NextBatch  # noqa: PLC0414  # given on
from medical_kg.orchestration.ledger.requests import Note as Note  # noqa: PLC0414  # given on
from medical_kg.orchestration.ledger.requests import Row as Row  # noqa: PLC0414  # given on
from medical_kg.orchestration.ledger.sweeps import Missing, Pulled, Readings, Sweep
from medical_kg.orchestration.ledger.tracing import Tracing
from medical_kg.orchestration.resilience import HostStates

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.holdings import Holdings
    from medical_kg.orchestration.ledger.keeping import Remembered

Status = Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]
StageStatus = Literal["completed", "failed", "waiting", "postponed"]

LEGAL_MOVES: Mapping[Status, frozenset[Status]] = {
    "pending": frozenset({"running", "cancelled"}),
    "running": frozenset({"running", "pending", "waiting", "completed", "failed", "cancelled"}),
    "waiting": frozenset({"running", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset({"pending", "cancelled"}),
    "cancelled": frozenset(),
}
"""Where a batch may go from each status; ``running`` to ``running`` is a takeover, ``failed`` to ``pending`` a retry."""

UNFINISHED: frozenset[Status] = frozenset({"pending", "running", "waiting", "failed"})


class Submission(Row):
    """One request, as kept. ``sequence`` grows with each submission and decides which version of a root is newer."""

    id: str
    sequence: int
    tenant: str
    pipeline: str
    pipeline_version: str
    pipeline_path: str
    pipeline_digest: str
    batch_size: int
    input: Mapping[str, Any]
    overrides: Mapping[str, Any]
    plugin_lock: Mapping[str, Any] | None
    status: Status
    actor: str
    created_at: float
    updated_at: float


class Batch(Row):
    """A slice of a submission. ``ready_at`` is when somebody should take it up; None means only a signal can wake it.

    ``cursor`` is where its stream stage starts (None: at the beginning); ``generation`` counts the claims;
    ``parent`` is the batch a replay descends from; ``run_id`` the Dagster run that carries it.
    """

    id: str
    submission_id: str
    ordinal: int
    cursor: str | None
    status: Status
    generation: int
    ready_at: float | None
    lease_owner: str | None
    lease_until: float | None
    parent: str | None
    run_id: str | None
    created_at: float
    updated_at: float


class OutputRef(Row):
    """A stored value: its content's sha256, the file's suffix, and how many items it has (None: not a list)."""

    digest: str
    suffix: str
    items: int | None


class StageRecord(Row):
    """What a stage of a batch came to.

    ``parts`` are what the fingerprint was made of; None of a failed stage, and of a result that an earlier release kept.
    ``origin`` is the provenance of the plugin (distribution, version, object, and file where known); ``counts`` are
    what its counter said; ``retries`` the calls that were repeated; ``duration`` is in seconds. One that is ``postponed`` runs
    again at ``calls.again_at``; its ``error`` says why.
    """

    batch_id: str
    stage: str
    stage_type: str
    status: StageStatus
    fingerprint: str
    outputs: Mapping[str, OutputRef] = {}
    counts: Mapping[str, float] = {}
    origin: Mapping[str, str] = {}
    retries: int = 0
    dead_letters: int = 0
    started_at: float
    finished_at: float
    error: str | None = None
    parts: FingerprintParts | None = None
    sweep: Sweep | None = None
    calls: Calls | None = None

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.finished_at - self.started_at


class Wait(Row):
    """What a stage of a batch waits for; kept from its first wait until its batch completes.

    ``baseline`` holds the signals' values when the stage looked first; ``deadline_at`` counts from the first wait (None:
    no deadline). Kept again, condition and deadline are those of the edited gate, the rest stays.
    """

    batch_id: str
    stage: str
    condition: Condition
    on_timeout: OnTimeout
    first_waited_at: float
    deadline_at: float | None
    baseline: Mapping[str, Any]


class DeadLetter(Row):
    """An item that a stage could not process; unique per submission, stage and item.

    ``replaying``: a replay batch, its ``batch_id``, processes it again; once that is complete it is ``resolved``.
    """

    submission_id: str
    batch_id: str
    stage: str
    item_id: str
    root: str | None
    error: str
    message: str
    traceback: str = ""
    attempts: int = 1
    status: Literal["open", "replaying", "resolved"] = "open"
    at: float


class HistoryEntry(Row):
    """One line of the append-only history."""

    id: int
    submission_id: str
    batch_id: str | None
    stage: str | None
    event: str
    reason: str
    actor: str
    at: float
    detail: Mapping[str, Any] = {}


class Replay(Row):
    """Dead letters of one stage of the batch ``parent``, by item; ``records`` are the results that are taken over."""

    parent: str
    stage: str
    items: tuple[str, ...]
    records: tuple[StageRecord, ...] = ()


class Ledger(Tracing, Readings, HostStates, Protocol):
    """The durable record. Methods raise ``RecordNotFound``, ``IllegalTransition``, ``StaleGeneration``, ``BatchHeld``."""

    def open_submission(self, new: NewSubmission) -> tuple[Submission, bool]:
        """Return the unfinished submission of the same tenant, pipeline, input and overrides, or a new one.

        A new one (second value True) gets its first batch, ready at once, in the same transaction. With ``new.id``
        given, a submission of that id is returned whatever its status.
        """

    def submission(self, ident: str) -> Submission:
        """Return one submission; an unambiguous prefix of its id (4 characters or more) will do."""

    def submissions(self, *, tenant: str | None = None, limit: int = 50) -> list[Submission]:
        """Return submissions, newest first."""

    def started_by(self, submission_id: str) -> list[Submission]:
        """Return what the signals of a submission started, oldest first."""

    def pipeline_texts(self, path: str, *, limit: int = 5) -> list[str]:
        """Return what stood in a pipeline's file each time a submission went on with it anew, newest first."""

    def batch(self, batch_id: str) -> Batch:
        """Return one batch."""

    def batches(self, submission_id: str) -> list[Batch]:
        """Return a submission's batches in order."""

    def ready(self, *, limit: int = 10, submission_id: str | None = None) -> list[Batch]:
        """Return batches whose ``ready_at`` has come, the oldest first; never failed, completed or cancelled ones."""

    def running(self, *, submission_id: str | None = None) -> list[Batch]:
        """Return the batches that a run holds, or held when it was killed, in the order of their ids."""

    def claim(
        self,
        batch_id: str,
        owner: str,
        *,
        lease_seconds: float,
        generation: int | None = None,
        dead_owner: str | None = None,
    ) -> Batch:
        """Take a batch: status running, a lease, and a new generation (or, with ``generation``, exactly that one).

        Allowed when it is pending or waiting, or running under a lease that has run out, belongs to ``owner``, or
        belongs to ``dead_owner`` (which the caller knows to be dead). ``ready_at`` becomes the end of the lease.
        A lease that has run out does not prove its owner dead, so it is taken over under a new generation only: with
        ``generation`` given it is refused, lest two runs hold the same one.

        Raises:
            BatchHeld: somebody else holds it, or there is nothing left to do in it. Without ``generation`` also when
                another process is changing it at this moment, on a database that locks rows.
            StaleGeneration: ``generation`` is not the current one.
        """

    def launch(self, batch_id: str, *, grace_seconds: float, actor: str) -> Batch:
        """Promise a ready batch to a run that is about to be started, which will claim the new generation.

        Nobody holds it then; it is ready again when the grace has passed without a claim. A batch whose lease has run out
        becomes pending: what its former run still brings is refused.

        Raises:
            BatchHeld: it is not ready any more, or another process is changing it at this moment.
        """

    def heartbeat(self, batch_id: str, generation: int, *, lease_seconds: float) -> None:
        """Extend the lease; a batch that another of its stages has failed has none, and stays so."""

    def set_run(self, batch_id: str, generation: int, run_id: str) -> None:
        """Note which Dagster run carries the batch."""

    def commit(  # noqa: PLR0913  # all that one transaction makes valid
        self,
        record: StageRecord,
        generation: int,
        *,
        dead_letters: Sequence[DeadLetter] = (),
        notes: Sequence[Note] = (),
        next_batch: NextBatch | None = None,
        wait: Wait | None = None,
        budget: Budget | None = None,
        pulled: Pulled | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        """Make a stage's result valid, in one transaction.

        The record replaces the stage's former one in this batch; its dead letters replace those of this batch and
        stage (attempts add up); the notes go to the history before the result's own line; the next batch is opened
        unless this batch has one. A ``failed`` record fails the batch too. A ``waiting`` record comes with its
        ``wait``; when it began stays as it first was if the stage waited before. A failed batch still takes what the
        parallel branches of the run that failed it bring. What a stream stage ``pulled`` is the batch's from now on; what is ``remembered``, every later one's.

        Raises:
            StaleGeneration: another run has taken the batch over; nothing is changed.
            BatchHeld: no run is at work on the batch: it is pending, waiting, completed or cancelled.
            TooManyFailed: with these dead letters the batch has more failed input records than the budget allows;
                nothing is changed.
        """

    def note(self, batch_id: str, generation: int, stage: str | None, note: Note) -> None:
        """Append a line to the history."""

    def meet(
        self, batch_id: str, generation: int, digests: Mapping[str, str], *, fingerprint: str, rejected: Sequence[str]
    ) -> frozenset[str]:
        """Note that a batch's submission found these roots, with these digests, and return those it may skip.

        They were processed with this content and pipeline fingerprint, and no batch is at work on them; or a newer
        submission has found them. Rejected records count as found too.
        """

    def met(self, batch_id: str, roots: Collection[str]) -> frozenset[str]:
        """Return those of some roots that a batch's submission, or a newer one, has found in its input before."""

    def missing(self, batch_id: str, rejected: Sequence[str] = ()) -> Missing:
        """Return what earlier submissions of a batch's input found and its own did not; ``rejected`` are not kept yet."""

    def settle(self, batch_id: str, generation: int, stages: Sequence[str], *, fingerprint: str = "") -> Batch:
        """End a run of a batch whose pipeline has these stages, and give up the lease.

        Failed when any stage failed; waiting when any waits and none is postponed (``ready_at``: now if a condition already holds or a
        deadline has passed, else the nearest deadline, else None); completed when every stage completed; else pending,
        and ready when the first that is postponed is to run again, or at once (the run was cut short). The submission's status follows its batches. When a replay batch
        completes, those of its dead letters that did not fail again are resolved. What a completed batch pulled has
        then been seen under this pipeline ``fingerprint``, unless that is empty; not so roots with open dead letters.

        Raises:
            BatchHeld: the batch was cancelled meanwhile.
        """

    def reopen(self, batch_id: str, actor: str) -> Batch:
        """Make a failed batch pending and ready again.

        Its failed results are dropped, so that the next run is judged by its own, and their stages may wait their
        full time once more. The history keeps what was.
        """

    def wake(self, batch_id: str, reason: str, actor: str) -> None:
        """Make a waiting batch ready at once; one that does not wait is left as it is."""

    def replay(self, submission_id: str, wanted: Sequence[Replay], actor: str) -> list[Batch]:
        """Open a replay batch for each, ready at once, in one transaction; their dead letters move to it.

        A replay batch has its parent's cursor.

        Raises:
            RecordNotFound: a dead letter is not there, or not open, in the batch that is named.
            IllegalTransition: a parent is neither completed nor waiting.
        """

    def cancel(self, submission_id: str, actor: str, *, batch_id: str | None = None) -> Submission:
        """Cancel a submission's unfinished batches, or one; a run that is at work on one is refused its next commit.

        Their waits end, and nothing takes them up again.

        Raises:
            RecordNotFound: the submission has no such batch.
            IllegalTransition: every batch, or that one, is finished.
        """

    def results(self, batch_id: str) -> dict[str, StageRecord]:
        """Return the stage records of a batch by stage."""

    def wait(self, batch_id: str, stage: str) -> Wait | None:
        """Return what a stage waits or waited for."""

    def tell(self, submission_id: str, signal: Signal, *, batch_id: str | None = None, late: bool = False) -> None:
        """Keep a signal and wake the waiting batches whose condition now holds.

        Their ``ready_at`` becomes now. Its value replaces that of the same signal to the same hearer. What was attached
        before stays, but for items that something of the same media type comes for. A signal for a finished submission
        is refused; with ``late``, one that has completed takes it, for those of its items that are processed again.
        """

    def tell_pipeline(self, tenant: str, pipeline: str, signal: Signal) -> int:
        """Tell every unfinished submission of a pipeline; returns how many."""

    def signals(self, batch_id: str) -> dict[str, Signal]:
        """Return the newest signals of a batch's submission, overlaid by those told to the batch itself.

        What was told to the batch that a replay descends from was told to the replay, too.
        """

    def told(self, submission_id: str) -> list[tuple[str | None, Signal]]:
        """Return the newest signals told to a submission and to each of its batches (the id), oldest first."""

    def dead_letters(self, submission_id: str) -> list[DeadLetter]:
        """Return a submission's dead letters by batch, stage and item."""

    def history(self, submission_id: str) -> list[HistoryEntry]:
        """Return a submission's history, oldest first."""

    def holdings(self, finished_before: float) -> Holdings:
        """Return which checkpoints and files are needed, and which only batches mention that were finished before."""

    def remark(self, submission_id: str, note: Note, actor: str) -> None:
        """Append a line to a submission's history, whatever its status."""

    def close(self) -> None:
        """Let go of the database."""
