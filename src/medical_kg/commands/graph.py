"""``medical-kg graph``: look at a node with its evidence, and walk from it."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from medical_kg.commands.contract import CommandContext, context_of
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from medical_kg.stores.contract import Edge, GraphStore, Node

DOOR = "medical_kg.stores"
CANDIDATES = 10
"""How many nodes a text may match before the rest is left unnamed."""

app = typer.Typer(name="graph", help="Look into the knowledge graph.", no_args_is_help=True)

Wanted = Annotated[str, typer.Argument(metavar="ID|TEXT", help="A node's id or identifier, or words of its name.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]
Depth = Annotated[int, typer.Option(min=1, max=10, help="How many hops to go.")]
StoreName = Annotated[str, typer.Option("--store", help="The store that holds the graph.")]
Tenant = Annotated[str, typer.Option(help="Whose graph.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class NodeNotFound(UsageError):
    """No node of the graph is known by this id or name."""

    def __init__(self, wanted: str, nodes: int) -> None:
        """Name what was asked for and how large the graph is."""
        advice = "try one word of its name" if nodes else "run a pipeline with a knowledge-graph stage first"
        super().__init__(f"the graph has no node {wanted!r} (it holds {nodes} nodes); {advice}")


@app.command()
def show(
    ctx: typer.Context,
    wanted: Wanted,
    *,
    limit: Limit = 50,
    store: StoreName = "database",
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Show a node, its edges and the words that carry them."""
    with _found(ctx, wanted, store, tenant, as_json=as_json) as (context, graph, node):
        edges = graph.edges(node.id, limit=limit)
        # The ends of a node's first edges are among its first neighbours: one question gives all their names.
        nodes, _ = graph.neighbors(node.id, depth=1, limit=limit)
    if context.json:
        _print_json(node=node.model_dump(), edges=[edge.model_dump() for edge in edges])
        return
    names = {one.id: one.name for one in (node, *nodes)}
    _print([*_headline(node), *(line for edge in edges for line in _edge_lines(node, edge, names))])
    _tell_limit(edges, limit, "edges")


@app.command()
def neighbors(
    ctx: typer.Context,
    wanted: Wanted,
    *,
    depth: Depth = 1,
    limit: Limit = 50,
    store: StoreName = "database",
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """List the nodes around a node, nearest first."""
    with _found(ctx, wanted, store, tenant, as_json=as_json) as (context, graph, node):
        nodes, edges = graph.neighbors(node.id, depth=depth, limit=limit)
    if context.json:
        dumped = {"nodes": [one.model_dump() for one in nodes], "edges": [edge.model_dump() for edge in edges]}
        _print_json(node=node.model_dump(), **dumped)
        return
    _print([*_headline(node), *(f"  {_in_short(one)}" for one in nodes)])
    _tell_limit(nodes, limit, "nodes")


@contextmanager
def _found(
    ctx: typer.Context, wanted: str, store: str, tenant: str, *, as_json: bool
) -> Iterator[tuple[CommandContext, GraphStore, Node]]:
    """Open the graph and give it with the node that is meant; the options are those both commands take."""
    context = context_of(ctx)
    context.json = context.json or as_json
    opened: GraphStore = context.plugins.get(DOOR, store)(context.workspace_of(tenant).database_url).graph()
    with closing(opened) as graph:
        yield context, graph, _choose(graph, wanted)


def _choose(graph: GraphStore, wanted: str) -> Node:
    """Return the node with this id, identifier or name, else the best match; say so where there are several as good."""
    if node := graph.node(wanted):
        return node
    found = graph.find(wanted, limit=CANDIDATES + 1)
    if not found:
        raise NodeNotFound(wanted, graph.counts()["nodes"])
    if not _is_clear(wanted, found):
        _tell_choice(wanted, found)
    return found[0]


def _is_clear(wanted: str, found: Sequence[Node]) -> bool:
    """Whether the first is meant: alone, or the only one of this very name and nothing else as well known."""
    best, *others = found
    names = [node.name.casefold() for node in found]
    named = names[0] == wanted.strip().casefold() and names.count(names[0]) == 1
    return not others or (named and all(other.roots <= best.roots for other in others))


def _tell_choice(wanted: str, found: list[Node]) -> None:
    more = " and more" if len(found) > CANDIDATES else ""
    typer.echo(f"{wanted!r} matches {min(len(found), CANDIDATES)} nodes{more}; showing the first:", err=True)
    for node in found[:CANDIDATES]:
        typer.echo(f"  {_in_short(node)}", err=True)


def _tell_limit(shown: Sequence[object], limit: int, what: str) -> None:
    if len(shown) == limit:
        typer.echo(f"at most {limit} {what} are shown; --limit shows more", err=True)


def _in_short(node: Node) -> str:
    return f"{node.id}  {node.name} ({node.kind}, stated by {node.roots})"


def _headline(node: Node) -> Iterator[str]:
    yield node.name
    facts = {"id": node.id, "kind": node.kind, "known as": ", ".join(node.identifiers), "stated by": str(node.roots)}
    yield from (f"  {name + ':':<11}{value}" for name, value in facts.items() if value)


def _edge_lines(node: Node, edge: Edge, names: Mapping[str, str]) -> Iterator[str]:
    """Give an edge as seen from a node, and below it the words that carry it with their place and origin."""
    arrow, other = ("->", edge.object) if edge.subject == node.id else ("<-", edge.subject)
    yield f"  {arrow} {edge.predicate}  {other}  {names.get(other, '')}".rstrip()
    place = f" at {edge.pointer}" if edge.pointer else ""
    yield f'       "{edge.evidence}"{place} ({edge.method}, {edge.source}: {edge.uri})'


def _print(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)


def _print_json(**found: object) -> None:
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
