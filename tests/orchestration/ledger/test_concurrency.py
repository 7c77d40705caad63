"""Several threads and processes at one ledger, and processes that die."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from medical_kg.orchestration.ledger.contract import NextBatch, Note
from medical_kg.orchestration.ledger.sql import SqlLedger

THREADS = 8
UPDATES = {"sqlite": 500, "postgres": 100}
"""Of each thread: what only the process can lose needs many, what a server guards fewer."""


@pytest.mark.slow
def test_threads_lose_no_update(open_one: Callable[[], SqlLedger], database: str, make: Any) -> None:
    """8 threads with hundreds of commits each: every line is in the history, every attempt was added."""
    ledger, updates = open_one(), UPDATES[database]
    submission, _ = ledger.open_submission(make.new())
    batch = ledger.claim(f"{submission.id}-0001", "worker", lease_seconds=60)

    def work(thread: int) -> None:
        for update in range(updates):
            record = make.record(batch.id, counts={"update": update})
            note = Note(event="update", reason=f"{thread}-{update}")
            ledger.commit(record, 1, dead_letters=[make.letter(batch.id, "shared")], notes=[note])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    lines = ledger.history(submission.id)
    reasons = [line.reason for line in lines if line.event == "update"]
    assert sorted(reasons) == sorted(f"{thread}-{update}" for thread in range(THREADS) for update in range(updates))
    assert sum(line.event == "stage completed" for line in lines) == THREADS * updates
    assert [letter.attempts for letter in ledger.dead_letters(submission.id)] == [THREADS * updates]
    for thread in range(THREADS):
        own = [reason for reason in reasons if reason.startswith(f"{thread}-")]
        assert own == [f"{thread}-{update}" for update in range(updates)]


def test_threads_open_one_submission(open_one: Callable[[], SqlLedger], make: Any) -> None:
    """Of many that ask for the same at once one makes it, and all get it."""
    ledger = open_one()
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda _: ledger.open_submission(make.new()), range(40)))
    assert len({submission.id for submission, _ in found}) == 1
    assert sum(made for _, made in found) == 1


WORKER = """
import sys
from contextlib import suppress
from medical_kg.orchestration.contract.errors import BatchHeld, StaleGeneration
from medical_kg.orchestration.ledger.contract import DeadLetter, Note, StageRecord
from medical_kg.orchestration.ledger.sql import open_ledger

ledger, owner = open_ledger(sys.argv[1]), sys.argv[2]

def record(batch_id, stage):
    return StageRecord(batch_id=batch_id, stage=stage, stage_type="x", status="completed", fingerprint="f",
                       started_at=0, finished_at=1)
"""


def start(script: str, url: str, owner: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER + script, url, owner]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outputs(workers: list[subprocess.Popen[str]]) -> list[str]:
    """Return all lines the workers printed; they must have ended well."""
    ended = [worker.communicate() for worker in workers]
    assert [errors for _, errors in ended] == [""] * len(workers)
    return [line for printed, _ in ended for line in printed.splitlines()]


DRAIN = """
while batches := ledger.ready(limit=10):
    for batch in batches:
        try:
            held = ledger.claim(batch.id, owner, lease_seconds=60)
        except BatchHeld:
            continue
        print(held.id, held.generation)
        ledger.commit(record(held.id, "chunk"), held.generation)
        ledger.settle(held.id, held.generation, ["chunk"])
"""


def test_processes_share_the_batches(ledger: SqlLedger, url: str, make: Any, clock: Any) -> None:
    """4 processes over 50 batches: each is claimed exactly once, and completed."""
    for number in range(50):
        ledger.open_submission(make.new(id=f"s{number}", input={"n": number}))
    claims = outputs([start(DRAIN, url, f"worker-{number}") for number in range(4)])
    assert sorted(claims) == sorted(f"s{number}-0001 1" for number in range(50))
    assert {one.status for one in ledger.submissions(limit=100)} == {"completed"}


TAKE_OVER = """
for _ in range(10):
    for number in range(5):
        held = None
        while held is None:
            with suppress(BatchHeld):  # on Postgres: another process is changing the batch at this moment
                held = ledger.claim(f"s{number}-0001", owner, lease_seconds=0)
        print(held.id, held.generation, flush=True)
        try:
            ledger.commit(record(held.id, f"{owner}-{held.generation}"), held.generation)
        except StaleGeneration:
            pass
"""


@pytest.mark.slow
def test_a_generation_has_one_owner(ledger: SqlLedger, url: str, make: Any) -> None:
    """However often a batch changes hands, no generation is given out twice, and only its owner commits under it."""
    for number in range(5):
        ledger.open_submission(make.new(id=f"s{number}", input={"n": number}))
    claims = Counter(outputs([start(TAKE_OVER, url, f"worker-{number}") for number in range(4)]))
    assert set(claims.values()) == {1}
    for number in range(5):
        batch_id = f"s{number}-0001"
        assert ledger.batch(batch_id).generation == 40
        assert {claim for claim in claims if claim.startswith(batch_id)} == {f"{batch_id} {n}" for n in range(1, 41)}
        lines = [line for line in ledger.history(f"s{number}") if line.event in ("running", "stage completed")]
        owner, generation = "", 0
        for line in lines:
            if line.event == "running":
                owner, generation = line.actor, generation + 1
            else:
                assert line.stage == f"{owner}-{generation}"


MOVE = """
import random
order, moves = random.Random(owner), 0
batches = [f"s{number}-{ordinal:04d}" for number in range(4) for ordinal in range(1, 5)]
while moves < 500:
    with suppress(BatchHeld):
        held = ledger.claim(order.choice(batches), owner, lease_seconds=600)
        ledger.settle(held.id, held.generation, ["chunk"])
        moves += 2
"""


@pytest.mark.slow
def test_eight_processes_lose_no_transition(ledger: SqlLedger, url: str, make: Any) -> None:
    """8 processes with 500 transitions each, on 16 batches of 4 submissions: all are in the history, in a legal order."""
    workers = [f"worker-{number}" for number in range(8)]
    for number in range(4):
        ledger.open_submission(make.new(id=f"s{number}", input={"n": number}))
        for ordinal in range(1, 4):
            held = ledger.claim(f"s{number}-{ordinal:04d}", "worker-0", lease_seconds=0)
            ledger.commit(make.record(held.id, "pull"), 1, next_batch=NextBatch(cursor=str(ordinal)))
            ledger.settle(held.id, 1, ["chunk"])
    assert outputs([start(MOVE, url, worker) for worker in workers]) == []
    lines = [line for number in range(4) for line in ledger.history(f"s{number}")]
    for number in range(4):
        found = ledger.batches(f"s{number}")
        assert ledger.submission(f"s{number}").status == "pending"
        for batch in found:
            moves = [line for line in lines if line.batch_id == batch.id and line.event in ("pending", "running")]
            assert [line.event for line in moves] == ["pending", *["running", "pending"] * batch.generation]
            pairs = zip(moves[1::2], moves[2::2], strict=True)
            assert all(claimed.actor == settled.actor for claimed, settled in pairs)
    told = Counter(line.actor for line in lines if line.event in ("pending", "running") and line.at > 1_000)
    assert told == dict.fromkeys(workers, 500)


COMMIT_FOR_EVER = """
number = 0
held = ledger.claim("s1-0001", owner, lease_seconds=0)
while True:
    number += 1
    letters = [DeadLetter(submission_id="s1", batch_id=held.id, stage=f"stage-{number}", item_id=f"item-{one}",
                          root=None, error="x", message="y", at=0) for one in range(20)]
    notes = [Note(event="note", reason=f"stage-{number}") for _ in range(5)]
    ledger.commit(record(held.id, f"stage-{number}"), held.generation, dead_letters=letters, notes=notes)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_whole_commits(open_one: Callable[[], SqlLedger], url: str, make: Any) -> None:
    """SIGKILL at any moment: what was reported is there, and of every commit all of it or nothing."""
    open_one().open_submission(make.new(id="s1"))
    for attempt in range(1, 5):
        worker = start(COMMIT_FOR_EVER, url, f"worker-{attempt}")
        assert worker.stdout is not None
        for _ in range(20 * attempt):
            worker.stdout.readline()
        time.sleep(0.0003 * attempt)
        worker.kill()
        printed, _ = worker.communicate()
        reported = max([20 * attempt, *map(int, printed.split())])
        ledger = open_one()
        stages = set(ledger.results("s1-0001"))
        assert {f"stage-{number}" for number in range(1, reported + 1)} <= stages
        letters = Counter(letter.stage for letter in ledger.dead_letters("s1"))
        assert letters == dict.fromkeys(stages, 20)
        lines = ledger.history("s1")
        notes = Counter(line.reason for line in lines if line.event == "note")
        results = Counter(line.stage for line in lines if line.event == "stage completed")
        assert notes == {stage: 5 * count for stage, count in results.items()}
        assert set(results) == stages
