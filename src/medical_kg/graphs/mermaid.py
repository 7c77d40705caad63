"""Mermaid flowcharts, as Markdown viewers draw them (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from medical_kg.graphs.parts import oneline
from medical_kg.stores.contract import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.graphs.parts import Part
    from medical_kg.stores.contract import Edge

MARKS = {"affirmed": "", "negated": " (denied)", "hypothetical": " (supposed)"}
SPECIAL = frozenset('"#&<>`;\\')


def lines(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the lines of a flowchart. What several documents state is one arrow: Mermaid would draw each beside it."""
    yield "flowchart LR"
    before = ""
    for part in parts:
        line = _node(part) if isinstance(part, Node) else _edge(part)
        if line != before:  # the edges come sorted
            yield line
        before = line


def _node(node: Node) -> str:
    return f'    {_name(node.id)}["{_escaped(node.name)}"]'


def _edge(edge: Edge) -> str:
    arrow = "-->" if edge.polarity == "affirmed" else "-.->"
    label = _escaped(edge.predicate + MARKS[edge.polarity])
    return f'    {_name(edge.subject)} {arrow}|"{label}"| {_name(edge.object)}'


def _name(ident: str) -> str:
    """Return a name that Mermaid reads, the same in every picture."""
    return f"n{hashlib.blake2b(ident.encode(), digest_size=6).hexdigest()}"


def _escaped(text: str) -> str:
    """Return a text as it may stand between quotation marks: what Mermaid or HTML would read is given by number."""
    return "".join(f"#{ord(char)};" if char in SPECIAL else char for char in oneline(text)) or " "
