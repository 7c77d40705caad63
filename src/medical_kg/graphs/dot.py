"""DOT, the language of Graphviz (https://graphviz.org/doc/info/lang.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_kg.graphs.parts import oneline
from medical_kg.stores.contract import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.graphs.parts import Part

STYLES = {"affirmed": "solid", "negated": "dashed", "hypothetical": "dotted"}


def lines(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the lines of a DOT file; hovering over an edge of a drawing shows the words that carry it."""
    yield "digraph graph_ {"
    yield '  graph [overlap=false, splines=true, fontname="sans-serif"];'
    yield '  node [shape=box, style=rounded, fontname="sans-serif"];'
    yield '  edge [fontname="sans-serif", fontsize=10];'
    for part in parts:
        if isinstance(part, Node):
            yield f"  {_quoted(part.id)} [label={_quoted(part.name)}, tooltip={_quoted(f'{part.kind} {part.id}')}];"
        else:
            tip = f"{part.document}: {part.sentence or part.evidence}"
            facts = f"label={_quoted(part.predicate)}, style={STYLES[part.polarity]}, tooltip={_quoted(tip)}"
            yield f"  {_quoted(part.subject)} -> {_quoted(part.object)} [{facts}];"
    yield "}"


def _quoted(text: str) -> str:
    """Return a text as a quoted string; a backslash is doubled, since labels and tooltips read escapes."""
    escaped = oneline(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
