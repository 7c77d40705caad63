"""The records that the rules write."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from medical_kg.documents.ir import Document, Provenance, Section
from medical_kg.documents.records import Chunk, EmbedderIdentity, Embedding
from medical_kg.stores.contract import Filters

if TYPE_CHECKING:
    from medical_kg.stores.contract import IndexStore

DIMENSION = 16
IDENTITY = EmbedderIdentity(
    model="letters", sha256="0" * 64, dimension=DIMENSION, max_tokens=99, pooling="sum", normalized=True
)
"""What makes the vectors of the rules: counts of letters, so that equal words have equal vectors."""
Records = tuple[list[Document], list[Chunk], list[Embedding]]


def vector_of(text: str, dimension: int = DIMENSION) -> np.ndarray[Any, Any]:
    """Return a vector of length 1 for a text."""
    vector = np.ones(dimension, dtype=np.float32)
    for at, letter in enumerate(text):
        vector[(ord(letter) * 7 + at) % dimension] += 1
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def records(name: str, *texts: str, identity: EmbedderIdentity = IDENTITY, **fields: Any) -> Records:
    """Return a document whose chunks have these texts, with their vectors; ``fields`` are the document's."""
    root = fields.pop("root", f"root:{name}")
    given = {
        "id": name,
        "root": root,
        "kind": "article",
        "title": f"About {name}",
        "text": "\n".join(texts),
        "sections": (Section(id="s", title="Results"),),
        "provenance": Provenance(source="test", uri="mem:"),
    }
    chunks = [
        Chunk(
            id=f"{name}#{number}",
            root=root,
            document=name,
            ordinal=number,
            start=0,
            end=len(text),
            section="Results",
            text=text,
            tokens=3,
        )
        for number, text in enumerate(texts)
    ]
    return [Document.model_validate({**given, **fields})], chunks, vectors(chunks, identity)


def vectors(chunks: list[Chunk], identity: EmbedderIdentity = IDENTITY) -> list[Embedding]:
    """Return a vector for each chunk."""
    return [
        Embedding(id=one.id, root=one.root, embedder=identity, vector=vector_of(one.text, identity.dimension))
        for one in chunks
    ]


def joined(*parts: Records) -> Records:
    """Return records as one write."""
    documents, chunks, embeddings = (list(chain.from_iterable(lists)) for lists in zip(*parts, strict=True))
    return documents, chunks, embeddings


def documents_of(index: IndexStore, words: str, **options: Any) -> list[str]:
    """Return the documents that words find, best first."""
    return [hit.document for hit in index.search(words, None, limit=10, kind="text", **options)]


BATCH = joined(
    records("pmid:1", "aspirin for stroke", "no effect was seen", identifiers=("pmid:1", "doi:10/x")),
    records("pmid:2", "insulin lowers glucose in diabetes"),
    records("pmid:3"),
)
EMPTY = {"documents": 0, "chunks": 0, "vectors": 0}


def _said(source: str, form: str) -> Provenance:
    return Provenance(source=source, uri="mem:", format=form)


MIXED = joined(
    records("a", "aspirin early", kind="trial", published="2019", provenance=_said("auto", "ctgov")),
    records("b", "aspirin now", published="2021-07-01", provenance=_said("pubmed", "xml")),
    records("c", "aspirin late", "aspirin", published="20210", provenance=_said("pubmed", "xml")),
)
"""Three kinds of documents that say the same; the date of the last begins with no year."""
WORKS = joined(
    records("pmid:1", identifiers=("pmid:1", "doi:10.1/ABC")),
    records("openalex:W1", identifiers=("openalex:W1", "doi:10.1/abc", "pmcid:PMC7")),
    records("pmcid:PMC7"),
    records("nct:NCT1", identifiers=("nct:NCT1", "pmid:1"), kind="trial"),
    records("pmid:2", identifiers=("pmid:2", "nct:NCT1")),
)
FILTERS = (
    (Filters(), "abcc"),
    (Filters(sources=("pubmed",)), "bcc"),
    (Filters(sources=("ctgov", "xml")), "abcc"),
    (Filters(kinds=("trial",)), "a"),
    (Filters(kinds=("trial", "article"), since=2020), "b"),
    (Filters(since=2019, until=2019), "a"),
    (Filters(until=2021), "ab"),
    (Filters(roots=frozenset({"root:a", "root:c", "root:nobody", "it's"})), "acc"),
    (Filters(roots=frozenset({f"root:{number}" for number in range(70_000)} | {"root:b"})), "b"),
    (Filters(roots=frozenset()), ""),
    (Filters(sources=("pubmed",), roots=frozenset({"root:a"})), ""),
)
ODD_QUERIES = (
    '"',
    "'",
    "AND",
    "OR NOT",
    "NEAR(",
    "x*",
    "^",
    "title:",
    "-",
    "{a b}:",
    "\0",
    "\ud800",
    "_",
    "²",
    "x" * 5000,
    "",
)
