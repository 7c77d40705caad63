from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, event, select, text

from medical_kg import StorageError, TransientError
from medical_kg.orchestration.contract import database
from medical_kg.orchestration.contract.database import reading, writing
from medical_kg.orchestration.contract.errors import SettingsError
from medical_kg.stores.sql import ROOTS, claim_roots, in_groups, keep_digests, open_tables
from medical_kg.stores.sql_schema import Schema
from medical_kg.stores.versions import Claim

NONE = Schema("none", 1, MetaData())


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'kg.db'}"


def test_sqlite_is_opened_for_many_readers_and_one_writer(sqlite_url: str) -> None:
    """Write-ahead log, foreign keys and a busy timeout of 30 s are on for every connection."""
    engine = open_tables(sqlite_url, NONE)
    with reading(engine) as connection:
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "foreign_keys")]
        assert found == ["wal", 1]
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000
    engine.dispose()


def test_a_reader_is_not_held_up_by_a_writer_and_sees_whole_writes_only(url: str) -> None:
    """While a write is open, reading gives the state before it."""
    engine = open_tables(url, NONE)
    with writing(engine) as connection:
        claim_roots(connection, "index", ["a"], 1)
        with reading(engine) as other:
            assert other.execute(select(ROOTS)).all() == []
    with reading(engine) as other:
        assert len(other.execute(select(ROOTS)).all()) == 1
    engine.dispose()


def test_a_failing_write_leaves_nothing(url: str) -> None:
    """An error inside the transaction rolls all of it back."""
    engine = open_tables(url, NONE)

    def fail_half_way() -> None:
        with writing(engine) as connection:
            claim_roots(connection, "index", ["a"], 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with reading(engine) as connection:
        assert connection.execute(select(ROOTS)).all() == []
    engine.dispose()


def test_two_writers_queue_up(url: str) -> None:
    """Threads that claim a root, read and then write at once lose nothing and fail never."""
    engine = open_tables(url, NONE)

    def count_up() -> None:
        for _ in range(20):
            with writing(engine) as connection:
                claim_roots(connection, "index", [], 0)
                version = connection.execute(select(ROOTS.c.version)).scalar() or 0
                claim_roots(connection, "index", ["a"], version + 1)

    threads = [threading.Thread(target=count_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        assert connection.execute(select(ROOTS.c.version)).scalar() == 60
    engine.dispose()


def test_a_database_held_too_long_may_pass(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer beyond the busy timeout is a transient error: the engine may retry."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.01)
    engine = open_tables(sqlite_url, NONE)
    with closing(sqlite3.connect(tmp_path / "kg.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match="locked"), writing(engine):
            pass
    engine.dispose()


def test_what_cannot_be_opened_or_used_is_told_plainly(tmp_path: Path) -> None:
    """A missing folder, another database and nonsense each give their own message, never a password."""
    with pytest.raises(StorageError, match=r"nowhere/kg\.db: unable to open database file"):
        open_tables(f"sqlite:///{tmp_path}/nowhere/kg.db", NONE)
    with pytest.raises(SettingsError, match=r"mysql://me:\*\*\*@host/kg is mysql, which cannot"):
        open_tables("mysql://me:hunter2@host/kg", NONE)
    with pytest.raises(SettingsError, match="not a database URL"):
        open_tables("kg.db", NONE)


def test_tables_are_made_once(url: str) -> None:
    """Opening again makes only what is missing."""
    mine = MetaData()
    Table("mine", mine, Column("id", Integer, primary_key=True))
    made: list[str] = []
    event.listen(mine, "after_create", lambda *_args, **_more: made.append("made"))
    for _ in range(2):
        open_tables(url, Schema("mine", 1, mine)).dispose()
    assert made == ["made"]


def test_versions_grow_only_and_for_each_half_alone(url: str) -> None:
    """An older version is refused for its root, an equal or newer one accepted; index and graph do not mix."""
    engine = open_tables(url, NONE)
    with writing(engine) as connection:
        assert claim_roots(connection, "index", ["a", "b", "a"], 3) == Claim(("a", "b"), (), {})
        assert claim_roots(connection, "index", ["a", "c"], 2) == Claim(("c",), ("a",), {})
        assert claim_roots(connection, "graph", ["a"], 1) == Claim(("a",), (), {})
        assert claim_roots(connection, "index", ["a", "b"], 3).accepted == ("a", "b")
        assert claim_roots(connection, "index", [], 3) == Claim((), (), {})
    engine.dispose()


def test_digests_are_kept_until_emptied(url: str) -> None:
    """A digest stands by its root's version and survives a claim; an empty one is none, and the version stays."""
    engine = open_tables(url, NONE)
    with writing(engine) as connection:
        claim_roots(connection, "index", ["a", "b"], 3)
        keep_digests(connection, "index", {"a": "x"})
        keep_digests(connection, "index", {})
        assert claim_roots(connection, "index", ["a", "b"], 4).digests == {"a": "x"}
        keep_digests(connection, "index", {"a": ""})
        assert claim_roots(connection, "index", ["a"], 3) == Claim((), ("a",), {})
    engine.dispose()


def test_groups_keep_the_order() -> None:
    """Groups are full but for the last, and nothing is lost."""
    assert list(in_groups(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(in_groups(range(4), 2)) == [[0, 1], [2, 3]]
    assert list(in_groups([])) == []
