"""What the suite of stores does not ask of the SQL graph: its rows, on SQLite and PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.orchestration.contract.database import open_engine, reading
from medical_kg.stores.conformance.graph_samples import star, write
from medical_kg.stores.graph_rows import Variant, merged_node
from medical_kg.stores.sql_graph import SqlGraph

CONTENT_TABLES = ("graph_statements", "graph_nodes", "graph_identifiers", "graph_edges")


@pytest.fixture
def graph(url: str) -> Iterator[SqlGraph]:
    opened = SqlGraph(url)
    yield opened
    opened.close()


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """The content tables as they lie in the database; Postgres keeps no order of its own."""
    engine = open_engine(url)
    with reading(engine) as connection:
        found = {
            table: list(map(tuple, connection.exec_driver_sql(f"SELECT * FROM {table}"))) for table in CONTENT_TABLES
        }
    return found if engine.dialect.name == "sqlite" else {table: sorted(lines) for table, lines in found.items()}


@given(st.permutations([("b", "x", 2), ("a", "x", 1), ("a", "y", 1), ("c", "z", 1)]))
def test_merging_does_not_depend_on_order(said: list[tuple[str, str, int]]) -> None:
    """However the statements come, the merged node is the same."""
    variants = [Variant("n", kind, name, f'["{name}"]', roots) for kind, name, roots in said]
    assert merged_node(variants) == {
        "id": "n",
        "kind": "a",
        "name": "x",
        "identifiers": '["x", "y", "z"]',
        "roots": 5,
        "words": "x",
    }


def test_an_equal_write_leaves_every_row_as_it_is(graph: SqlGraph, url: str) -> None:
    """Writing the same again, in another order and version, leaves all content tables equal row for row."""
    entities, claims = star("r1", "mesh:A", "mesh:B")
    more_entities, more_claims = star("r2", "mesh:B", "condition:heart failure")
    entities, claims = [*entities, *more_entities], [*claims, *more_claims]
    graph.replace(["r1", "r2"], entities, claims, version=1)
    before = rows(url)
    random.Random(7).shuffle(entities)
    random.Random(8).shuffle(claims)
    graph.replace(["r2", "r1"], entities, claims, version=2)
    assert rows(url) == before
    assert all(before.values())


def test_the_order_of_writes_does_not_show(graph: SqlGraph, url: str, new_url: Callable[[], str]) -> None:
    """Roots written one by one, backwards, give the same rows as all at once."""
    said = {"r1": "mesh:A mesh:B", "r2": "mesh:B", "r3": "mesh:C mesh:A"}
    write(graph, 0, **said)
    other_url = new_url()
    other = SqlGraph(other_url)
    for root in reversed(said):
        write(other, 0, **{root: said[root]})
    other.close()
    assert rows(other_url) == rows(url)
