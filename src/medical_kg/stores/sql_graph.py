"""The graph in SQL tables: what each root says of a node, the nodes merged from it, and edges with provenance.

``graph_statements`` holds one row per node and root; ``graph_nodes`` and ``graph_identifiers`` are derived from it and
refreshed for the nodes a write touches, so that the same statements always give the same nodes. In SQLite all tables
are clustered by their primary key (``WITHOUT ROWID``): equal content is equal row for row.
"""

from __future__ import annotations

import json
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from medical_kg.orchestration.contract.database import in_groups, reading, writing
from medical_kg.orchestration.contract.errors import ContractError
from medical_kg.stores.contract import Edge, Node, Removed, Written
from medical_kg.stores.graph_rows import (
    Variant,
    claim_rows,
    folded,
    identifier_rows,
    merged_node,
    singular,
    statement_rows,
    words,
)
from medical_kg.stores.sql import KEPT, claim_roots, drop_version, open_tables
from medical_kg.stores.sql_schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row
    from sqlalchemy.sql.compiler import SQLCompiler

    from medical_kg.documents.records import Claim, Entity

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
    Index("graph_edges_by_object", "object", "predicate", "subject"),
    Index("graph_edges_by_root", "root"),
    sqlite_with_rowid=False,
)
HALF = "graph"

GRAPH = Schema(HALF, 1, TABLES)
"""The schema of the graph: its version is raised when a table changes."""
MAX_WORDS = 64
"""How many words of a text are looked for in names; the rest is left out."""


class position(FunctionElement[int]):  # noqa: N801  # reads as a function of SQL
    """Where a text holds another, from 1; 0 where it does not."""

    type = Integer()
    inherit_cache = True


@compiles(position)
def _instr(element: position, compiler: SQLCompiler, **more: Any) -> str:
    return f"instr({compiler.process(element.clauses, **more)})"


@compiles(position, "postgresql")
def _strpos(element: position, compiler: SQLCompiler, **more: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **more)})"


class SqlGraph:
    """The graph half of the default store."""

    def __init__(self, database_url: str) -> None:
        """Open the database; the tables are made where there are none.

        Raises:
            SchemaTooNew: a newer release wrote the graph.
        """
        self._engine = open_tables(database_url, GRAPH)

    def replace(
        self, roots: Sequence[str], entities: Sequence[Entity], claims: Sequence[Claim], *, version: int
    ) -> Written:
        """Replace all rows of these roots in one transaction; a root that a newer version wrote is left alone."""
        _refuse_strangers(roots, entities, claims)
        with writing(self._engine) as connection:
            claim = claim_roots(connection, HALF, roots, version)
            accepted = set(claim.accepted)
            replaced, touched = _delete_rows(connection, claim.accepted)
            statements = statement_rows(entity for entity in entities if entity.root in accepted)
            _insert(connection, STATEMENTS, statements)
            _insert(connection, EDGES, claim_rows(one for one in claims if one.root in accepted))
            _refresh_nodes(connection, touched.union(row["node"] for row in statements))
            return Written(_standing(connection, roots), len(replaced), claim.refused)

    def remove(self, roots: Iterable[str], *, version: int) -> Removed:
        """Remove all rows of these roots, and nodes that no other root speaks of; the roots' versions stay."""
        wanted = list(roots)
        if not wanted:
            return Removed(0, ())
        with writing(self._engine) as connection:
            claim = claim_roots(connection, HALF, wanted, version)
            removed, touched = _delete_rows(connection, claim.accepted)
            _refresh_nodes(connection, touched)
        return Removed(len(removed), claim.refused)

    def kept(self, root: str) -> Mapping[str, int]:
        """Return how many nodes a root speaks of, and how many edges it states."""
        with reading(self._engine) as connection:
            return _standing(connection, [root])

    def erase(self, root: str) -> Mapping[str, int]:
        """Remove everything of a root, its version too, and nodes that no other root speaks of."""
        with writing(self._engine) as connection:
            drop_version(connection, HALF, root)
            found = _standing(connection, [root])
            _, touched = _delete_rows(connection, [root])
            _refresh_nodes(connection, touched)
        return found

    def find(self, text: str, *, limit: int) -> list[Node]:
        """Return nodes for a text: by id or identifier (with or without its prefix), then by name.

        A name matches when it holds all words of the text, in any order, whole or as parts of words; case, accents,
        punctuation and a plural's ``s`` do not matter. Equal names come first, then those that begin with the text,
        those that hold it, those with words that begin so, the rest; among equals the node that most roots speak of.
        """
        if not text.strip():
            return []
        rank = _rank(text)
        query = select(NODES).where(rank.is_not(None))
        ordered = query.order_by(rank, NODES.c.roots.desc(), func.length(NODES.c.name), NODES.c.id).limit(limit)
        with reading(self._engine) as connection:
            return [_node(row) for row in connection.execute(ordered)]

    def node(self, ident: str) -> Node | None:
        """Return a node by its id or any of its identifiers; of several the one most roots speak of."""
        by_identifier = select(IDENTIFIERS.c.node).where(IDENTIFIERS.c.folded == folded(ident))
        query = (
            select(NODES)
            .where(or_(NODES.c.id == ident, NODES.c.id.in_(by_identifier)))
            .order_by((NODES.c.id == ident).desc(), NODES.c.roots.desc(), NODES.c.id)
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else _node(row)

    def edges(self, node: str, *, limit: int) -> list[Edge]:
        """Return the edges at a node, those it is the subject of first, each direction in the order of its index."""
        going = select(EDGES).where(EDGES.c.subject == node).order_by(*EDGES.primary_key).limit(limit)
        coming = select(EDGES).where(EDGES.c.object == node, EDGES.c.subject != node)
        coming = coming.order_by(EDGES.c.predicate, EDGES.c.subject, EDGES.c.root).limit(limit)
        with reading(self._engine) as connection:
            rows = [row for query in (going, coming) for row in connection.execute(query)]
        return [_edge(row) for row in rows[:limit]]

    def neighbors(self, node: str, *, depth: int, limit: int) -> tuple[list[Node], list[Edge]]:
        """Return up to ``limit`` other nodes within ``depth`` hops, nearest first, and the edges among all of them.

        Breadth first by levels: each level asks the database once per few hundred nodes, never once per node.
        """
        found: dict[str, None] = {}
        frontier = [node]
        with reading(self._engine) as connection:
            for _ in range(depth):
                news = _unseen(_adjacent(connection, frontier), {node, *found})
                frontier = list(islice(news, limit - len(found)))
                found.update(dict.fromkeys(frontier))
            return _nodes(connection, list(found)), _edges_among(connection, [node, *found])

    def counts(self) -> Mapping[str, int]:
        """Return how many merged nodes and edges there are."""
        with reading(self._engine) as connection:
            return {name: _count(connection, table) for name, table in (("nodes", NODES), ("edges", EDGES))}

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


def _rank(text: str) -> ColumnElement[int | None]:
    """Return how well a node matches a text, best 0; NULL where it does not."""
    forms = or_(IDENTIFIERS.c.folded == folded(text), IDENTIFIERS.c.bare == folded(text))
    return case(
        (NODES.c.id == text.strip(), 0),
        (NODES.c.id.in_(select(IDENTIFIERS.c.node).where(forms)), 1),
        *_name_ranks(words(text)[:MAX_WORDS]),
    )


def _name_ranks(wanted: list[str]) -> Iterator[tuple[ColumnElement[bool], int]]:
    if not wanted:
        return
    phrase = " ".join(wanted)
    parts = [singular(word) for word in wanted]
    spaced = literal(" ") + NODES.c.words
    yield NODES.c.words == phrase, 2
    yield position(NODES.c.words, phrase) == 1, 3
    yield position(spaced, f" {phrase}") > 0, 4
    yield and_(*(position(spaced, f" {part}") > 0 for part in parts)), 5
    yield and_(*(position(NODES.c.words, part) > 0 for part in parts)), 6


def _refuse_strangers(roots: Iterable[str], entities: Iterable[Entity], claims: Iterable[Claim]) -> None:
    """Refuse rows of roots the write does not name: they could never be replaced again."""
    given = {entity.root for entity in entities} | {claim.root for claim in claims}
    strangers = given.difference(roots)
    if strangers:
        named = ", ".join(sorted(strangers)[:3])
        raise ContractError("the writer of the graph", f"it gave rows of roots it does not name: {named}")


def _delete_rows(connection: Connection, roots: Iterable[str]) -> tuple[set[str], set[str]]:
    """Delete all rows of these roots; returns the roots that had any, and the nodes they spoke of."""
    replaced: set[str] = set()
    touched: set[str] = set()
    for group in in_groups(roots):
        for node, root in connection.execute(
            select(STATEMENTS.c.node, STATEMENTS.c.root).where(STATEMENTS.c.root.in_(group))
        ):
            touched.add(node)
            replaced.add(root)
        replaced.update(connection.scalars(select(EDGES.c.root).where(EDGES.c.root.in_(group)).distinct()))
        for table in (STATEMENTS, EDGES):
            connection.execute(delete(table).where(table.c.root.in_(group)))
    return replaced, touched


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _refresh_nodes(connection: Connection, touched: Iterable[str]) -> None:
    """Derive these nodes anew from what is stated of them; one of which nothing is stated goes away."""
    for group in in_groups(sorted(touched)):
        merged = [merged_node(variants) for _, variants in groupby(_variants(connection, group), lambda one: one.node)]
        connection.execute(delete(NODES).where(NODES.c.id.in_(group)))
        connection.execute(delete(IDENTIFIERS).where(IDENTIFIERS.c.node.in_(group)))
        _insert(connection, NODES, merged)
        _insert(connection, IDENTIFIERS, [row for node in merged for row in identifier_rows(node)])


def _variants(connection: Connection, nodes: list[str]) -> Iterator[Variant]:
    columns = (STATEMENTS.c.node, STATEMENTS.c.kind, STATEMENTS.c.name, STATEMENTS.c.identifiers)
    query = select(*columns, func.count()).where(STATEMENTS.c.node.in_(nodes)).group_by(*columns).order_by(*columns)
    return (Variant(*row) for row in connection.execute(query))


def _standing(connection: Connection, roots: Iterable[str]) -> Mapping[str, int]:
    """Count what the tables now hold for these roots: read back, not remembered."""
    nodes: set[str] = set()
    edges = 0
    for group in in_groups(dict.fromkeys(roots)):
        nodes.update(connection.scalars(select(STATEMENTS.c.node).where(STATEMENTS.c.root.in_(group)).distinct()))
        edges += _count(connection, EDGES, EDGES.c.root.in_(group))
    return {"nodes": len(nodes), "edges": edges}


def _count(connection: Connection, table: Table, *where: Any) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()


def _adjacent(connection: Connection, nodes: Iterable[str]) -> Iterator[str]:
    """Yield the other ends of all edges at these nodes, read only as far as they are asked for."""
    for group in in_groups(nodes):
        going = select(EDGES.c.object).where(EDGES.c.subject.in_(group)).order_by(*EDGES.primary_key)
        coming = select(EDGES.c.subject).where(EDGES.c.object.in_(group))
        coming = coming.order_by(EDGES.c.object, EDGES.c.predicate, EDGES.c.subject)
        for query in (going, coming):
            with connection.execution_options(yield_per=1000).execute(query) as result:
                yield from result.scalars()


def _unseen(nodes: Iterable[str], known: set[str]) -> Iterator[str]:
    for node in nodes:
        if node not in known:
            known.add(node)
            yield node


def _nodes(connection: Connection, idents: Iterable[str]) -> list[Node]:
    """Return these nodes in the order given; an end of an edge that nobody describes is left out."""
    idents = list(idents)
    found = {
        row.id: _node(row)
        for group in in_groups(idents)
        for row in connection.execute(select(NODES).where(NODES.c.id.in_(group)))
    }
    return [found[ident] for ident in idents if ident in found]


def _edges_among(connection: Connection, nodes: list[str]) -> list[Edge]:
    rows = [
        row
        for subjects in in_groups(nodes)
        for objects in in_groups(nodes)
        for row in connection.execute(select(EDGES).where(EDGES.c.subject.in_(subjects), EDGES.c.object.in_(objects)))
    ]
    return [_edge(row) for row in sorted(rows, key=lambda row: tuple(row)[:4])]


def _node(row: Row[Any]) -> Node:
    identifiers = tuple(json.loads(row.identifiers))
    return Node(id=row.id, kind=row.kind, name=row.name, identifiers=identifiers, roots=row.roots)


def _edge(row: Row[Any]) -> Edge:
    return Edge.model_validate(row, from_attributes=True)
