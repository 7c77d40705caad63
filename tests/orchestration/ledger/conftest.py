"""A ledger in a fresh file, a clock that stands still, and short ways to make its records."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer

from medical_kg.orchestration.contract import Clause, Condition
from medical_kg.orchestration.ledger.contract import DeadLetter, NewSubmission, OutputRef, StageRecord, Wait
from medical_kg.orchestration.ledger.sql import SqlLedger, open_ledger
from medical_kg.orchestration.ledger.tables import METADATA

START = 1_000.0


class FakeClock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Make:
    """Makes the ledger's records with as few words as the test needs."""

    def new(self, **changes: Any) -> NewSubmission:
        given = {
            "tenant": "clinic",
            "pipeline": "auto",
            "pipeline_version": "1",
            "pipeline_path": "auto.yaml",
            "pipeline_digest": "d" * 64,
            "batch_size": 100,
            "input": {"input": "trials/"},
            "actor": "ana",
        }
        return NewSubmission.model_validate(given | changes)

    def record(self, batch_id: str, stage: str = "chunk", status: str = "completed", **changes: Any) -> StageRecord:
        given = {
            "batch_id": batch_id,
            "stage": stage,
            "stage_type": "chunk",
            "status": status,
            "fingerprint": "f" * 64,
            "outputs": {"chunks": OutputRef(digest="a" * 64, suffix=".jsonl", items=7)},
            "counts": {"chunks": 7},
            "origin": {"distribution": "medical-kg", "version": "0.1.0"},
            "started_at": 10.0,
            "finished_at": 12.5,
        }
        return StageRecord.model_validate(given | changes)

    def wait(self, batch_id: str, stage: str = "gate", field: str = "ready", **changes: Any) -> Wait:
        given = {
            "batch_id": batch_id,
            "stage": stage,
            "condition": Condition(clauses=(Clause(field=field, value=True),)),
            "on_timeout": "fail",
            "first_waited_at": START,
            "deadline_at": None,
            "baseline": {},
        }
        return Wait.model_validate(given | changes)

    def letter(self, batch_id: str, item_id: str, stage: str = "chunk", **changes: Any) -> DeadLetter:
        given = {
            "submission_id": batch_id.rpartition("-")[0],
            "batch_id": batch_id,
            "stage": stage,
            "item_id": item_id,
            "root": "NCT1",
            "error": "ItemRejected",
            "message": "no text",
            "at": START,
        }
        return DeadLetter.model_validate(given | changes)


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables and no rows."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    open_ledger(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(empty_database: Path, tmp_path: Path) -> str:
    """The URL of a fresh ledger in SQLite."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'kg.db')}"


@pytest.fixture(scope="session")
def empty_postgres(postgres: PostgresServer) -> str:
    """The name of a Postgres database with all tables, for one test at a time."""
    name = postgres.database()
    open_ledger(postgres.url(name)).close()
    return name


@pytest.fixture
def fresh_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives the URL of a fresh ledger; on Postgres those given before are it, emptied."""
    numbers = itertools.count()
    if database == "sqlite":
        source: Path = request.getfixturevalue("empty_database")
        return lambda: f"sqlite:///{shutil.copy(source, tmp_path / f'kg{next(numbers)}.db')}"
    server: PostgresServer = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("empty_postgres")

    def emptied() -> str:
        server.query(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY", name)
        return server.url(name)

    return emptied


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """Each test of the ledger runs on either database."""
    name: str = request.param
    return name


@pytest.fixture
def url(fresh_url: Callable[[], str]) -> str:
    """The URL of a fresh ledger."""
    return fresh_url()


@pytest.fixture
def open_one(url: str, clock: FakeClock) -> Iterator[Callable[[], SqlLedger]]:
    """Opens the same ledger again, as another process would."""
    opened: list[SqlLedger] = []

    def open_again() -> SqlLedger:
        ledger = open_ledger(url, clock=clock)
        assert isinstance(ledger, SqlLedger)
        opened.append(ledger)
        return ledger

    yield open_again
    for ledger in opened:
        ledger.close()


OPEN_WHEN_TOLD = """
import sys
from medical_kg.orchestration.ledger.sql import open_ledger
import alembic.command
print(flush=True)
input()
open_ledger(sys.argv[1]).close()
"""


@pytest.fixture
def open_at_once() -> Callable[[str], list[str]]:
    """Opens a database from four processes at the same moment; gives what each has to complain of."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)

    def open_all(url: str) -> list[str]:
        command = [sys.executable, "-c", OPEN_WHEN_TOLD, url]
        openers = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
        for opener in openers:
            assert opener.stdout is not None
            opener.stdout.readline()
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write("\n")
            opener.stdin.flush()
        return [opener.communicate()[1] for opener in openers]

    return open_all


@pytest.fixture
def ledger(open_one: Callable[[], SqlLedger]) -> SqlLedger:
    return open_one()


@pytest.fixture
def batch_id(ledger: SqlLedger, make: Make) -> str:
    """The first batch of a submission; nobody has claimed it."""
    submission, _ = ledger.open_submission(make.new())
    return f"{submission.id}-0001"


@pytest.fixture
def claimed(ledger: SqlLedger, batch_id: str) -> str:
    """A batch that ``worker`` holds for 60 s under generation 1."""
    return ledger.claim(batch_id, "worker", lease_seconds=60).id
