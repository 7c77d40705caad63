"""The nodes of the graph, derived from what is stated of them: merged over roots, and over the records of one work."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select

from medical_kg.orchestration.contract.database import in_groups
from medical_kg.stores.graph_rows import Variant, identifier_rows, merged_node
from medical_kg.stores.sql_graph_tables import IDENTIFIERS, NODES, SAME, STATEMENTS, WORKS
from medical_kg.stores.sql_works import related
from medical_kg.stores.works import work_identifiers, works

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Table


def refresh_nodes(connection: Connection, touched: Iterable[str]) -> None:
    """Derive these nodes anew from what is stated of them; one of which nothing is stated goes away.

    With them those that are, or were, one work with them.
    """
    for group in in_groups(sorted(set(touched))):
        before = _beside(connection, group)
        _note_works(connection, group)
        carried = related(connection, WORKS.c.node, WORKS.c.identifier, before.union(group))
        _derive(connection, works(carried))


def insert_rows(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        connection.execute(insert(table), rows)


def _beside(connection: Connection, nodes: list[str]) -> set[str]:
    """Return the nodes that were one work with these so far."""
    shown = select(SAME.c.work).where(SAME.c.node.in_(nodes))
    return set(connection.scalars(select(SAME.c.node).where(SAME.c.work.in_(shown))))


def _note_works(connection: Connection, nodes: list[str]) -> None:
    """Note by which identifiers these nodes are works, as it is stated now."""
    connection.execute(delete(WORKS).where(WORKS.c.node.in_(nodes)))
    rows = []
    for node, variants in groupby(_variants(connection, nodes), lambda one: one.node):
        merged = merged_node(variants)
        identifiers = work_identifiers(merged["kind"], json.loads(merged["identifiers"]))
        rows += [{"node": node, "identifier": identifier} for identifier in sorted(identifiers)]
    insert_rows(connection, WORKS, rows)


def _derive(connection: Connection, found: list[list[str]]) -> None:
    shown_as = {node: work[0] for work in found for node in work}
    for group in in_groups(shown_as):
        for table, column in ((NODES, NODES.c.id), (IDENTIFIERS, IDENTIFIERS.c.node), (SAME, SAME.c.node)):
            connection.execute(delete(table).where(column.in_(group)))
    several = {node: work[0] for work in found if len(work) > 1 for node in work}
    insert_rows(connection, SAME, [{"node": node, "work": work} for node, work in several.items()])
    variants: defaultdict[str, list[Variant]] = defaultdict(list)
    for group in in_groups(sorted(shown_as)):
        for variant in _variants(connection, group):
            variants[shown_as[variant.node]].append(variant._replace(node=shown_as[variant.node]))
    merged = [merged_node(same) for _, same in sorted(variants.items())]
    roots = _roots(connection, sorted(set(several.values())))
    merged = [{**node, "roots": roots.get(node["id"], node["roots"])} for node in merged]
    insert_rows(connection, NODES, merged)
    insert_rows(connection, IDENTIFIERS, [row for node in merged for row in identifier_rows(node)])


def _variants(connection: Connection, nodes: list[str]) -> Iterator[Variant]:
    columns = (STATEMENTS.c.node, STATEMENTS.c.kind, STATEMENTS.c.name, STATEMENTS.c.identifiers)
    query = select(*columns, func.count()).where(STATEMENTS.c.node.in_(nodes)).group_by(*columns).order_by(*columns)
    return (Variant(*row) for row in connection.execute(query))


def _roots(connection: Connection, shown: list[str]) -> Mapping[str, int]:
    """Count the roots that speak of each work; one root may speak of several of its records."""
    joined = SAME.join(STATEMENTS, STATEMENTS.c.node == SAME.c.node)
    counted = select(SAME.c.work, func.count(STATEMENTS.c.root.distinct())).select_from(joined)
    found: dict[str, int] = {}
    for group in in_groups(shown):
        rows = connection.execute(counted.where(SAME.c.work.in_(group)).group_by(SAME.c.work))
        found |= {work: count for work, count in rows}  # noqa: C416  # a row is no pair to the type checker
    return found
