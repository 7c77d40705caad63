"""A neighbourhood of the graph as one HTML page that needs nothing else: no network, no other file.

The picture is drawn here, as SVG, and is there without JavaScript too; the script in the page adds pan, zoom and the
sentences. Texts come from documents of strangers: in markup they are escaped, for the script they stand in a data block,
and the page's policy lets no other script run and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter, defaultdict
from html import escape
from importlib.resources import files
from math import hypot, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from medical_kg.graphs.layout import layout
from medical_kg.graphs.parts import address, oneline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from medical_kg.stores.contract import Edge, Node

COLOURS = 8
"""How many kinds have a colour of their own; the last is shared by the rest."""
LABEL = 30
"""How many characters of a name stand beside its node."""
LARGE = 12
"""How many nodes come first where there is no room for every label."""
Point = tuple[float, float]


class Join(NamedTuple):
    """What is stated between two nodes, in one direction."""

    start: int
    end: int
    said: tuple[Edge, ...]

    @property
    def polarity(self) -> str:
        """What the documents say as far as they agree; of several things, that it is said."""
        said = {edge.polarity for edge in self.said}
        return said.pop() if len(said) == 1 else "affirmed"


def page(node: Node, others: Sequence[Node], edges: Sequence[Edge], *, notice: str = "") -> str:
    """Return the page of a node and what is around it; ``notice`` says what is not shown."""
    nodes = [node, *others]
    joins = _joins(nodes, edges)
    points = layout(len(nodes), [(join.start, join.end) for join in joins])
    kinds = {
        kind: min(at, COLOURS - 1) for at, (kind, _) in enumerate(Counter(one.kind for one in nodes).most_common())
    }
    style, script = _part("page.css"), _part("page.js")
    return _part("page.html").format(
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'",
        style=style,
        script=script,
        title=escape(oneline(node.name)),
        facts=escape(_facts(node, len(nodes), edges)),
        notice=f'<p class="cut">{escape(notice)}</p>' if notice else "",
        picture="\n".join([*_edge_marks(joins, nodes, points), *_node_marks(nodes, joins, points, kinds)]),
        legend="\n".join(_legend(nodes, kinds)),
        data=_data(nodes, joins),
    )


def _part(name: str) -> str:
    return files("medical_kg.graphs").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _facts(node: Node, nodes: int, edges: Sequence[Edge]) -> str:
    documents = len({edge.document or edge.root for edge in edges})
    counted = ((nodes, "node"), (len(edges), "statement"), (documents, "document"))
    return " · ".join([node.id, *(f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in counted)])


def _joins(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[Join]:
    """Group edges by their ends; one whose end is not in the picture is left out."""
    at = {node.id: number for number, node in enumerate(nodes)}
    grouped: defaultdict[tuple[int, int], list[Edge]] = defaultdict(list)
    for edge in edges:
        if edge.subject in at and edge.object in at:
            grouped[at[edge.subject], at[edge.object]].append(edge)
    return [Join(*ends, tuple(said)) for ends, said in sorted(grouped.items())]


def _radii(nodes: Sequence[Node]) -> list[float]:
    return [13.0 if not number else min(5 + 1.6 * sqrt(max(node.roots, 1)), 12.0) for number, node in enumerate(nodes)]


def _edge_marks(joins: Sequence[Join], nodes: Sequence[Node], points: Sequence[Point]) -> Iterator[str]:
    radii = _radii(nodes)
    both_ways = {(join.start, join.end) for join in joins}
    for number, join in enumerate(joins):
        bend = 0.14 if (join.end, join.start) in both_ways else 0.0
        path = _path(points[join.start], points[join.end], radii[join.end], bend)
        words = ", ".join(sorted({edge.predicate.replace("_", " ") for edge in join.said}))
        name = escape(oneline(f"{nodes[join.start].name} {words} {nodes[join.end].name}"))
        width = min(1 + 0.5 * (len(join.said) - 1), 4)
        yield (
            f'<g class="edge {join.polarity}" id="edge-{number}" tabindex="0" role="button" aria-label="{name}">'
            f'<title>{name}</title><path class="hit" d="{path}"/>'
            f'<path class="seen" d="{path}" stroke-width="{width:g}" marker-end="url(#arrow)"/></g>'
        )


def _path(start: Point, end: Point, radius: float, bend: float) -> str:
    """Return the way from a node's middle to another's rim; one to itself is a loop above it."""
    (x, y), (to_x, to_y) = start, end
    length = hypot(to_x - x, to_y - y)
    if not length:
        return f"M{x} {y}c-50 -70 50 -70 {radius * 0.4:.1f} {-radius - 3:.1f}"
    middle = ((x + to_x) / 2 - (to_y - y) * bend, (y + to_y) / 2 + (to_x - x) * bend)
    away = hypot(to_x - middle[0], to_y - middle[1])
    part = (radius + 3) / away if away else 0.0
    rim = (to_x - (to_x - middle[0]) * part, to_y - (to_y - middle[1]) * part)
    return f"M{x} {y}Q{middle[0]:.1f} {middle[1]:.1f} {rim[0]:.1f} {rim[1]:.1f}"


def _node_marks(
    nodes: Sequence[Node], joins: Sequence[Join], points: Sequence[Point], kinds: Mapping[str, int]
) -> Iterator[str]:
    weight = Counter(end for join in joins for end in (join.start, join.end))
    large = {number for number, _ in weight.most_common(LARGE)} | {0}
    for number, (node, (x, y), radius) in enumerate(zip(nodes, points, _radii(nodes), strict=True)):
        marks = f"node k{kinds[node.kind]}{' large' if number in large else ''}{'' if number else ' first'}"
        name = oneline(node.name)
        yield (
            f'<g class="{marks}" id="node-{number}" tabindex="0" role="button" transform="translate({x} {y})" '
            f'aria-label="{escape(f"{name}, {node.kind}")}"><title>{escape(name)} ({escape(node.kind)})</title>'
            f'<circle r="{radius:.1f}"/><text y="{radius + 14:.0f}">{escape(_short(name))}</text></g>'
        )


def _short(name: str) -> str:
    return name if len(name) <= LABEL else name[: LABEL - 1].rstrip() + "…"


def _legend(nodes: Sequence[Node], kinds: Mapping[str, int]) -> Iterator[str]:
    counted = Counter(node.kind for node in nodes)
    for kind, colour in kinds.items():
        yield (
            f'<li><button type="button" class="k{colour}" data-kind="{escape(kind)}" aria-pressed="true">'
            f"<i></i>{escape(kind.replace('_', ' '))} {counted[kind]}</button></li>"
        )


def _data(nodes: Sequence[Node], joins: Sequence[Join]) -> str:
    """Return what the script shows as JSON that no browser can take for markup."""
    told: dict[str, Any] = {
        "nodes": [
            {
                "name": node.name,
                "kind": node.kind,
                "roots": node.roots,
                "identifiers": [(name, address(name)) for name in dict.fromkeys([node.id, *node.identifiers])],
            }
            for node in nodes
        ],
        "edges": [{"from": join.start, "to": join.end, "said": [_said(one) for one in join.said]} for join in joins],
    }
    return json.dumps(told).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _said(edge: Edge) -> dict[str, Any]:
    return {
        "predicate": edge.predicate,
        "sentence": edge.sentence,
        "evidence": edge.evidence,
        "marked": _marked(edge),
        "polarity": edge.polarity,
        "document": edge.document,
        "root": edge.root,
        "address": address(edge.document),
        "place": edge.pointer or edge.block,
        "file": edge.uri,
        "fileAddress": address(edge.uri),
        "method": edge.method,
        "stage": edge.stage,
        "confidence": edge.confidence,
    }


def _marked(edge: Edge) -> tuple[int, int]:
    """Return where the words that carry an edge stand in its sentence, counted as JavaScript counts; (0, 0) if nowhere."""
    start = -1
    if edge.start is not None and edge.sentence_start is not None:
        start = edge.start - edge.sentence_start
    if start < 0 or edge.sentence[start : start + len(edge.evidence)] != edge.evidence:
        start = edge.sentence.find(edge.evidence)
    if start < 0 or edge.evidence == edge.sentence:
        return 0, 0
    return _units(edge.sentence[:start]), _units(edge.sentence[: start + len(edge.evidence)])


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
