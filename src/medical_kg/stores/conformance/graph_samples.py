"""The records that the rules of graphs write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Claim, Entity, Mention

if TYPE_CHECKING:
    from collections.abc import Iterable

    from medical_kg.stores.contract import Edge, GraphStore, Written

PROVENANCE = Provenance(source="files", uri="file:///x.json")
NOTHING = {"nodes": 0, "edges": 0}
PUBMED = ("pubmed", "pmid:1", "article", ("pmid:1", "doi:10.1/a", "pmcid:PMC5"))
JATS = ("jats", "pmcid:PMC5", "article", ("pmcid:PMC5", "doi:10.1/A"))
OPENALEX = ("openalex", "openalex:W1", "article", ("openalex:W1", "doi:10.1/a"))
TRIAL = ("trial", "nct:NCT01", "trial", ("nct:NCT01",))
WorkRecord = tuple[str, str, str, tuple[str, ...]]
"""Root, node, kind and identifiers."""


def entity(root: str, node: str, name: str = "", *identifiers: str, kind: str = "condition") -> Entity:
    """Return what a root says of a node."""
    named = identifiers or ((node,) if ":" in node else ())
    return Entity(id=f"{root}/{node}", root=root, node=node, kind=kind, name=name or node, identifiers=named)


def claim(root: str, subject: str, object_: str, predicate: str = "studies", words: str = "words") -> Claim:
    """Return what a root states of two nodes."""
    return Claim(
        id=f"{root}/{subject}/{predicate}/{object_}",
        root=root,
        subject=subject,
        predicate=predicate,
        object=object_,
        evidence=Mention(pointer="/c/0", text=words),
        method="structured",
        provenance=PROVENANCE,
    )


def star(root: str, *concepts: str) -> tuple[list[Entity], list[Claim]]:
    """A document node named after its root, and what it speaks of."""
    document = f"doc:{root}"
    entities = [entity(root, document, f"Document {root}", kind="trial"), *(entity(root, one) for one in concepts)]
    return entities, [claim(root, document, one) for one in concepts]


def write(graph: GraphStore, version: int = 0, /, **concepts: str) -> Written:
    """Write one star per keyword: ``r1="mesh:A mesh:B"``."""
    stars = [star(root, *names.split()) for root, names in concepts.items()]
    entities = [one for some, _ in stars for one in some]
    claims = [one for _, some in stars for one in some]
    return graph.replace(list(concepts), entities, claims, version=version)


def write_record(graph: GraphStore, record: WorkRecord, *said: tuple[str, str], version: int = 0) -> None:
    """Write a record that says: predicate, object."""
    root, node, kind, identifiers = record
    entities = [Entity(id=node, root=root, node=node, kind=kind, name=f"By {root}", identifiers=identifiers)]
    others = dict.fromkeys(other for _, other in said)
    kinds = {"nct": "trial", "pmid": "article", "doi": "article"}
    entities += [
        Entity(
            id=other,
            root=root,
            node=other,
            kind=kinds.get(other.split(":")[0], "condition"),
            name=other,
            identifiers=(other,),
        )
        for other in others
    ]
    graph.replace([root], entities, [work_claim(root, node, *one) for one in said], version=version)


def work_claim(root: str, subject: str, predicate: str, object_: str) -> Claim:
    """Return what a record states of its work."""
    return Claim(
        id=f"{subject}{predicate}{object_}",
        root=root,
        subject=subject,
        predicate=predicate,
        object=object_,
        evidence=Mention(text="words"),
        method="structured",
        provenance=Provenance(source="files", uri="file:///x"),
        document=subject,
    )


def ends(edges: Iterable[Edge]) -> set[tuple[str, str, str, str]]:
    """Return what edges join, and by which document."""
    return {(edge.subject, edge.predicate, edge.object, edge.document) for edge in edges}
