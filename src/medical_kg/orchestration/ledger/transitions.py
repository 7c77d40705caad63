"""Where a batch and its submission may go: the rules, without a database.

A batch changes its status along ``LEGAL_MOVES`` only; a submission's status follows from its batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from medical_kg.orchestration.contract.errors import BatchHeld, IllegalTransition, StaleGeneration
from medical_kg.orchestration.ledger.contract import LEGAL_MOVES, StageRecord, Status

if TYPE_CHECKING:
    from medical_kg.orchestration.ledger.contract import Batch


class Verdict(NamedTuple):
    """What a run of a batch came to, and why."""

    status: Status
    reason: str


def check_move(batch_id: str, old: Status, new: Status) -> None:
    """Refuse a change of a batch's status that is not legal.

    Raises:
        IllegalTransition: it names the batch, both states and the legal moves.
    """
    if new not in LEGAL_MOVES[old]:
        raise IllegalTransition(f"batch {batch_id}", old, new, LEGAL_MOVES[old])


def check_outcome(batch: Batch, status: Status) -> None:
    """Refuse to have a failed batch run again by its settling, whatever was committed since: a retry is asked for.

    Raises:
        IllegalTransition: it names the batch, both states and the legal moves.
    """
    if batch.status == "failed" and status == "pending":
        legal = LEGAL_MOVES["failed"] - {"pending"}
        raise IllegalTransition(f"batch {batch.id}", "failed", "pending by its settling", legal)


def check_generation(batch: Batch, generation: int) -> None:
    """Refuse a run whose batch was taken over.

    Raises:
        StaleGeneration: it names both generations.
    """
    if batch.generation != generation:
        raise StaleGeneration(batch.id, generation, batch.generation)


def check_at_work(batch: Batch, generation: int) -> None:
    """Refuse a change by a run that no longer works on the batch.

    A failed batch still takes what the other branches of the run that failed it bring.

    Raises:
        StaleGeneration: another run took the batch over.
        BatchHeld: the batch is not claimed, or there is nothing left to do in it.
    """
    check_generation(batch, generation)
    if batch.status not in ("running", "failed"):
        msg = f"batch {batch.id} is {batch.status}, no run works on it; claim it before changing it"
        raise BatchHeld(msg)


def check_not_cancelled(batch: Batch) -> None:
    """Refuse to settle a batch that was cancelled while its run was at work.

    Raises:
        BatchHeld: it was.
    """
    if batch.status == "cancelled":
        raise BatchHeld(f"batch {batch.id} was cancelled; there is nothing left to do in it")


def check_claim(batch: Batch, owner: str, *, now: float, generation: int | None, dead_owner: str | None) -> None:
    """Refuse a claim of a batch that somebody else holds or that is done.

    A lease that has run out does not prove its owner dead. Such a batch may be taken under a new generation only:
    two runs must never hold the same one.

    Raises:
        StaleGeneration: ``generation`` is given and not the current one.
        BatchHeld: it says who holds the batch and until when, or that there is nothing left to do.
    """
    if generation is not None:
        check_generation(batch, generation)
    if batch.status == "running":
        _check_lease(batch, owner, now=now, same_generation=generation is not None, dead_owner=dead_owner)
    elif "running" not in LEGAL_MOVES[batch.status]:
        way_out = "retry it" if batch.status == "failed" else "there is nothing left to do in it"
        msg = f"batch {batch.id} is {batch.status}; {way_out}"
        raise BatchHeld(msg)


def _check_lease(batch: Batch, owner: str, *, now: float, same_generation: bool, dead_owner: str | None) -> None:
    if batch.lease_owner in (owner, dead_owner):
        return
    left = (batch.lease_until or 0.0) - now
    if left > 0:
        msg = f"batch {batch.id} is held by {batch.lease_owner} for another {left:.0f} s"
        raise BatchHeld(msg)
    if same_generation:
        msg = (
            f"batch {batch.id}: the lease of {batch.lease_owner} has run out, but it may still be at work under "
            f"generation {batch.generation}; take the batch under a new one"
        )
        raise BatchHeld(msg)


def check_ready(batch: Batch, *, now: float) -> None:
    """Refuse to launch a batch whose time has not come, or not any more.

    Raises:
        BatchHeld: it says how the batch stands.
    """
    if batch.status in ("pending", "running", "waiting") and batch.ready_at is not None and batch.ready_at <= now:
        return
    msg = f"batch {batch.id} is {batch.status} and not ready: somebody else has taken it up"
    raise BatchHeld(msg)


def claim_reason(batch: Batch, owner: str) -> str:
    """Return the history's words for a claim that ``check_claim`` allowed."""
    if batch.status != "running" or batch.lease_owner == owner:
        return "claimed"
    return f"taken over from {batch.lease_owner}"


def verdict(results: Mapping[str, StageRecord], stages: Sequence[str]) -> Verdict:
    """Return what a run of a batch came to, given its results and the pipeline's stages."""
    by_status = {
        status: [name for name in stages if name in results and results[name].status == status]
        for status in ("completed", "failed", "postponed", "waiting")
    }
    if failed := by_status["failed"]:
        return Verdict("failed", failure(results[failed[0]]))
    if postponed := by_status["postponed"]:
        # Also where another stage waits: what ends that is looked at when this one runs again.
        return Verdict("pending", f"put off: {', '.join(postponed)}")
    if waiting := by_status["waiting"]:
        return Verdict("waiting", f"waiting: {', '.join(waiting)}")
    if len(by_status["completed"]) == len(stages):
        return Verdict("completed", "every stage completed")
    missing = next(name for name in stages if name not in results)
    return Verdict("pending", f"cut short before stage {missing!r}")


def ready_again(results: Mapping[str, StageRecord], now: float) -> float:
    """Return when a pending batch is to be taken up: when the first of its postponed stages is to run again, or now."""
    postponed = [record.calls for record in results.values() if record.status == "postponed"]
    return max(now, min((calls.again_at for calls in postponed if calls and calls.again_at), default=now))


def failure(record: StageRecord) -> str:
    """Return the history's words for a batch that a stage failed."""
    return f"stage {record.stage!r} failed: {record.error or 'no reason was given'}"


def submission_status(statuses: Iterable[Status]) -> Status:
    """Return a submission's status from those of its batches.

    Running wins, and so does having begun: some completed and some pending. Then pending, failed, waiting; what is
    left is finished: cancelled when every batch is, else completed.
    """
    found = set(statuses)
    if "running" in found or {"completed", "pending"} <= found:
        return "running"
    for status in ("pending", "failed", "waiting"):
        if status in found:
            return status
    return "cancelled" if found == {"cancelled"} else "completed"
