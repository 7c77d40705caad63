"""The schema of each half: counted, upgraded step by step when opened, refused when newer."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, inspect, select

from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Chunk
from medical_kg.orchestration.contract.database import open_engine, reading, writing
from medical_kg.orchestration.contract.errors import SchemaTooNew
from medical_kg.stores.contract import Filters
from medical_kg.stores.database import DatabaseStore
from medical_kg.stores.sql import open_tables
from medical_kg.stores.sql_schema import SCHEMAS, Schema


def versions(url: str) -> dict[str, int]:
    engine = open_engine(url)
    with reading(engine) as connection:
        found = {row.half: row.version for row in connection.execute(select(SCHEMAS))}
    engine.dispose()
    return found


def halves(url: str) -> None:
    store = DatabaseStore(url)
    with closing(store.index()), closing(store.graph()):
        pass


def test_each_half_has_a_version_of_its_own(url: str) -> None:
    """Opening index and graph writes down what schema they have; opening again changes nothing."""
    halves(url)
    halves(url)
    assert versions(url) == {"index": 2, "graph": 2}


@pytest.mark.parametrize("half", ["index", "graph"])
def test_a_half_of_a_newer_release_is_refused(url: str, half: str) -> None:
    """The way out is an upgrade, not a guess; the other half opens."""
    halves(url)
    engine = open_engine(url)
    with writing(engine) as connection:
        connection.execute(SCHEMAS.update().where(SCHEMAS.c.half == half).values(version=99))
    engine.dispose()
    store = DatabaseStore(url)
    opens: dict[str, Any] = {"index": store.index, "graph": store.graph}
    with pytest.raises(SchemaTooNew, match=rf"has schema {half} 99, newer than {half} \d, .*; upgrade medical-kg"):
        opens[half]()
    opens.pop(half)
    [other] = opens.values()
    other().close()


def as_schema_1(url: str) -> None:
    """Take away what schema 2 of the index added."""
    engine = open_engine(url)
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE index_works")
        for name in ("source", "format", "year"):
            connection.exec_driver_sql(f"ALTER TABLE index_documents DROP COLUMN {name}")
        connection.execute(SCHEMAS.update().where(SCHEMAS.c.half == "index").values(version=1))
    engine.dispose()


def test_an_index_of_schema_1_can_be_filtered_once_upgraded(url: str) -> None:
    """Source, format, year and work of documents that are there already are read from them."""
    origin = Provenance(source="pubmed", uri="mem:", format="pubmed-xml")
    fields: dict[str, Any] = {"kind": "article", "title": "", "text": "", "sections": (), "provenance": origin}
    documents = [
        Document(id=name, root=f"root:{name}", published=published, identifiers=(name, "doi:10.1/x"), **fields)
        for name, published in (("a", "2020-05"), ("b", ""))
    ]
    chunk = Chunk(id="c", root="root:a", document="a", ordinal=0, start=0, end=1, section="", text="dengue", tokens=1)
    other = chunk.model_copy(update={"root": "root:b", "document": "b"})
    with closing(DatabaseStore(url).index()) as index:
        index.replace(documents, [chunk, other], [], version=1)
    as_schema_1(url)
    with closing(DatabaseStore(url).index()) as index:
        for filters, expected in (
            (Filters(sources=("pubmed",)), ["a", "b"]),
            (Filters(sources=("pubmed-xml",), since=2020), ["a"]),
        ):
            hits = index.search("dengue", None, limit=9, kind="text", filters=filters)
            assert sorted(hit.document for hit in hits) == expected
        assert index.same_work(["b"]) == {"b": ("a", "b")}
        again = index.replace(documents, [chunk, other], [], version=2)
        assert again.replaced == 2
    assert versions(url)["index"] == 2


def tables(*names: str) -> MetaData:
    made = MetaData()
    for name in names:
        Table(name, made, Column("id", Integer, primary_key=True))
    return made


def add_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE things ADD COLUMN note INTEGER")


def fill(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE things SET note = 7")


@pytest.mark.parametrize("counted", ["counted", "not counted"])
def test_an_older_half_is_upgraded_step_by_step(url: str, counted: str) -> None:
    """Rows stay, each step is taken once, new tables are made; also where no version was written down: that is 1."""
    engine = open_tables(url, Schema("half", 1, tables("things")))
    with writing(engine) as connection:
        connection.exec_driver_sql("INSERT INTO things VALUES (1)")
        if counted == "not counted":
            connection.execute(SCHEMAS.delete())
    newer = Schema("half", 3, tables("things", "more"), {2: add_column, 3: fill})
    newer.bring_up_to_date(engine)
    newer.bring_up_to_date(engine)
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT id, note FROM things").all() == [(1, 7)]
        assert {"things", "more"} <= set(inspect(connection).get_table_names())
    engine.dispose()
    assert versions(url) == {"half": 3}


def test_a_step_that_fails_leaves_the_half_as_it_was(url: str) -> None:
    """All steps are one transaction."""
    engine = open_tables(url, Schema("half", 1, tables("things")))

    def fail(connection: Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Schema("half", 3, tables("things"), {2: add_column, 3: fail}).bring_up_to_date(engine)
    with reading(engine) as connection:
        assert [column["name"] for column in inspect(connection).get_columns("things")] == ["id"]
    engine.dispose()
    assert versions(url) == {"half": 1}


def test_a_new_half_takes_no_steps(url: str) -> None:
    """Its tables are made as this release has them."""
    open_tables(url, Schema("half", 2, tables("things"), {2: fill})).dispose()
    assert versions(url) == {"half": 2}
