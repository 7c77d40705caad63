"""What only Postgres has: row locks, schemas made beside others, a server that comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from postgres_server import PostgresServer
from sqlalchemy import select
from support import migrate_to

from medical_kg.orchestration.contract import Signal
from medical_kg.orchestration.contract import database as opening
from medical_kg.orchestration.contract.database import open_engine, reading, writing
from medical_kg.orchestration.contract.errors import BatchHeld, SchemaTooNew, StorageError, TransientError
from medical_kg.orchestration.ledger.contract import FingerprintParts, NextBatch
from medical_kg.orchestration.ledger.sql import SqlLedger, open_ledger
from medical_kg.orchestration.ledger.tables import BATCHES, METADATA, SCHEMA, SUBMISSIONS, VERSION_TABLE


@pytest.fixture
def database_name(postgres: PostgresServer) -> str:
    """A database with nothing in it."""
    return postgres.database()


@pytest.fixture
def database() -> str:
    """All tests of this module run on Postgres only."""
    return "postgres"


def columns(postgres: PostgresServer, name: str) -> list[tuple[Any, ...]]:
    return postgres.query(
        "SELECT table_name, column_name, data_type, is_nullable, collation_name FROM information_schema.columns "
        f"WHERE table_schema = 'public' AND table_name <> '{VERSION_TABLE}' ORDER BY 1, 2",
        name,
    )


def test_the_migrations_give_the_tables_of_the_code(postgres: PostgresServer, database_name: str) -> None:
    """Alembic sees no difference; all text is compared byte by byte, and nothing else has an order of its own."""
    open_ledger(postgres.url(database_name)).close()
    with reading(open_engine(postgres.url(database_name))) as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
    direct = postgres.database()
    with writing(open_engine(postgres.url(direct))) as connection:
        METADATA.create_all(connection)
    found = columns(postgres, database_name)
    assert found == columns(postgres, direct)
    assert {(kind, collation) for _, _, kind, _, collation in found if "char" in kind or kind == "text"} == {
        ("character varying", "C"),
        ("text", "C"),
    }


def test_a_database_of_the_first_schema_is_upgraded_with_all_it_holds(
    postgres: PostgresServer, database_name: str, make: Any, clock: Any
) -> None:
    """Its stage results are readable, without the parts of their fingerprints; new ones have them."""
    url = postgres.url(database_name)
    ledger = open_ledger(url, clock=clock)
    batch = ledger.claim(ledger.batches(ledger.open_submission(make.new())[0].id)[0].id, "ana", lease_seconds=60)
    ledger.commit(make.record(batch.id), batch.generation)
    ledger.close()
    for column in ("parts", "sweep", "calls"):
        postgres.query(f"ALTER TABLE stage_results DROP COLUMN {column}", database_name)
    for table in ("forgotten", "item_results", "hosts"):
        postgres.query(f"DROP TABLE {table}", database_name)
    for column in ("input_key", "sequence", "batch_id"):
        postgres.query(f"ALTER TABLE seen DROP COLUMN {column}", database_name)
    postgres.query(f"UPDATE {VERSION_TABLE} SET version_num = '0001'", database_name)
    first = postgres.database()
    migrate_to(postgres.url(first), "0001")
    assert columns(postgres, first) == columns(postgres, database_name)
    upgraded = open_ledger(url, clock=clock)
    assert postgres.query(f"SELECT version_num FROM {VERSION_TABLE}", database_name) == [(SCHEMA,)]
    assert upgraded.results(batch.id) == {"chunk": make.record(batch.id)}
    parts = FingerprintParts(
        type="chunk", distribution="x", version="1", config={"a": 1}, conditions={}, inputs={"k": ("d",)}, digests={}
    )
    upgraded.commit(make.record(batch.id, "embed", parts=parts), batch.generation)
    assert upgraded.results(batch.id)["embed"].parts == parts
    upgraded.close()


def test_a_newer_schema_is_refused_with_advice(postgres: PostgresServer, database_name: str) -> None:
    """A database written by a newer release is left alone; the password is not shown."""
    url = postgres.url(database_name)
    open_ledger(url).close()
    postgres.query(f"UPDATE {VERSION_TABLE} SET version_num = '9999'", database_name)
    with pytest.raises(SchemaTooNew, match=r"medical:\*\*\*@.* has schema 9999, newer than .*; upgrade medical-kg"):
        open_ledger(url)
    assert postgres.query(f"SELECT version_num FROM {VERSION_TABLE}", database_name) == [("9999",)]


def test_a_broken_migration_leaves_nothing_behind(postgres: PostgresServer, database_name: str) -> None:
    """The steps run in one transaction: when one fails, the database is as it was."""
    postgres.query("CREATE TABLE history (id INTEGER)", database_name)
    with pytest.raises(StorageError, match='relation "history" already exists'):
        open_ledger(postgres.url(database_name))
    assert {row[0] for row in columns(postgres, database_name)} == {"history"}


@pytest.mark.slow
def test_processes_may_open_a_fresh_database_at_once(
    postgres: PostgresServer, database_name: str, open_at_once: Callable[[str], list[str]]
) -> None:
    """Whoever comes second waits, and finds the work done."""
    assert open_at_once(postgres.url(database_name)) == [""] * 4
    assert postgres.query(f"SELECT version_num FROM {VERSION_TABLE}", database_name) == [(SCHEMA,)]


@pytest.fixture
def locked(ledger: SqlLedger, batch_id: str) -> Iterator[Callable[[], None]]:
    """Another writer holds the batch's row until it is told to let go."""
    other = ledger._engine.connect()
    other.execute(select(BATCHES).where(BATCHES.c.id == batch_id).with_for_update())
    yield other.rollback
    other.close()


def test_a_claim_passes_by_a_batch_that_is_being_changed(
    ledger: SqlLedger, batch_id: str, locked: Callable[[], None]
) -> None:
    """It does not queue up; when the other writer has done, the batch can be claimed."""
    with pytest.raises(BatchHeld, match=f"{batch_id} is being changed by another process at this moment"):
        ledger.claim(batch_id, "worker", lease_seconds=60)
    assert [batch.id for batch in ledger.ready()] == [batch_id]
    locked()
    assert ledger.claim(batch_id, "worker", lease_seconds=60).generation == 1


def test_a_claim_of_a_given_generation_waits(ledger: SqlLedger, batch_id: str, locked: Callable[[], None]) -> None:
    """A run that was launched for this very batch is not turned away by whoever touches it in passing."""
    with ThreadPoolExecutor(1) as pool:
        claim = pool.submit(ledger.claim, batch_id, "run", lease_seconds=60, generation=0)
        with pytest.raises(TimeoutError):
            claim.result(0.2)
        locked()
        assert claim.result().lease_owner == "run"


@pytest.mark.usefixtures("locked")
def test_a_lock_is_waited_for_and_then_named(
    url: str, batch_id: str, monkeypatch: pytest.MonkeyPatch, ledger: SqlLedger
) -> None:
    """A writer waits for another one, for the busy timeout and not longer; readers do not."""
    monkeypatch.setattr(opening, "BUSY_TIMEOUT_SECONDS", 1)
    impatient = open_ledger(url)
    assert impatient.batch(batch_id) == ledger.batch(batch_id)
    with pytest.raises(TransientError, match=r"due to lock timeout.*; another process has held it for"):
        impatient.heartbeat(batch_id, 0, lease_seconds=60)
    impatient.close()


@pytest.mark.parametrize("call", ["cancel", "tell"])
def test_nobody_waits_for_a_batch_with_its_submission_locked(
    ledger: SqlLedger, url: str, batch_id: str, postgres: PostgresServer, call: str
) -> None:
    """Whoever changes a whole submission takes its batches first, as every other writer does: no two block each other."""
    ask = {
        "cancel": lambda: ledger.cancel(batch_id[:-5], "ana"),
        "tell": lambda: ledger.tell(batch_id[:-5], Signal(name="x")),
    }
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{}'"
    with ThreadPoolExecutor(1) as pool, open_engine(url).connect() as other:
        other.execute(select(BATCHES).where(BATCHES.c.id == batch_id).with_for_update())
        called = pool.submit(ask[call])
        while postgres.query(waiting.format(url.rpartition("/")[2])) != [(1,)]:
            assert not called.done()
        assert other.execute(select(SUBMISSIONS).with_for_update(nowait=True)).one().id == batch_id[:-5]
        other.rollback()
        called.result()


def test_no_wake_up_is_lost(ledger: SqlLedger, make: Any) -> None:
    """A signal that is told while a batch settles into waiting for it wakes the batch, whoever comes first."""
    for number in range(40):
        submission, _ = ledger.open_submission(make.new(input={"n": number}))
        held = ledger.claim(f"{submission.id}-0001", "worker", lease_seconds=60)
        ledger.commit(make.record(held.id, "gate", "waiting"), 1, wait=make.wait(held.id))
        with ThreadPoolExecutor(2) as pool:
            settled = pool.submit(ledger.settle, held.id, 1, ["gate"])
            told = pool.submit(ledger.tell, submission.id, Signal(name="ready"))
            assert (settled.result().status, told.result()) == ("waiting", None)
        assert [batch.id for batch in ledger.ready(submission_id=submission.id)] == [held.id]


def test_batches_that_end_together_end_their_submission(ledger: SqlLedger, make: Any) -> None:
    """Of batches that are settled at the same time the last one sees the others: the submission is completed."""
    for number in range(20):
        submission, _ = ledger.open_submission(make.new(input={"n": number}))
        batches = [f"{submission.id}-{ordinal:04d}" for ordinal in range(1, 5)]
        for batch_id in batches:
            ledger.claim(batch_id, "worker", lease_seconds=60)
            follower = NextBatch(cursor=batch_id) if batch_id != batches[-1] else None
            ledger.commit(make.record(batch_id), 1, next_batch=follower)
        with ThreadPoolExecutor(4) as pool:
            settled = list(pool.map(lambda batch_id: ledger.settle(batch_id, 1, ["chunk"]), batches))
        assert {batch.status for batch in settled} == {"completed"}
        assert ledger.submission(submission.id).status == "completed"
        assert ledger.open_submission(make.new(input={"n": number}))[1]


@pytest.mark.slow
def test_a_server_may_be_started_anew(make: Any) -> None:
    """While it is down a call says what to do and may be tried again; once it is back the ledger goes on."""
    server = PostgresServer.start_new()
    ledger = open_ledger(server.url("postgres"))
    submission, _ = ledger.open_submission(make.new())
    server.stop()
    with pytest.raises(TransientError, match=r"Connection refused.*; see that the server runs"):
        ledger.submissions()
    server.start()
    assert ledger.submissions() == [submission]
    ledger.close()
    server.close()


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (("/kg", "/nowhere"), r'database "nowhere\d+" does not exist; make it \(createdb\), or name another'),
        (("medical:", "nobody:"), "password authentication failed .*; see that user and password are right"),
    ],
)
def test_a_database_that_cannot_be_opened_is_named(url: str, change: tuple[str, str], advice: str) -> None:
    """A missing database and a wrong user each say what to do; the password is not in it."""
    with pytest.raises(StorageError, match=advice) as caught:
        open_ledger(url.replace(*change))
    assert url.split(":")[2].partition("@")[0] not in str(caught.value)


def test_a_nul_in_a_cursor_is_refused_plainly(ledger: SqlLedger, claimed: str, make: Any) -> None:
    """Postgres keeps no NUL; where text must stay as it is, the call says so and nothing is written."""
    with pytest.raises(StorageError, match=r"NUL .*; Postgres keeps no text with a NUL in it"):
        ledger.commit(make.record(claimed), 1, next_batch=NextBatch(cursor="a\0b"))
    assert ledger.results(claimed) == {}
