"""The graph's schema, and how the tables of an earlier release become those of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, text
from sqlalchemy.schema import CreateColumn

from medical_kg.stores.sql_graph_nodes import refresh_nodes
from medical_kg.stores.sql_graph_tables import EDGES, HALF, STATEMENTS, TABLES
from medical_kg.stores.sql_schema import Schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

SUPPORT = ("document", "sentence", "sentence_start", "polarity", "stage", "confidence")
"""The columns that schema 2 added to the edges."""


def keep_support(connection: Connection) -> None:
    """Add what supports an edge, and join the records of one work.

    Of edges written before, the document is known where it is what they are about.
    """
    for name in SUPPORT:
        column = CreateColumn(EDGES.c[name]).compile(dialect=connection.dialect)
        connection.execute(text(f"ALTER TABLE {EDGES.name} ADD COLUMN {column}"))
    stated = EDGES.c.method.in_(("structured", "dictionary"))
    connection.execute(EDGES.update().where(stated).values(document=EDGES.c.subject))
    refresh_nodes(connection, connection.scalars(select(STATEMENTS.c.node).distinct()))


GRAPH = Schema(HALF, 2, TABLES, {2: keep_support})
"""The schema of the graph: its version is raised when a table changes."""
