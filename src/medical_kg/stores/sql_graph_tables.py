"""The tables of the graph.

In SQLite all tables are clustered by their primary key (``WITHOUT ROWID``): equal content is equal row for row.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, Table

from medical_kg.stores.sql import KEPT

TABLES = MetaData()

STATEMENTS = Table(
    "graph_statements",
    TABLES,
    Column("node", KEPT, primary_key=True),
    Column("root", KEPT, primary_key=True),
    Column("kind", KEPT, nullable=False),
    Column("name", KEPT, nullable=False),
    Column("identifiers", KEPT, nullable=False),
    Index("graph_statements_by_root", "root"),
    sqlite_with_rowid=False,
)
NODES = Table(
    "graph_nodes",
    TABLES,
    Column("id", KEPT, primary_key=True),
    Column("kind", KEPT, nullable=False),
    Column("name", KEPT, nullable=False),
    Column("identifiers", KEPT, nullable=False),
    Column("roots", Integer, nullable=False),
    Column("words", KEPT, nullable=False),
    sqlite_with_rowid=False,
)
IDENTIFIERS = Table(
    "graph_identifiers",
    TABLES,
    Column("node", KEPT, primary_key=True),
    Column("folded", KEPT, primary_key=True),
    Column("bare", KEPT, nullable=False),
    Index("graph_identifiers_by_folded", "folded"),
    Index("graph_identifiers_by_bare", "bare"),
    sqlite_with_rowid=False,
)
EDGES = Table(
    "graph_edges",
    TABLES,
    Column("subject", KEPT, primary_key=True),
    Column("predicate", KEPT, primary_key=True),
    Column("object", KEPT, primary_key=True),
    Column("root", KEPT, primary_key=True),
    Column("evidence", KEPT, nullable=False),
    Column("pointer", KEPT, nullable=False),
    Column("block", KEPT, nullable=False),
    Column("start", Integer),
    Column("end", Integer),
    Column("method", KEPT, nullable=False),
    Column("source", KEPT, nullable=False),
    Column("uri", KEPT, nullable=False),
    Column("document", KEPT, nullable=False, server_default=""),
    Column("sentence", KEPT, nullable=False, server_default=""),
    Column("sentence_start", Integer),
    Column("polarity", KEPT, nullable=False, server_default="affirmed"),
    Column("stage", KEPT, nullable=False, server_default=""),
    Column("confidence", Float(53)),
    Index("graph_edges_by_object", "object", "predicate", "subject"),
    Index("graph_edges_by_root", "root"),
    sqlite_with_rowid=False,
)
WORKS = Table(
    "graph_works",
    TABLES,
    Column("node", KEPT, primary_key=True),
    Column("identifier", KEPT, primary_key=True),
    Index("graph_works_by_identifier", "identifier"),
    sqlite_with_rowid=False,
)
"""The identifiers by which a stated node is a work."""
SAME = Table(
    "graph_same",
    TABLES,
    Column("node", KEPT, primary_key=True),
    Column("work", KEPT, nullable=False),
    Index("graph_same_by_work", "work"),
    sqlite_with_rowid=False,
)
"""Stated nodes that are one work with others, and the node all of them are shown as; that one is among them."""
HALF = "graph"
