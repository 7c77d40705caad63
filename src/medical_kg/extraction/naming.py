"""The names by which what documents say is put together: nodes, and ids of records."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from medical_kg.documents.ir import Document

EDGE_PUNCTUATION = " \t.,;:!?'\"`*_-\u2010\u2011\u2012\u2013\u2014\u2018\u2019\u201c\u201d"
"""Trimmed from both ends of a name; brackets stay, since they come in pairs."""


class Named(Protocol):
    """A concept, of a document's own data or of a vocabulary."""

    @property
    def kind(self) -> str:
        """What it is."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def identifiers(self) -> tuple[str, ...]:
        """Its prefixed ids, the deciding one first."""


def node_of(concept: Named) -> str | None:
    """Return the id of the node a concept merges into; None for one without identifier and name.

    It is the first identifier with its prefix in lower case (``mesh:D003920``), or the kind and the normalised name
    (``condition:heart failure``) of a concept without identifiers.
    """
    for identifier in map(normal_identifier, concept.identifiers):
        if identifier:
            return identifier
    name = normal_name(concept.name)
    return f"{concept.kind}:{name}" if name else None


def normal_identifier(identifier: str) -> str:
    """Return a prefixed id with its prefix in lower case, so that ``MESH:D1`` and ``mesh:D1`` are one."""
    prefix, colon, rest = identifier.strip().partition(":")
    return f"{prefix.lower()}:{rest.strip()}" if colon else prefix


def normal_name(name: str) -> str:
    """Return a name by which equal things meet: NFKC, case folded, single spaces, no punctuation at the ends."""
    # Folding may take a composed letter apart, and composing may give one that folds: twice settles both.
    for _ in range(2):
        name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    folded = " ".join(name.split())
    return folded.strip(EDGE_PUNCTUATION) or folded


def digest(document: Document, *parts: str) -> str:
    """Name a record by what makes it one: 96 bits are unique beyond any batch."""
    return hashlib.sha256("\0".join([document.root, document.id, *parts]).encode()).hexdigest()[:24]
