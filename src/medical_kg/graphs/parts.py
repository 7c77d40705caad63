"""What every format says of a graph: the columns of nodes and edges, and where their identifiers lead."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from medical_kg.stores.contract import Edge, Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Part = Node | Edge
    """A graph is given as its nodes, then its edges."""

NODE_COLUMNS = ("kind", "name", "identifiers", "roots")
EDGE_COLUMNS = (
    "predicate",
    "document",
    "sentence",
    "evidence",
    "polarity",
    "method",
    "stage",
    "confidence",
    "pointer",
    "block",
    "start",
    "end",
    "sentence_start",
    "source",
    "uri",
    "root",
)
NUMBERS = ("roots", "start", "end", "sentence_start")
FRACTIONS = ("confidence",)
PAGES = {
    "chebi": "https://www.ebi.ac.uk/chebi/searchId.do?chebiId=CHEBI:{}",
    "cl": "http://purl.obolibrary.org/obo/CL_{}",
    "doi": "https://doi.org/{}",
    "doid": "http://purl.obolibrary.org/obo/DOID_{}",
    "go": "http://purl.obolibrary.org/obo/GO_{}",
    "hgnc": "https://www.genenames.org/data/gene-symbol-report/#!/hgnc_id/HGNC:{}",
    "hp": "http://purl.obolibrary.org/obo/HP_{}",
    "mesh": "https://meshb.nlm.nih.gov/record/ui?ui={}",
    "mondo": "http://purl.obolibrary.org/obo/MONDO_{}",
    "nct": "https://clinicaltrials.gov/study/{}",
    "openalex": "https://openalex.org/{}",
    "orcid": "https://orcid.org/{}",
    "pmcid": "https://pmc.ncbi.nlm.nih.gov/articles/{}/",
    "pmid": "https://pubmed.ncbi.nlm.nih.gov/{}/",
    "ror": "https://ror.org/{}",
}
"""Where a person finds what an identifier names, by its prefix."""
SAFE_SCHEMES = ("http", "https", "file")


def address(identifier: str) -> str:
    """Return the page of an identifier, or of an address as it is; "" where there is none that is safe to open."""
    prefix, colon, name = identifier.partition(":")
    if not colon:
        return ""
    if prefix in PAGES:
        return PAGES[prefix].format(quote(name, safe="/"))
    return identifier if prefix.lower() in SAFE_SCHEMES else ""


def values(part: Part, columns: Iterable[str]) -> Iterator[tuple[str, str | int | float]]:
    """Give the columns of a node or edge that say something; identifiers are joined by spaces."""
    for column in columns:
        value = getattr(part, column)
        if isinstance(value, tuple):
            value = " ".join(value)
        if value not in (None, ""):
            yield column, value


def oneline(text: str) -> str:
    """Return a text on one line without characters that print nothing."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
