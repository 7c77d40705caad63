"""Records of one work are one node of the graph, on either database; a trial and an article about it stay two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select, text

from medical_kg.orchestration.contract.database import open_engine, reading, writing
from medical_kg.stores.conformance.graph_samples import JATS, PUBMED, ends, work_claim, write_record
from medical_kg.stores.sql_graph import SqlGraph
from medical_kg.stores.sql_graph_schema import SUPPORT
from medical_kg.stores.sql_graph_tables import SAME
from medical_kg.stores.sql_schema import SCHEMAS


@pytest.fixture
def graph(url: str) -> Iterator[SqlGraph]:
    opened = SqlGraph(url)
    yield opened
    opened.close()


def test_a_work_comes_apart_with_the_record_that_joined_it(graph: SqlGraph, url: str) -> None:
    """When the one record that gives both numbers goes, the others are two nodes again, each with its own edges."""
    write_record(graph, ("a", "pmid:1", "article", ("pmid:1",)), ("mentions", "mesh:A"))
    write_record(graph, ("b", "pmcid:PMC5", "article", ("pmcid:PMC5",)), ("mentions", "mesh:B"))
    assert graph.counts()["nodes"] == 4
    write_record(graph, ("c", "openalex:W1", "article", ("openalex:W1", "pmid:1", "pmcid:PMC5")))
    assert graph.counts()["nodes"] == 3
    assert len(graph.edges("pmid:1", limit=9)) == 2
    assert graph.kept("c") == {"nodes": 1, "edges": 0}
    graph.remove(["c"], version=1)
    assert graph.counts()["nodes"] == 4
    assert ends(graph.edges("pmcid:PMC5", limit=9)) == {("pmcid:PMC5", "mentions", "mesh:B", "pmcid:PMC5")}
    engine = open_engine(url)
    with reading(engine) as connection:
        assert connection.execute(select(SAME)).all() == []
    engine.dispose()


def test_a_graph_of_schema_1_is_upgraded(url: str) -> None:
    """Edges stay; who states one is known where it is about itself; records that are one work are joined."""
    graph = SqlGraph(url)
    write_record(graph, PUBMED, ("mentions", "mesh:A"))
    write_record(graph, JATS)
    graph.replace(
        ["r"], [], [work_claim("r", "mesh:A", "treats", "mesh:B").model_copy(update={"method": "pattern"})], version=0
    )
    graph.close()
    engine = open_engine(url)
    with writing(engine) as connection:  # as the release before left it
        for column in SUPPORT:
            connection.execute(text(f"ALTER TABLE graph_edges DROP COLUMN {column}"))
        for table in ("graph_works", "graph_same"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("DELETE FROM graph_nodes"))
        connection.execute(SCHEMAS.update().where(SCHEMAS.c.half == "graph").values(version=1))
    engine.dispose()
    graph = SqlGraph(url)
    assert graph.counts() == {"nodes": 2, "edges": 2}
    assert {(edge.predicate, edge.document) for edge in graph.edges("mesh:A", limit=9)} == {
        ("treats", ""),
        ("mentions", "pmid:1"),
    }
    found = graph.node("pmcid:PMC5")
    assert found is not None
    assert found.id == "pmid:1"
    assert (graph.edges("mesh:B", limit=9)[0].polarity, graph.edges("mesh:B", limit=9)[0].confidence) == (
        "affirmed",
        None,
    )
    graph.close()
