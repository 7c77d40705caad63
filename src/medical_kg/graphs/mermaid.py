"""Mermaid flowcharts, as Markdown viewers draw them (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_kg.graphs.parts import oneline
from medical_kg.stores.contract import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.graphs.parts import Part

MARKS = {"affirmed": "", "negated": " (denied)", "hypothetical": " (supposed)"}
SPECIAL = frozenset('"#&<>`;\\')


def lines(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the lines of a flowchart. An edge stands once, however many documents state it: Mermaid draws each."""
    yield "flowchart LR"
    names: dict[str, str] = {}
    drawn: set[tuple[str, str, str, str]] = set()
    for part in parts:
        if isinstance(part, Node):
            names[part.id] = f"n{len(names)}"
            yield f'    {names[part.id]}["{_escaped(part.name)}"]'
            continue
        key = (part.subject, part.predicate, part.object, part.polarity)
        if key not in drawn:
            drawn.add(key)
            arrow = "-->" if part.polarity == "affirmed" else "-.->"
            label = _escaped(part.predicate + MARKS[part.polarity])
            yield f'    {names[part.subject]} {arrow}|"{label}"| {names[part.object]}'


def _escaped(text: str) -> str:
    """Return a text as it may stand between quotation marks: what Mermaid or HTML would read is given by number."""
    return "".join(f"#{ord(char)};" if char in SPECIAL else char for char in oneline(text)) or " "
