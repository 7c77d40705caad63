"""Neo4j's language: a script for ``cypher-shell -f FILE`` that may be run again and needs no server to be written.

See https://neo4j.com/docs/cypher-manual/current/syntax/.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from medical_kg.graphs.parts import EDGE_COLUMNS, NODE_COLUMNS, values
from medical_kg.stores.contract import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.graphs.parts import Part
    from medical_kg.stores.contract import Edge

BACKSLASH = "\\"
BEFORE_NUMBER = re.compile(r"(?<=\\)(?=u)")
AT_ONCE = 500
"""How many nodes of one kind, or edges of one predicate, a statement writes."""
HEAD = "CREATE CONSTRAINT medical_kg_node IF NOT EXISTS FOR (node:Node) REQUIRE node.id IS UNIQUE;"
NODES = "UNWIND [\n{rows}\n] AS row MERGE (node:Node {{id: row.id}}) SET node:{name}, node += row;"
EDGES = (
    "UNWIND [\n{rows}\n] AS row MATCH (subject:Node {{id: row.subject}}), (object:Node {{id: row.object}}) "
    "MERGE (subject)-[edge:{name} {{root: row.facts.root}}]->(object) SET edge += row.facts;"
)


def lines(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the statements of a script: a node has its kind as a label, an edge its predicate as its type."""
    yield HEAD
    waiting: dict[tuple[str, str], list[str]] = {}
    in_edges = False
    for part in parts:
        if not isinstance(part, Node) and not in_edges:  # an edge finds its nodes only when they are there
            yield from _flushed(waiting)
            in_edges = True
        key, row = (
            ((NODES, part.kind), _node(part)) if isinstance(part, Node) else ((EDGES, part.predicate), _edge(part))
        )
        rows = waiting.setdefault(key, [])
        rows.append(row)
        if len(rows) == AT_ONCE:
            yield _statement(key, waiting.pop(key))
    yield from _flushed(waiting)


def _flushed(waiting: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    yield from (_statement(key, rows) for key, rows in waiting.items())
    waiting.clear()


def _statement(key: tuple[str, str], rows: list[str]) -> str:
    template, name = key
    return template.format(rows=",\n".join(rows), name=_name(name))


def _node(node: Node) -> str:
    return _map([("id", node.id), *values(node, NODE_COLUMNS)])


def _edge(edge: Edge) -> str:
    facts = _map(values(edge, EDGE_COLUMNS))
    return f"{{subject: {_value(edge.subject)}, object: {_value(edge.object)}, facts: {facts}}}"


def _map(pairs: Iterable[tuple[str, str | int | float]]) -> str:
    return f"{{{', '.join(f'{name}: {_value(value)}' for name, value in pairs)}}}"


def _value(value: str | float) -> str:
    """Return a literal; JSON's escapes are Cypher's, and a semicolon inside quotation marks ends no statement.

    Some releases replace an escape by number wherever it stands, also after an escaped backslash. A text that holds one
    is given in two parts.
    """
    if isinstance(value, str):
        return " + ".join(json.dumps(part) for part in BEFORE_NUMBER.split(value))
    return json.dumps(value)


def _name(name: str) -> str:
    """Return a label or type of any characters; a backtick is doubled, a backslash would begin an escape."""
    return f"`{(name or 'unknown').replace(BACKSLASH, '/').replace('`', '``')}`"
