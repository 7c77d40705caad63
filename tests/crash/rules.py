"""What must hold after any crash, read from the database's tables: written without the engine, to judge it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from databases import Ledger, Row

LEGAL: Mapping[str | None, set[str]] = {
    None: {"pending"},
    "pending": {"running"},
    "running": {"running", "pending", "waiting", "completed"},
    "waiting": {"running"},
    "completed": set(),
}
"""Where a batch may go when nothing fails and nobody cancels: a crash is neither."""

AT_WORK = ("stage completed", "stage waiting", "stage reused")
"""Lines that only the run that holds the batch may write."""

Specs = Mapping[str, Any]


def judged(ledger: Ledger, specs: Specs) -> list[str]:
    """Every broken rule of a ledger in which everything has ended; ``specs`` are the pipelines by name."""
    pipelines = {row["id"]: row["pipeline"] for row in ledger.submissions}
    found = list(_ended(ledger))
    for batch in ledger.batches:
        lines = [line for line in ledger.history if line["batch_id"] == batch["id"]]
        stages = {stage["name"]: stage for stage in specs[pipelines[batch["submission_id"]]]["stages"]}
        told = [*_moves(batch, lines), *_claims(batch, lines), *_work(lines, stages), *_results(batch, ledger, stages)]
        found += [f"batch {batch['id']}: {problem}" for problem in told]
    return found + list(_followers(ledger))


def grown(before: Ledger, after: Ledger) -> list[str]:
    """What was lost or changed between two looks: history is only added to, generations and results only grow."""
    found = []
    for submission in {line["submission_id"] for line in before.history}:
        old, new = ([line for line in look.history if line["submission_id"] == submission] for look in (before, after))
        if new[: len(old)] != old:
            found.append(f"submission {submission}: lines of its history are gone or changed")
    generations = {row["id"]: row["generation"] for row in after.batches}
    found += [
        f"batch {row['id']}: generation {row['generation']} became {generations.get(row['id'])}"
        for row in before.batches
        if generations.get(row["id"], -1) < row["generation"]
    ]
    lost = before.completed() - after.completed()
    return found + [f"batch {batch}: the result of {stage} is gone" for batch, stage in sorted(lost)]


def repeated(before: Ledger, begun: Iterable[tuple[str, str]]) -> list[str]:
    """Stages that were begun although they had been finished before."""
    again = before.completed().intersection(begun)
    return [f"batch {batch}: {stage} was finished, and was begun again" for batch, stage in sorted(again)]


def outputs(ledger: Ledger, receipts: Iterable[str]) -> Counter[tuple[str, ...]]:
    """What every stage gave, by pipeline, stage, key and content; the sinks' receipts tell what was there before."""
    pipelines = {row["id"]: row["pipeline"] for row in ledger.submissions}
    batches = {row["id"]: (pipelines[row["submission_id"]]) for row in ledger.batches}
    left_out = set(receipts)
    return Counter(
        (batches[row["batch_id"]], row["stage"], key, ref["digest"])
        for row in ledger.stage_results
        if row["stage"] not in left_out
        for key, ref in row["outputs"].items()
    )


def _ended(ledger: Ledger) -> Iterator[str]:
    for row in ledger.submissions:
        if (row["status"], row["unfinished_key"]) != ("completed", None):
            yield f"submission {row['id']} is {row['status']}, {row['unfinished_key']}"
    for row in ledger.waits:
        yield f"batch {row['batch_id']}: {row['stage']} still waits"
    for row in ledger.dead_letters:
        yield f"batch {row['batch_id']}: {row['stage']} has the dead letter {row['item_id']}: {row['message']}"


def _moves(batch: Row, lines: list[Row]) -> Iterator[str]:
    status: str | None = None
    for line in lines:
        if line["event"] in ("failed", "cancelled", "stage failed"):
            yield f"{line['event']}: {line['reason']}"
        elif line["event"] in LEGAL:
            if line["event"] not in LEGAL[status]:
                yield f"{status} became {line['event']} ({line['reason']})"
            status = line["event"]
        elif line["stage"] is not None and line["event"] in AT_WORK and status != "running":
            yield f"{line['event']} of {line['stage']} while it was {status}"
    if status != batch["status"]:
        yield f"it is {batch['status']}, its history says {status}"
    if (batch["lease_owner"], batch["lease_until"], batch["ready_at"]) != (None, None, None):
        yield f"it has ended, and is held by {batch['lease_owner']} or ready at {batch['ready_at']}"


def _claims(batch: Row, lines: list[Row]) -> Iterator[str]:
    """Each claim is a generation; only the claimer's own lines follow it."""
    holder, status, claims = "", "", 0
    for line in lines:
        if line["event"] == "running":
            claims += 1
            taken = f"taken over from {holder}" if status == "running" else "claimed"
            if line["reason"] != taken:
                yield f"claim {claims} says {line['reason']!r}, not {taken!r}"
            if status == "running" and line["actor"] == holder:
                yield f"{holder} took it over from itself"
            holder = line["actor"]
        elif line["event"] in AT_WORK and line["actor"] != holder:
            yield f"{line['event']} of {line['stage']} by {line['actor']}, but {holder} held it"
        if line["event"] in LEGAL:
            status = line["event"]
    if claims != batch["generation"]:
        yield f"{claims} claims, but generation {batch['generation']}"


def _work(lines: list[Row], stages: Mapping[str, Row]) -> Iterator[str]:
    done: list[str] = []
    for line in lines:
        if line["event"] == "stage completed":
            lacking = set(stages[line["stage"]].get("depends_on", ())) - set(done)
            if lacking:
                yield f"{line['stage']} was completed before {', '.join(sorted(lacking))}"
            done.append(line["stage"])
        elif line["event"] == "stage reused" and line["stage"] not in done:
            yield f"{line['stage']} was reused before it was completed"
        elif line["event"] == "completed" and set(done) != set(stages):
            yield f"it was completed without {', '.join(sorted(set(stages) - set(done)))}"
    for stage, times in Counter(done).items():
        if times > 1:
            yield f"{stage} was completed {times} times"


def _results(batch: Row, ledger: Ledger, stages: Mapping[str, Row]) -> Iterator[str]:
    found = Counter(row["stage"] for row in ledger.stage_results if row["batch_id"] == batch["id"])
    if found != Counter(list(stages)):
        yield f"its results are {dict(found)}"
    for row in ledger.stage_results:
        if row["batch_id"] == batch["id"] and row["status"] != "completed":
            yield f"{row['stage']} is {row['status']}: {row['error']}"


def _followers(ledger: Ledger) -> Iterator[str]:
    """Each submission's batches are a chain: one first, each other following the one before."""
    for submission in ledger.submissions:
        chain = sorted(
            (row for row in ledger.batches if row["submission_id"] == submission["id"]), key=lambda row: row["ordinal"]
        )
        for number, row in enumerate(chain):
            before = chain[number - 1]["id"] if number else None
            if (row["ordinal"], row["follows"]) != (number + 1, before):
                yield f"batch {row['id']} is number {row['ordinal']} and follows {row['follows']}, not {before}"
