"""The schema: how a database gets it, and what is refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import IntegrityError

from medical_kg.orchestration.contract import SystemClock, database
from medical_kg.orchestration.contract.database import open_engine, reading, writing
from medical_kg.orchestration.contract.errors import SchemaTooNew, StorageError, TransientError
from medical_kg.orchestration.ledger.contract import FingerprintParts
from medical_kg.orchestration.ledger.sql import SqlLedger, open_ledger
from medical_kg.orchestration.ledger.tables import HISTORY, METADATA, SCHEMA, VERSION_TABLE


def query(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
        return found


def shape(path: Path) -> dict[str, Any]:
    """Everything SQLite knows about each table but its own wording."""
    engine = create_engine(f"sqlite:///{path}")
    found = inspect(engine)
    tables = {
        table: (
            [(str(column["type"]), column | {"type": None}) for column in found.get_columns(table)],
            found.get_pk_constraint(table)["constrained_columns"],
            sorted(str(key) for key in found.get_foreign_keys(table)),
            sorted(str(unique["column_names"]) for unique in found.get_unique_constraints(table)),
            sorted(str(index) for index in found.get_indexes(table)),
        )
        for table in found.get_table_names()
        if table != VERSION_TABLE
    }
    engine.dispose()
    return tables


def test_the_migrations_give_the_tables_of_the_code(empty_database: Path, tmp_path: Path) -> None:
    """Alembic sees no difference between the two, and neither does a look at columns, keys and indexes."""
    engine = create_engine(f"sqlite:///{empty_database}")
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
    engine.dispose()
    direct = create_engine(f"sqlite:///{tmp_path / 'direct.db'}")
    METADATA.create_all(direct)
    direct.dispose()
    assert shape(empty_database) == shape(tmp_path / "direct.db")


def test_every_key_has_the_tenant(empty_database: Path) -> None:
    """Each table has a tenant but that of hosts; keys that are not mere numbers, and all that point elsewhere, include it."""
    engine = create_engine(f"sqlite:///{empty_database}")
    found = inspect(engine)
    for table in METADATA.tables.keys() - {"hosts"}:
        key = found.get_pk_constraint(table)["constrained_columns"]
        assert "tenant" in key or key in (["id"], ["sequence"]), table
        assert not found.get_columns(table)[0]["nullable"]
        assert all("tenant" in foreign["constrained_columns"] for foreign in found.get_foreign_keys(table)), table
        assert "tenant" in {column["name"] for column in found.get_columns(table)}, table
    engine.dispose()


def test_a_tenant_cannot_point_to_anothers_submission(ledger: SqlLedger, batch_id: str) -> None:
    """The database itself refuses a row of one tenant that belongs to a submission of another."""
    row = {"submission_id": batch_id[:-5], "event": "x", "reason": "", "actor": "", "at": 0.0, "detail": {}}
    with writing(ledger._engine) as connection:
        connection.execute(HISTORY.insert(), row | {"tenant": "clinic"})
    with (
        pytest.raises(StorageError, match=r"(?i)foreign key constraint") as caught,
        writing(ledger._engine) as connection,
    ):
        connection.execute(HISTORY.insert(), row | {"tenant": "other"})
    assert isinstance(caught.value.__cause__, IntegrityError)


def test_the_newest_step_is_the_one_the_code_knows() -> None:
    """``SCHEMA`` names the head of the migrations, and there is one head."""
    config = Config()
    config.set_main_option("script_location", "medical_kg.orchestration.ledger:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]


def test_ready_batches_are_found_by_an_index(empty_database: Path) -> None:
    """Asking what is ready reads no more batches than are due."""
    plan = query(empty_database, "EXPLAIN QUERY PLAN SELECT * FROM batches WHERE ready_at <= 5 ORDER BY ready_at")
    assert "USING INDEX ix_batches_ready_at" in plan[0][-1]


def test_a_newer_schema_is_refused_with_advice(empty_database: Path, tmp_path: Path) -> None:
    """A database written by a newer release is left alone."""
    path = tmp_path / "new.db"
    path.write_bytes(empty_database.read_bytes())
    query(path, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(SchemaTooNew, match=r"has schema 9999, newer than 0006, .*; upgrade medical-kg") as caught:
        open_ledger(f"sqlite:///{path}")
    assert (caught.value.found, caught.value.known) == ("9999", SCHEMA)
    assert query(path, f"SELECT version_num FROM {VERSION_TABLE}") == [("9999",)]


def first_schema(path: Path) -> None:
    """Make a database as the first release made it."""
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", "medical_kg.orchestration.ledger:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()


def test_a_database_of_the_first_schema_is_upgraded_with_all_it_holds(tmp_path: Path, make: Any) -> None:
    """Its stage results are readable, without the parts of their fingerprints; new ones have them."""
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    first_schema(old)
    ledger = open_ledger(f"sqlite:///{new}")
    batch = ledger.claim(ledger.batches(ledger.open_submission(make.new())[0].id)[0].id, "ana", lease_seconds=60)
    parts = FingerprintParts(
        type="chunk", distribution="x", version="1", config={"a": 1}, conditions={}, inputs={"k": ("d",)}, digests={}
    )
    ledger.commit(make.record(batch.id, parts=parts), batch.generation)
    assert ledger.results(batch.id)["chunk"].parts == parts
    ledger.close()
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("ATTACH ? AS new", (str(new),))
        for table in ("submissions", "batches", "stage_results", "history"):
            names = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}")
        connection.commit()
    upgraded = open_ledger(f"sqlite:///{old}")
    assert query(old, f"SELECT version_num FROM {VERSION_TABLE}") == [(SCHEMA,)]
    assert upgraded.results(batch.id) == {"chunk": make.record(batch.id)}
    upgraded.commit(make.record(batch.id, "embed", parts=parts), batch.generation)
    assert upgraded.results(batch.id)["embed"].parts == parts
    upgraded.close()
    assert shape(old) == shape(new)


OPEN = "import sys; from medical_kg.orchestration.ledger.sql import open_ledger; open_ledger(sys.argv[1]); "


def run(script: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", OPEN + script, url], capture_output=True, text=True, check=False)


def test_an_up_to_date_database_opens_without_alembic(sqlite_url: str, tmp_path: Path) -> None:
    """Only a database that is behind costs the import of alembic."""
    imported = "print('alembic' in sys.modules)"
    assert run(imported, sqlite_url).stdout == "False\n"
    assert run(imported, f"sqlite:///{tmp_path / 'fresh.db'}").stdout == "True\n"


@pytest.mark.slow
def test_processes_may_open_a_fresh_database_at_once(tmp_path: Path, open_at_once: Callable[[str], list[str]]) -> None:
    """Whoever comes second waits, and finds the work done."""
    for attempt in range(3):
        assert open_at_once(f"sqlite:///{tmp_path / f'{attempt}.db'}") == [""] * 4
        assert query(tmp_path / f"{attempt}.db", f"SELECT version_num FROM {VERSION_TABLE}") == [(SCHEMA,)]


def test_a_broken_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    """The steps run in one transaction: when one fails, the database is as it was."""
    path = tmp_path / "half.db"
    query(path, "CREATE TABLE history (id INTEGER)")
    with pytest.raises(StorageError, match="table history already exists"):
        open_ledger(f"sqlite:///{path}")
    assert query(path, "SELECT name FROM sqlite_master") == [("history",)]


def test_the_database_runs_as_it_should(sqlite_url: str) -> None:
    """Write-ahead log, foreign keys, synchronous NORMAL, 30 s of patience."""
    with reading(open_engine(sqlite_url)) as connection:
        settings = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        found = [connection.exec_driver_sql(f"PRAGMA {setting}").scalar() for setting in settings]
    assert found == ["wal", 1, 1, 30_000]


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A missing folder and a file that is no database each say what to do."""
    with pytest.raises(StorageError, match=rf"{tmp_path}/no/kg.db: unable to open .*; see that its folder exists"):
        open_ledger(f"sqlite:///{tmp_path}/no/kg.db")
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 30)
    with pytest.raises(StorageError, match="file is not a database; the file is damaged or something else"):
        open_ledger(f"sqlite:///{tmp_path}/text")


def test_a_held_database_is_waited_for_and_then_named(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    """A writer waits for the other one, for the busy timeout and not longer."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)
    ledger = open_ledger(sqlite_url)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert ledger.submissions() == []
        with pytest.raises(TransientError, match="database is locked; another process has held it for"):
            ledger.open_submission(make.new())
        other.execute("COMMIT")
    assert ledger.open_submission(make.new())[1]
    ledger.close()


def test_a_locked_database_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that another program keeps to itself is waited for, within limits."""
    path = tmp_path / "kg.db"
    query(path, "CREATE TABLE other (id INTEGER)")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)
        with pytest.raises(TransientError, match="database is locked"):
            open_ledger(f"sqlite:///{path}")
        other.execute("COMMIT")
    open_ledger(f"sqlite:///{path}").close()


def test_a_full_disk_is_named_and_nothing_is_lost(sqlite_url: str, make: Any) -> None:
    """When the database cannot grow the call says so, and what was there before is whole."""
    ledger = open_ledger(sqlite_url)
    assert isinstance(ledger, SqlLedger)
    submission, _ = ledger.open_submission(make.new())
    with ledger._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        connection.rollback()
    with pytest.raises(StorageError, match="database or disk is full; make room on the disk"):
        ledger.open_submission(make.new(input={"big": "x" * 100_000}))
    assert ledger.submissions() == [submission]
    ledger.close()


def test_a_ledger_has_the_machines_clock_unless_told(url: str, make: Any) -> None:
    """Without a clock the time is the machine's."""
    before = SystemClock.now()
    ledger = open_ledger(url)
    submission, _ = ledger.open_submission(make.new())
    assert before <= submission.created_at <= SystemClock.now()
    ledger.close()


def test_an_unknown_error_of_the_database_keeps_its_words(ledger: SqlLedger) -> None:
    """What the ledger has no advice for is told in the database's own words."""
    with (
        pytest.raises(
            StorageError, match=r": (no such table: nowhere$|relation \"nowhere\" does not exist LINE 1: [^;]*$)"
        ),
        reading(ledger._engine) as one,
    ):
        one.exec_driver_sql("SELECT * FROM nowhere")
