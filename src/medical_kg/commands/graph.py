"""``medical-kg graph``: look at a node with its evidence, walk from it, and take the graph elsewhere."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from enum import StrEnum
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medical_kg.commands.contract import CommandContext, context_of
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.usage import examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from medical_kg.stores.contract import Edge, GraphStore, Node

DOOR = "medical_kg.stores"
CANDIDATES = 10
"""How many nodes a text may match before the rest is left unnamed."""

app = typer.Typer(name="graph", help="Look into the knowledge graph.", no_args_is_help=True)

Wanted = Annotated[str, typer.Argument(metavar="ID|TEXT", help="A node's id or identifier, or words of its name.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]
Depth = Annotated[int, typer.Option(min=1, max=10, help="How many hops to go.")]
StoreName = Annotated[str, typer.Option("--store", help="The store that holds the graph.")]
Out = Annotated[Path, typer.Option(dir_okay=False, help="The file to write.")]
Tenant = Annotated[str, typer.Option(help="Whose graph.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Format(StrEnum):
    """What a graph can be written as."""

    graphml = "graphml"
    mermaid = "mermaid"
    dot = "dot"
    rdf = "rdf"
    neo4j = "neo4j"


WRITERS = {Format.neo4j: "cypher"}
"""The module of ``medical_kg.graphs`` that writes a format, where it has another name."""


class NodeNotFound(UsageError):
    """No node of the graph is known by this id or name."""

    def __init__(self, wanted: str, nodes: int) -> None:
        """Name what was asked for and how large the graph is."""
        advice = "try one word of its name" if nodes else "run a pipeline with a knowledge-graph stage first"
        super().__init__(f"the graph has no node {wanted!r} (it holds {nodes} nodes); {advice}")


@app.command(epilog=examples("medical-kg graph show COVID-19"))
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


@app.command(epilog=examples("medical-kg graph neighbors COVID-19 --depth 2 --limit 20"))
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


@app.command(
    epilog=examples(
        "medical-kg graph export COVID-19 --format mermaid",
        "medical-kg graph export --all --format graphml --out graph.graphml",
    )
)
def export(  # noqa: PLR0913  # one argument per option
    ctx: typer.Context,
    wanted: Annotated[str, typer.Argument(metavar="ID|TEXT", help="Write what is around this node.")] = "",
    *,
    everything: Annotated[bool, typer.Option("--all", help="Write the whole graph.")] = False,
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.graphml,
    depth: Depth = 1,
    limit: Limit = 500,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="The file to write; without it, stdout.")] = None,
    store: StoreName = "database",
    tenant: Tenant = "default",
) -> None:
    """Write a node with what is around it, or the whole graph, as a file for other programs.

    Every edge keeps its document, sentence, polarity, stage, method and confidence where the format has a place for them.
    """
    if everything == bool(wanted):
        raise UsageError(
            "name the node whose surroundings to write, or ask for the whole graph with --all; one of them"
        )
    writer = import_module(f"medical_kg.graphs.{WRITERS.get(form, form.value)}")
    if everything:
        with closing(_graph(context_of(ctx), store, tenant)) as graph:
            _write(writer.lines(graph.everything()), out)
        return
    with _found(ctx, wanted, store, tenant, as_json=False) as (_, graph, node):
        nodes, edges, _ = _around(graph, node, depth, limit)
        _write(writer.lines(chain([node], nodes, edges)), out)


@app.command(epilog=examples("medical-kg graph page COVID-19 --depth 2 --out covid.html"))
def page(
    ctx: typer.Context,
    wanted: Wanted,
    *,
    out: Out,
    depth: Depth = 1,
    limit: Annotated[int, typer.Option(min=1, max=400, help="At most this many nodes around it.")] = 150,
    store: StoreName = "database",
    tenant: Tenant = "default",
) -> None:
    """Write one HTML page of a node and what is around it: to pan, zoom, and read the sentences behind each edge.

    The page needs nothing else: it opens from a disk or an attachment, without a network.
    """
    from medical_kg.graphs.page import page as drawn

    with _found(ctx, wanted, store, tenant, as_json=False) as (_, graph, node):
        nodes, edges, notice = _around(graph, node, depth, limit)
    _write([drawn(node, nodes, edges, notice=notice)], out)
    typer.echo(f"{out}: {node.name} and {len(nodes)} nodes around it", err=True)


def _around(graph: GraphStore, node: Node, depth: int, limit: int) -> tuple[list[Node], list[Edge], str]:
    """Return what is around a node, the edges between, and what to say where that is not all; it is told as well."""
    found, edges = graph.neighbors(node.id, depth=depth, limit=limit + 1)
    nodes = found[:limit]
    shown = {one.id for one in (node, *nodes)}
    edges = [edge for edge in edges if {edge.subject, edge.object} <= shown]
    if len(found) <= limit:
        return nodes, edges, ""
    notice = f"Only the {limit} nearest nodes are shown; there are more."
    typer.echo(f"{notice} --limit shows more, as far as it goes.", err=True)
    return nodes, edges, notice


def _write(lines: Iterable[str], out: Path | None) -> None:
    """Write lines to stdout, or to a file that appears when it is whole.

    Raises:
        UsageError: the file cannot be written.
    """
    if out is None:
        for line in lines:
            typer.echo(line)
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            try:
                file.writelines(f"{line}\n" for line in lines)
            except BaseException:
                part.unlink()
                raise
        part.replace(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}; name another file with --out") from error


@contextmanager
def _found(
    ctx: typer.Context, wanted: str, store: str, tenant: str, *, as_json: bool
) -> Iterator[tuple[CommandContext, GraphStore, Node]]:
    """Open the graph and give it with the node that is meant; the options are those all commands take."""
    context = context_of(ctx)
    context.json = context.json or as_json
    with closing(_graph(context, store, tenant)) as graph:
        yield context, graph, _choose(graph, wanted)


def _graph(context: CommandContext, store: str, tenant: str) -> GraphStore:
    opened: GraphStore = context.plugins.get(DOOR, store)(context.workspace_of(tenant).database_url).graph()
    return opened


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
    yield f'       "{edge.sentence or edge.evidence}"{place} ({", ".join(_support(edge))}; {edge.source}: {edge.uri})'


def _support(edge: Edge) -> Iterator[str]:
    """Give who says it, whether denied, and how it was found and how far to trust that."""
    if edge.polarity != "affirmed":
        yield {"negated": "denied", "hypothetical": "only supposed"}[edge.polarity]
    if edge.document and edge.document != edge.subject:
        yield f"in {edge.document}"
    yield edge.method
    if edge.stage:
        yield edge.stage
    if edge.confidence is not None:
        yield f"confidence {edge.confidence:g}"


def _print(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)


def _print_json(**found: object) -> None:
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
