"""The graph in SQL tables: what each root says of a node, the nodes merged from it, and edges with provenance.

``graph_statements`` holds one row per node and root; ``graph_nodes`` and ``graph_identifiers`` are derived from it and
refreshed for the nodes a write touches, so that the same statements always give the same nodes.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, Table, and_, case, delete, func, literal, or_, select, union
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from medical_kg.orchestration.contract.database import in_groups, reading, writing
from medical_kg.orchestration.contract.errors import ContractError
from medical_kg.stores.contract import Edge, Node, Removed, Written
from medical_kg.stores.graph_rows import (
    claim_rows,
    folded,
    singular,
    statement_rows,
    words,
)
from medical_kg.stores.sql import claim_roots, drop_version, open_tables
from medical_kg.stores.sql_graph_nodes import insert_rows, refresh_nodes
from medical_kg.stores.sql_graph_schema import GRAPH
from medical_kg.stores.sql_graph_tables import EDGES, HALF, IDENTIFIERS, NODES, SAME, STATEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row
    from sqlalchemy.sql.compiler import SQLCompiler

    from medical_kg.documents.records import Claim, Entity

SUBJECTS, OBJECTS = SAME.alias(), SAME.alias()
STATED = EDGES.outerjoin(SUBJECTS, SUBJECTS.c.node == EDGES.c.subject).outerjoin(
    OBJECTS, OBJECTS.c.node == EDGES.c.object
)
SUBJECT = func.coalesce(SUBJECTS.c.work, EDGES.c.subject).label("subject")
OBJECT = func.coalesce(OBJECTS.c.work, EDGES.c.object).label("object")
SHOWN = select(
    SUBJECT, OBJECT, *(column for column in EDGES.c if column.name not in ("subject", "object"))
).select_from(STATED)
"""Edges between nodes as they are shown: an end that is one work with others is that work."""
UNKNOWN = "unknown"
"""The kind of an end of an edge that nobody describes."""
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
            insert_rows(connection, STATEMENTS, statements)
            insert_rows(connection, EDGES, claim_rows(one for one in claims if one.root in accepted))
            refresh_nodes(connection, touched.union(row["node"] for row in statements))
            return Written(_standing(connection, roots), len(replaced), claim.refused)

    def remove(self, roots: Iterable[str], *, version: int) -> Removed:
        """Remove all rows of these roots, and nodes that no other root speaks of; the roots' versions stay."""
        wanted = list(roots)
        if not wanted:
            return Removed(0, ())
        with writing(self._engine) as connection:
            claim = claim_roots(connection, HALF, wanted, version)
            removed, touched = _delete_rows(connection, claim.accepted)
            refresh_nodes(connection, touched)
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
            refresh_nodes(connection, touched)
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

    def roots(self, ident: str) -> frozenset[str]:
        """Return the roots that speak of any node with this id or identifier, or of a record shown as one of them."""
        by_identifier = select(IDENTIFIERS.c.node).where(IDENTIFIERS.c.folded == folded(ident))
        with reading(self._engine) as connection:
            known = _records(connection, [ident, *connection.scalars(by_identifier)])
            return frozenset(
                root
                for group in in_groups(known)
                for root in connection.scalars(select(STATEMENTS.c.root).where(STATEMENTS.c.node.in_(group)))
            )

    def edges(self, node: str, *, limit: int) -> list[Edge]:
        """Return the edges at a node, those it is the subject of first, each direction in the order of its index."""
        with reading(self._engine) as connection:
            same = _records(connection, [node])
            going = SHOWN.where(EDGES.c.subject.in_(same)).order_by(*EDGES.primary_key).limit(limit)
            coming = SHOWN.where(EDGES.c.object.in_(same), EDGES.c.subject.not_in(same))
            coming = coming.order_by(EDGES.c.predicate, EDGES.c.subject, EDGES.c.root).limit(limit)
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

    def everything(self) -> Iterator[Node | Edge]:
        """Yield all nodes, then all edges, of one moment, read only as far as they are asked for."""
        with reading(self._engine) as connection:
            streaming = connection.execution_options(yield_per=1000)
            yield from map(_node, streaming.execute(select(NODES).order_by(NODES.c.id)))
            yield from _undescribed(streaming)
            yield from map(_edge, streaming.execute(SHOWN.order_by(*EDGES.primary_key)))

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


def _standing(connection: Connection, roots: Iterable[str]) -> Mapping[str, int]:
    """Count what the tables now hold for these roots: read back, not remembered."""
    nodes: set[str] = set()
    edges = 0
    for group in in_groups(dict.fromkeys(roots)):
        shown = select(func.coalesce(SAME.c.work, STATEMENTS.c.node)).distinct()
        joined = shown.select_from(STATEMENTS.outerjoin(SAME, SAME.c.node == STATEMENTS.c.node))
        nodes.update(connection.scalars(joined.where(STATEMENTS.c.root.in_(group))))
        edges += _count(connection, EDGES, EDGES.c.root.in_(group))
    return {"nodes": len(nodes), "edges": edges}


def _count(connection: Connection, table: Table, *where: Any) -> int:
    return connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one()


def _records(connection: Connection, nodes: Iterable[str]) -> list[str]:
    """Return these nodes and the records that are shown as one of them."""
    nodes = list(nodes)
    found = dict.fromkeys(nodes)
    for group in in_groups(nodes):
        found |= dict.fromkeys(connection.scalars(select(SAME.c.node).where(SAME.c.work.in_(group))))
    return list(found)


def _adjacent(connection: Connection, nodes: Iterable[str]) -> Iterator[str]:
    """Yield the other ends of all edges at these nodes, read only as far as they are asked for."""
    for group in in_groups(_records(connection, nodes)):
        going = select(OBJECT).select_from(STATED).where(EDGES.c.subject.in_(group)).order_by(*EDGES.primary_key)
        coming = select(SUBJECT).select_from(STATED).where(EDGES.c.object.in_(group))
        coming = coming.order_by(EDGES.c.object, EDGES.c.predicate, EDGES.c.subject)
        for query in (going, coming):
            with connection.execution_options(yield_per=1000).execute(query) as result:
                yield from result.scalars()


def _undescribed(connection: Connection) -> Iterator[Node]:
    """Yield the ends of edges of which nothing is stated."""
    ends = [select(column.label("id")) for column in (EDGES.c.subject, EDGES.c.object)]
    every = union(*ends).subquery()
    missing = select(every.c.id).where(every.c.id.not_in(select(STATEMENTS.c.node))).order_by(every.c.id)
    return (Node(id=ident, kind=UNKNOWN, name=ident) for ident in connection.execute(missing).scalars())


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
    records = _records(connection, nodes)
    edges = [
        _edge(row)
        for subjects in in_groups(records)
        for objects in in_groups(records)
        for row in connection.execute(SHOWN.where(EDGES.c.subject.in_(subjects), EDGES.c.object.in_(objects)))
    ]
    return sorted(edges, key=lambda edge: (edge.subject, edge.predicate, edge.object, edge.root))


def _node(row: Row[Any]) -> Node:
    identifiers = tuple(json.loads(row.identifiers))
    return Node(id=row.id, kind=row.kind, name=row.name, identifiers=identifiers, roots=row.roots)


def _edge(row: Row[Any]) -> Edge:
    return Edge.model_validate(row, from_attributes=True)
