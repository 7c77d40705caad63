"""GraphML, as networkx, Gephi, yEd and Cytoscape read it (http://graphml.graphdrawing.org/specification.html)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from medical_kg.graphs.parts import EDGE_COLUMNS, FRACTIONS, NODE_COLUMNS, NUMBERS, values
from medical_kg.stores.contract import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.graphs.parts import Part

UNSPEAKABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
         xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">"""


def lines(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the lines of a GraphML file; a column of a part is a ``data`` element with the column's name."""
    yield HEAD
    for where, columns in (("node", NODE_COLUMNS), ("edge", EDGE_COLUMNS)):
        for column in columns:
            yield f'  <key id="{where}_{column}" for="{where}" attr.name="{column}" attr.type="{_type(column)}"/>'
    yield '  <graph id="graph" edgedefault="directed">'
    for part in parts:
        yield from _node(part) if isinstance(part, Node) else _element(part, "edge", EDGE_COLUMNS)
    yield "  </graph>"
    yield "</graphml>"


def _type(column: str) -> str:
    if column in NUMBERS:
        return "int"
    return "double" if column in FRACTIONS else "string"


def _node(node: Node) -> Iterator[str]:
    return _element(node, "node", NODE_COLUMNS)


def _element(part: Part, tag: str, columns: Iterable[str]) -> Iterator[str]:
    ends = {"id": part.id} if isinstance(part, Node) else {"source": part.subject, "target": part.object}
    yield f"    <{tag} {' '.join(f'{name}={quoteattr(_clean(value))}' for name, value in ends.items())}>"
    for column, value in values(part, columns):
        yield f'      <data key="{tag}_{column}">{escape(_clean(str(value)))}</data>'
    yield f"    </{tag}>"


def _clean(text: str) -> str:
    return UNSPEAKABLE.sub("\ufffd", text)
