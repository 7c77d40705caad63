"""RDF as N-Triples, one statement a line, as every RDF store loads it (https://www.w3.org/TR/n-triples/).

An edge is a triple, and besides a statement about it (``rdf:Statement``) with document, sentence, polarity, stage and
confidence. What a document denies or only supposes is such a statement without the triple: nobody asserts it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from medical_kg.graphs.parts import EDGE_COLUMNS, FRACTIONS, NUMBERS, PAGES, address, values
from medical_kg.stores.contract import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medical_kg.graphs.parts import Part
    from medical_kg.stores.contract import Edge

OWN = "urn:medical-kg:"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
XSD = "http://www.w3.org/2001/XMLSchema#"
SEE_ALSO = f"<{RDFS}seeAlso>"
KEPT = "!$&'()*+,;=:@/?#~%"
"""Characters an IRI may have besides letters, digits and -._"""
ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def lines(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the lines of an N-Triples file."""
    for part in parts:
        yield from _node(part) if isinstance(part, Node) else _edge(part)


def iri(kind: str, name: str) -> str:
    """Return our own IRI for a name, such as ``<urn:medical-kg:node:mesh:D003920>``."""
    return f"<{OWN}{kind}:{quote(name, safe=':/')}>"


def literal(value: str | float) -> str:
    """Return a literal; numbers with their type."""
    if isinstance(value, str):
        return f'"{"".join(ESCAPES.get(char) or _scalar(char) for char in value)}"'
    return f'"{value}"^^<{XSD}{"double" if isinstance(value, float) else "integer"}>'


def _scalar(char: str) -> str:
    return "\ufffd" if "\ud800" <= char <= "\udfff" else char


def _node(node: Node) -> Iterator[str]:
    subject = iri("node", node.id)
    yield f"{subject} <{RDF}type> {iri('kind', node.kind)} ."
    yield f"{subject} <{RDFS}label> {literal(node.name)} ."
    for identifier in node.identifiers:
        yield f"{subject} {iri('term', 'identifier')} {literal(identifier)} ."
        if identifier.partition(":")[0] in PAGES:
            yield f"{subject} {SEE_ALSO} <{quote(address(identifier), safe=KEPT)}> ."


def _edge(edge: Edge) -> Iterator[str]:
    triple = (iri("node", edge.subject), iri("predicate", edge.predicate), iri("node", edge.object))
    if edge.polarity == "affirmed":
        yield f"{' '.join(triple)} ."
    key = json.dumps([edge.subject, edge.predicate, edge.object, edge.root])
    statement = iri("statement", hashlib.sha256(key.encode()).hexdigest()[:24])
    yield f"{statement} <{RDF}type> <{RDF}Statement> ."
    for name, term in zip(("subject", "predicate", "object"), triple, strict=True):
        yield f"{statement} <{RDF}{name}> {term} ."
    for column, value in values(edge, EDGE_COLUMNS[1:]):
        typed = float(value) if column in FRACTIONS else value
        yield f"{statement} {iri('term', column)} {literal(typed if column in (*NUMBERS, *FRACTIONS) else str(value))} ."
