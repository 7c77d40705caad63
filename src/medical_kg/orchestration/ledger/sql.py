"""The ledger in a SQL database: one transaction per call. ``history`` tells the words of the history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract import Clock, Signal, SystemClock
from medical_kg.orchestration.contract.database import open_engine, reading, take_turn, writing
from medical_kg.orchestration.contract.errors import IllegalTransition, RecordNotFound
from medical_kg.orchestration.ledger import (
    batches,
    forgetting,
    history,
    holdings,
    hosts,
    kept,
    readings,
    replays,
    results,
    seen,
    signals,
    submissions,
    traces,
    transitions,
)
from medical_kg.orchestration.ledger.contract import (
    LEGAL_MOVES,
    UNFINISHED,
    Batch,
    Budget,
    DeadLetter,
    HistoryEntry,
    Ledger,
    NewSubmission,
    NextBatch,
    Note,
    Replay,
    StageRecord,
    Submission,
    Wait,
)
from medical_kg.orchestration.ledger.records import submission_of
from medical_kg.orchestration.ledger.schema import bring_up_to_date
from medical_kg.orchestration.ledger.sweeps import Missing, Pulled

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from medical_kg.orchestration.ledger.forgetting import Forgotten, Removal
    from medical_kg.orchestration.ledger.holdings import Holdings
    from medical_kg.orchestration.ledger.keeping import Remembered
    from medical_kg.orchestration.ledger.traces import LedgerTraces


def open_ledger(url: str, *, clock: Clock | None = None) -> Ledger:
    """Open the ledger at a database URL; its tables are made or upgraded first.

    Raises:
        SettingsError: the URL cannot be used.
        SchemaTooNew: a newer release wrote the database.
        StorageError: the database cannot be opened.
    """
    engine = open_engine(url)
    try:
        bring_up_to_date(engine)
    except BaseException:
        engine.dispose()
        raise
    return SqlLedger(engine, clock or SystemClock())


class SqlLedger(kept.SqlKeeping, hosts.SqlHosts, readings.SqlReadings):
    """The ledger over a SQLAlchemy engine; may be used from several threads, and beside other processes.

    A forked process opens its own: SQLite's connections do not survive a fork.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Keep the engine of a database whose schema is up to date."""
        self._engine = engine
        self._now = clock.now

    def open_submission(self, new: NewSubmission) -> tuple[Submission, bool]:
        """See ``Ledger.open_submission``."""
        with writing(self._engine) as connection:
            take_turn(connection, "submissions")
            found, made = submissions.open_or_find(connection, new, self._now())
            if made and new.told is not None:
                signals.keep(connection, new.tenant, found, new.told, None, self._now())
            return found, made

    def submission(self, ident: str) -> Submission:
        """See ``Ledger.submission``."""
        with reading(self._engine) as connection:
            return submissions.find(connection, ident)

    def submissions(self, *, tenant: str | None = None, limit: int = 50) -> list[Submission]:
        """See ``Ledger.submissions``."""
        with reading(self._engine) as connection:
            return submissions.newest(connection, tenant, limit)

    def started_by(self, submission_id: str) -> list[Submission]:
        """See ``Ledger.started_by``."""
        with reading(self._engine) as connection:
            return submissions.started_by(connection, submission_id)

    def pipeline_texts(self, path: str, *, limit: int = 5) -> list[str]:
        """See ``Ledger.pipeline_texts``."""
        with reading(self._engine) as connection:
            return submissions.pipeline_texts(connection, path, limit)

    def batch(self, batch_id: str) -> Batch:
        """See ``Ledger.batch``."""
        with reading(self._engine) as connection:
            return batches.find(connection, batch_id).batch

    def batches(self, submission_id: str) -> list[Batch]:
        """See ``Ledger.batches``."""
        with reading(self._engine) as connection:
            return [held.batch for held in batches.of_submission(connection, submission_id)]

    def ready(self, *, limit: int = 10, submission_id: str | None = None) -> list[Batch]:
        """See ``Ledger.ready``."""
        with reading(self._engine) as connection:
            return batches.ready(connection, now=self._now(), limit=limit, submission_id=submission_id)

    def running(self, *, submission_id: str | None = None) -> list[Batch]:
        """See ``Ledger.running``."""
        with reading(self._engine) as connection:
            return batches.running(connection, submission_id)

    def claim(
        self,
        batch_id: str,
        owner: str,
        *,
        lease_seconds: float,
        generation: int | None = None,
        dead_owner: str | None = None,
    ) -> Batch:
        """See ``Ledger.claim``."""
        with writing(self._engine) as connection:
            now = self._now()
            # Who asks for a batch only because it is ready goes on to the next one instead of queueing up for it.
            held = batches.load(connection, batch_id, wait=generation is not None)
            until = now + lease_seconds
            return batches.claim(
                connection, held, owner, until=until, now=now, generation=generation, dead_owner=dead_owner
            )

    def launch(self, batch_id: str, *, grace_seconds: float, actor: str) -> Batch:
        """See ``Ledger.launch``."""
        with writing(self._engine) as connection:
            now = self._now()
            held = batches.load(connection, batch_id, wait=False)
            return batches.launch(connection, held, until=now + grace_seconds, actor=actor, now=now)

    def heartbeat(self, batch_id: str, generation: int, *, lease_seconds: float) -> None:
        """See ``Ledger.heartbeat``. A batch that another stage has failed has no lease left to extend."""
        with writing(self._engine) as connection:
            now = self._now()
            held = batches.load(connection, batch_id)
            transitions.check_at_work(held.batch, generation)
            if held.batch.status == "running":
                until = now + lease_seconds
                batches.change(connection, held, now=now, lease_until=until, ready_at=until)

    def set_run(self, batch_id: str, generation: int, run_id: str) -> None:
        """See ``Ledger.set_run``."""
        with writing(self._engine) as connection:
            held = batches.load(connection, batch_id)
            transitions.check_generation(held.batch, generation)
            batches.change(connection, held, now=self._now(), run_id=run_id)

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
        """See ``Ledger.commit``."""
        results.check_wait_given(record, given=wait is not None)
        with writing(self._engine) as connection:
            now = self._now()
            held = batches.load(connection, record.batch_id)
            transitions.check_at_work(held.batch, generation)
            if budget is not None:
                replays.check_budget(connection, held, record.stage, dead_letters, budget)
            results.keep(connection, held, record, notes, str(wait.condition) if wait else record.error or "", now)
            results.replace_dead_letters(connection, held, record.stage, dead_letters)
            if wait is not None:
                signals.keep_wait(connection, held, wait)
            if pulled is not None:
                seen.take_on(connection, held, pulled, now)
            if remembered is not None:
                kept.remember(connection, held.tenant, remembered, now)
            if next_batch is not None:
                batches.open_next(connection, held, next_batch.cursor, now)
            if record.status == "failed":
                results.fail_batch(connection, held, record, now)

    def note(self, batch_id: str, generation: int, stage: str | None, note: Note) -> None:
        """See ``Ledger.note``."""
        with writing(self._engine) as connection:
            held = batches.load(connection, batch_id)
            transitions.check_generation(held.batch, generation)
            line = history.Line(note.event, note.reason, batch_id, stage, note.detail)
            batches.write(connection, held, [line], now=self._now())

    def meet(
        self, batch_id: str, generation: int, digests: Mapping[str, str], *, fingerprint: str, rejected: Sequence[str]
    ) -> frozenset[str]:
        """See ``Ledger.meet``."""
        with writing(self._engine) as connection:
            held = batches.load(connection, batch_id)
            transitions.check_at_work(held.batch, generation)
            return seen.meet(connection, held, digests, fingerprint, rejected)

    def met(self, batch_id: str, roots: Collection[str]) -> frozenset[str]:
        """See ``Ledger.met``."""
        with reading(self._engine) as connection:
            return seen.met(connection, batches.find(connection, batch_id), roots)

    def missing(self, batch_id: str, rejected: Sequence[str] = ()) -> Missing:
        """See ``Ledger.missing``."""
        with reading(self._engine) as connection:
            return seen.missing(connection, batches.find(connection, batch_id), rejected)

    def settle(self, batch_id: str, generation: int, stages: Sequence[str], *, fingerprint: str = "") -> Batch:
        """See ``Ledger.settle``."""
        with writing(self._engine) as connection:
            now = self._now()
            held = batches.load(connection, batch_id)
            transitions.check_generation(held.batch, generation)
            transitions.check_not_cancelled(held.batch)
            status, reason = transitions.verdict(found := results.of_batch(connection, batch_id), stages)
            if held.batch.status == status == "failed":
                return held.batch
            transitions.check_outcome(held.batch, status)
            ready_at = transitions.ready_again(found, now) if status == "pending" else None
            if status == "waiting":
                ready_at = signals.wake_time(connection, held, now)
            if status == "completed":
                signals.end_waits(connection, held)
                replays.resolve(connection, held, now)
                seen.settle(connection, held, fingerprint)
            actor, values = held.claimed_by, {"ready_at": ready_at, **batches.NO_LEASE}
            return batches.move(connection, held, status, reason, actor=actor, now=now, **values)

    def reopen(self, batch_id: str, actor: str) -> Batch:
        """See ``Ledger.reopen``."""
        with writing(self._engine) as connection:
            now = self._now()
            held = batches.load(connection, batch_id)
            if held.batch.status != "failed":
                legal = LEGAL_MOVES[held.batch.status] - {"pending"}
                raise IllegalTransition(f"batch {batch_id}", held.batch.status, "pending by a retry", legal)
            signals.restart_deadlines(connection, held, now)
            results.drop_failed(connection, held)
            return batches.move(connection, held, "pending", "retry", actor=actor, now=now, ready_at=now)

    def wake(self, batch_id: str, reason: str, actor: str) -> None:
        """See ``Ledger.wake``."""
        with writing(self._engine) as connection:
            now = self._now()
            held = batches.load(connection, batch_id)
            if held.batch.status == "waiting":
                batches.change(connection, held, now=now, ready_at=now)
                batches.write(connection, held, [history.Line("woken", reason, batch_id)], now=now, actor=actor)

    def replay(self, submission_id: str, wanted: Sequence[Replay], actor: str) -> list[Batch]:
        """See ``Ledger.replay``."""
        with writing(self._engine) as connection:
            submissions.load(connection, submission_id, also=[one.parent for one in wanted])
            return [replays.open_one(connection, submission_id, one, actor, self._now()) for one in wanted]

    def cancel(self, submission_id: str, actor: str, *, batch_id: str | None = None) -> Submission:
        """See ``Ledger.cancel``."""
        with writing(self._engine) as connection:
            row = submissions.load(connection, submission_id)
            for held in batches.to_cancel(connection, submission_id, row["status"], batch_id):
                signals.end_waits(connection, held)
                gone = {"ready_at": None, **batches.NO_LEASE}
                batches.move(connection, held, "cancelled", "cancelled", actor=actor, now=self._now(), **gone)
            return submission_of(submissions.load(connection, submission_id))

    def results(self, batch_id: str) -> dict[str, StageRecord]:
        """See ``Ledger.results``."""
        with reading(self._engine) as connection:
            return results.of_batch(connection, batch_id)

    def wait(self, batch_id: str, stage: str) -> Wait | None:
        """See ``Ledger.wait``."""
        with reading(self._engine) as connection:
            return signals.find_wait(connection, batch_id, stage)

    def tell(self, submission_id: str, signal: Signal, *, batch_id: str | None = None, late: bool = False) -> None:
        """See ``Ledger.tell``."""
        with writing(self._engine) as connection:
            row = submissions.load_to_be_told(connection, submission_id, late=late)
            if batch_id is not None and batches.find(connection, batch_id).batch.submission_id != submission_id:
                known = [held.batch.id for held in batches.of_submission(connection, submission_id)]
                raise RecordNotFound(f"batch of submission {submission_id}", batch_id, known)
            signals.keep(connection, row["tenant"], submission_of(row), signal, batch_id, self._now())

    def tell_pipeline(self, tenant: str, pipeline: str, signal: Signal) -> int:
        """See ``Ledger.tell_pipeline``."""
        with writing(self._engine) as connection:
            idents = submissions.unfinished_of(connection, tenant, pipeline)
            found = [submission_of(submissions.load(connection, ident)) for ident in idents]
            # What finished while its lock was waited for is not told any more.
            told = [one for one in found if one.status in UNFINISHED]
            for one in told:
                signals.keep(connection, tenant, one, signal, None, self._now())
            return len(told)

    def signals(self, batch_id: str) -> dict[str, Signal]:
        """See ``Ledger.signals``."""
        with reading(self._engine) as connection:
            return signals.told_to(connection, batches.find(connection, batch_id).batch.submission_id, batch_id)

    def told(self, submission_id: str) -> list[tuple[str | None, Signal]]:
        """See ``Ledger.told``."""
        with reading(self._engine) as connection:
            return signals.newest(connection, submission_id)

    def dead_letters(self, submission_id: str) -> list[DeadLetter]:
        """See ``Ledger.dead_letters``."""
        with reading(self._engine) as connection:
            return results.dead_letters(connection, submission_id)

    def history(self, submission_id: str) -> list[HistoryEntry]:
        """See ``Ledger.history``."""
        with reading(self._engine) as connection:
            return history.read(connection, submission_id)

    def traces(self, tenant: str, root: str) -> LedgerTraces:
        """See ``Ledger.traces``."""
        with reading(self._engine) as connection:
            return traces.find(connection, tenant, root)

    def holdings(self, finished_before: float) -> Holdings:
        """See ``Ledger.holdings``."""
        with reading(self._engine) as connection:
            return holdings.look(connection, finished_before)

    def remark(self, submission_id: str, note: Note, actor: str) -> None:
        """See ``Ledger.remark``."""
        line = history.Line(note.event, note.reason, detail=note.detail)
        with writing(self._engine) as connection:
            tenant = submissions.load(connection, submission_id)["tenant"]
            now, place = self._now(), {"tenant": tenant, "submission_id": submission_id}
            history.append(connection, [line], **place, actor=actor, now=now)

    def forget(self, removal: Removal) -> dict[str, int]:
        """See ``Ledger.forget``."""
        with writing(self._engine) as connection:
            return forgetting.begin(connection, removal, self._now())

    def finish_forgetting(self, tenant: str, root: str) -> None:
        """See ``Ledger.finish_forgetting``."""
        with writing(self._engine) as connection:
            forgetting.finish(connection, tenant, root, self._now())

    def remember(self, tenant: str, root: str) -> bool:
        """See ``Ledger.remember``."""
        with writing(self._engine) as connection:
            return forgetting.remember(connection, tenant, root)

    def forgotten(self, tenant: str, root: str | None = None) -> list[Forgotten]:
        """See ``Ledger.forgotten``."""
        with reading(self._engine) as connection:
            return forgetting.listed(connection, tenant, root)

    def forgotten_roots(self, tenant: str) -> frozenset[str]:
        """See ``Ledger.forgotten_roots``."""
        with reading(self._engine) as connection:
            return forgetting.roots(connection, tenant)

    def mentioned(self) -> tuple[set[tuple[str, str]], set[str]]:
        """See ``Ledger.mentioned``."""
        with reading(self._engine) as connection:
            return forgetting.mentioned(connection)

    def tenants_at_work(self) -> frozenset[str]:
        """See ``Ledger.tenants_at_work``."""
        with reading(self._engine) as connection:
            return forgetting.tenants_at_work(connection)

    def close(self) -> None:
        """See ``Ledger.close``."""
        self._engine.dispose()
