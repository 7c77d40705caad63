"""The whole system on Postgres, set up as ``docs/how-to/run-on-postgres.md`` says."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "run-on-postgres.md"
TABLES = (
    *("index_documents", "index_identifiers", "index_chunks", "index_vectors"),
    *("graph_statements", "graph_nodes", "graph_identifiers", "graph_edges"),
)
PASSWORD = "choose-one"


def block(language: str) -> str:
    """The first block of this language in the guide."""
    found = re.search(rf"^ *```{language}\n(.*?)^ *```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return textwrap.dedent(found[1])


@pytest.fixture
def on_postgres(kg: Any, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line with the guide's settings, over the database that the guide makes."""
    postgres.query("DROP DATABASE IF EXISTS medical_kg")
    postgres.query("DROP ROLE IF EXISTS medical_kg")
    for statement in block("sql").strip().split(";\n"):
        postgres.query(statement)
    settings = block("toml").replace("db.example.org:5432", f"127.0.0.1:{postgres.port}")
    assert str(postgres.port) in settings
    kg.folder.joinpath("medical_kg.toml").write_text(settings)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return kg


def rows(postgres: PostgresServer) -> dict[str, list[Any]]:
    """Every row of index and graph, as the fixture ``rows_of_few`` has those of SQLite."""
    return {table: sorted(postgres.query(f"SELECT * FROM {table}", "medical_kg"), key=repr) for table in TABLES}


def completed(postgres: PostgresServer) -> list[str]:
    """The stages that the history says were completed."""
    if not postgres.query("SELECT 1 FROM pg_tables WHERE tablename = 'history'", "medical_kg"):
        return []
    found = postgres.query("SELECT stage FROM history WHERE event = 'stage completed' ORDER BY id", "medical_kg")
    return [stage for (stage,) in found]


@pytest.mark.slow
def test_the_guide_works_as_written(on_postgres: Any, postgres: PostgresServer) -> None:
    """Its user, database and settings are all it takes; its commands answer, and the password is shown nowhere."""
    lines = [line.removeprefix("$ medical-kg ") for line in block("console").splitlines()]
    assert [line.split()[0] for line in lines] == ["run", "search", "workspace"]
    done = [on_postgres(*on_postgres.auto)]
    done += [on_postgres(*words) for words in (("search", "kidney", "--kind", "text"), ("workspace", "info"))]
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    assert "nothing found" not in done[1].stdout
    assert f"medical_kg@127.0.0.1:{postgres.port}/medical_kg" in done[2].stdout
    assert PASSWORD not in "".join(one.stdout + one.stderr for one in done)
    assert list(on_postgres.root.rglob("*.db")) == []
    assert postgres.query("SELECT status FROM dagster.runs", "medical_kg") == [("SUCCESS",)]


@pytest.mark.slow
def test_either_database_holds_the_same(on_postgres: Any, postgres: PostgresServer, rows_of_few: Any) -> None:
    """A run on Postgres leaves the rows that one on SQLite leaves, and so does a second one."""
    expected = {table: [tuple(row) for row in rows_of_few[table]] for table in TABLES}
    for _ in range(2):
        done = on_postgres(*on_postgres.auto, "--engine", "plain")
        assert done.returncode == 0, done.stderr
        assert rows(postgres) == expected


@pytest.mark.slow
def test_what_is_wrong_is_told_once(on_postgres: Any, postgres: PostgresServer, refused: Any) -> None:
    """A wrong password and a backup each give one message that says what to do."""
    assert "pg_dump" in refused(on_postgres("workspace", "backup", on_postgres.folder / "copy"), 2)
    wrong = refused(on_postgres("submissions", "list", environment={"PGPASSWORD": "not-it"}), 1)
    assert "see that user and password are right" in wrong
    assert "not-it" not in wrong


@pytest.mark.slow
def test_rows_appear_once_after_a_replay(
    on_postgres: Any, postgres: PostgresServer, rows_of_few: Any, replay_mends: Any
) -> None:
    """Replayed dead letters leave on Postgres what an uninterrupted run leaves on SQLite."""
    expected = {table: [tuple(row) for row in rows_of_few[table]] for table in TABLES}
    replay_mends(on_postgres, lambda: rows(postgres), expected)
