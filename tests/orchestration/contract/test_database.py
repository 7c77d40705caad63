"""The workspace's database: how it is opened, read and written."""

from __future__ import annotations

import socket
import sqlite3
import sys
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration.contract import database
from medical_kg.orchestration.contract.database import open_engine, reading, shred, take_turn, writing
from medical_kg.orchestration.contract.errors import SettingsError, StorageError, TransientError
from medical_kg.orchestration.contract.secrets import redacted


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("medical_kg.db", r"^database_url is not a database URL; write e.g. sqlite:////home/me/kg/medical_kg.db$"),
        (
            "mysql://ana:secret@host/kg?password=secret",
            r"^mysql://ana:\*\*\*@host/kg is mysql, which cannot be used; give a sqlite:/// or a postgresql\+psycopg:// URL$",
        ),
        (
            "postgresql+psycopg2://host/kg?password=secret",
            r"^postgresql\+psycopg2://host/kg is postgresql\+psycopg2, which",
        ),
        ("sqlite://", "what is kept must outlive the process"),
        ("sqlite:///", "what is kept must outlive the process"),
        ("sqlite:///:memory:", "what is kept must outlive the process"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_settings_error(url: str, message: str) -> None:
    """The message shows the URL without its password and says what to write instead."""
    with pytest.raises(SettingsError, match=message):
        open_engine(url)


class Switching:
    """A connection whose database another process switches to the log at the same time."""

    OperationalError = sqlite3.OperationalError

    def __init__(self, refusals: list[str]) -> None:
        self.refusals = refusals
        self.tries = 0

    def execute(self, statement: str) -> Any:
        if statement.endswith("=WAL"):
            self.tries += 1
            if self.refusals:
                raise sqlite3.OperationalError(self.refusals.pop())
        return self

    def fetchone(self) -> tuple[str]:
        """Answer that there is no log yet."""
        return ("delete",)

    def close(self) -> None:
        """Nothing is open."""


def test_the_switch_to_the_log_is_tried_again() -> None:
    """SQLite refuses it at once while another process is at it, whatever the busy timeout; other errors stand."""
    busy = Switching(["database is locked"] * 3)
    database._use_write_ahead_log(busy)
    assert busy.tries == 4
    broken = Switching(["disk I/O error"])
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        database._use_write_ahead_log(broken)
    assert broken.tries == 1


def test_how_a_database_is_opened(tmp_path: Path) -> None:
    """It has a write-ahead log, foreign keys, writes that survive the process, and waits 30 s for another writer."""
    with reading(open_engine(f"sqlite:///{tmp_path / 'kg.db'}")) as connection:
        asked = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked}
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 1, "busy_timeout": 30_000}


def test_a_writer_holds_the_database_from_its_beginning(tmp_path: Path) -> None:
    """A second writer waits before its first statement; readers and writers do not hold each other up."""
    path = tmp_path / "kg.db"
    engine = open_engine(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        with writing(engine), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        with reading(engine) as connection:
            other.execute("CREATE TABLE kept (number)")
            assert connection.exec_driver_sql("SELECT count(*) FROM kept").scalar() == 0
            other.execute("INSERT INTO kept VALUES (1)")
            assert connection.exec_driver_sql("SELECT count(*) FROM kept").scalar() == 0


def test_the_log_is_not_switched_to_twice() -> None:
    """Where the database has its log, nothing is switched."""
    switched = Switching([])
    switched.fetchone = lambda: ("wal",)  # type: ignore[method-assign]  # says that the log is there
    database._use_write_ahead_log(switched)
    assert switched.tries == 0


@pytest.mark.parametrize("beginning", ["postgresql", "postgresql+psycopg"])
def test_a_postgres_url_gets_its_driver_and_patience(beginning: str) -> None:
    """It waits 30 s for a lock and 10 s for the server, unless the URL says otherwise; other options stay."""
    engine = open_engine(f"{beginning}://ana:secret@host/kg?options=-csearch_path%3Dkg&sslmode=require")
    assert engine.url.drivername == "postgresql+psycopg"
    query = {"options": "-c lock_timeout=30s -csearch_path=kg", "connect_timeout": "10", "sslmode": "require"}
    assert engine.url.query == query
    assert open_engine(f"{beginning}://host/kg?connect_timeout=3").url.query["connect_timeout"] == "3"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver of Postgres is an extra: the message says how to get it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        SettingsError, match=r"needs a driver that is not installed: pip install 'medical-kg\[postgres\]'"
    ):
        open_engine("postgresql://ana:secret@host/kg")


def test_a_server_that_does_not_answer_may_do_so_later() -> None:
    """The message says what to look at, on one line and without the password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine = open_engine(f"postgresql://ana:secret@127.0.0.1:{port}/kg?sslmode=disable")
    with (
        pytest.raises(TransientError, match=r"Connection refused.*; see that the server runs") as caught,
        reading(engine),
    ):
        pass
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_address_is_not_half_shown() -> None:
    """A password with @ would be taken for a host in part; the library's own message has the whole URL."""
    for url, said in {
        "postgresql://ana:hush@hushhush@host/kg": "write %40",
        "ana:hushhush@host": "is not a database URL",
    }.items():
        with pytest.raises(SettingsError, match=said) as caught:
            open_engine(url)
        assert "hushhush" not in "".join(traceback.format_exception(caught.value))


def test_passwords_of_a_database_are_concealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the URL, of its options and of the environment, in whatever is told from then on, by libraries too."""
    monkeypatch.setenv("PGPASSWORD", "of-the-environment")
    open_engine("postgresql://ana:of%2Fthe-url@host/kg?password=of-an-option&sslpassword=of-the-key")
    assert redacted("of/the-url of%2Fthe-url of-an-option of-the-key of-the-environment") == "*** *** *** *** ***"
    open_engine("postgresql://medical_kg:medical_kg@host/kg")
    assert redacted("medical_kg.toml") == "medical_kg.toml"


def test_writers_take_turns(tmp_path: Path) -> None:
    """On SQLite a write transaction is alone from its beginning: there is nothing to wait for."""
    with writing(open_engine(f"sqlite:///{tmp_path / 'kg.db'}")) as connection:
        take_turn(connection, "first")
        take_turn(connection, "first")


def test_what_was_deleted_is_in_no_file_once_it_is_shredded(tmp_path: Path) -> None:
    """Neither in a free page nor in the log."""
    engine = open_engine(f"sqlite:///{tmp_path / 'kg.db'}")
    with writing(engine) as connection:
        connection.exec_driver_sql("create table t (x)")
        connection.exec_driver_sql("insert into t values ('zyxomma'), ('kept')")
    with writing(engine) as connection:
        connection.exec_driver_sql("delete from t where x = 'zyxomma'")
    assert any(b"zyxomma" in path.read_bytes() for path in tmp_path.iterdir())
    shred(engine)
    assert not any(b"zyxomma" in path.read_bytes() for path in tmp_path.iterdir())
    with reading(engine) as connection:
        assert connection.exec_driver_sql("select x from t").scalars().all() == ["kept"]


def test_a_reader_keeps_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has begun to read must stay; the caller tries again."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.1)
    engine = open_engine(f"sqlite:///{tmp_path / 'kg.db'}")
    with writing(engine) as connection:
        connection.exec_driver_sql("create table t (x)")
    with reading(engine) as connection:
        connection.exec_driver_sql("select * from t").all()
        with pytest.raises(TransientError, match="is being read by another process; try again"):
            shred(engine)
    shred(engine)


def test_a_damaged_database_cannot_be_shredded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it; one that a writer holds is told the same way."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.1)
    engine = open_engine(f"sqlite:///{tmp_path / 'kg.db'}")
    with writing(engine) as connection:
        connection.exec_driver_sql("create table t (x)")
        with pytest.raises(StorageError, match=r"kg\.db cannot be rewritten: database is locked"):
            shred(engine)


def test_a_server_shreds_for_itself() -> None:
    """Nothing is sent to it."""
    shred(open_engine("postgresql://nobody@127.0.0.1:1/none"))
