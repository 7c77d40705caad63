"""The contract of the door ``medical_kg.stores``: where ``index`` and ``knowledge-graph`` keep what they are given.

An entry point names a subclass of ``Store``. A store may offer an index, a graph, or both; what it does not offer
raises ``Unsupported``. Both halves keep one rule: **a write replaces all rows of the roots it names**, in one
transaction, so writing twice leaves the same rows, and a write of an older ``version`` than the one a root already has
is refused for that root. Removing a root keeps its version, so that an older write cannot bring it back. The version of
a root is bookkeeping beside the rows, never part of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from medical_kg import MedicalKGError
from medical_kg.documents.ir import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np

    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Chunk, Claim, EmbedderIdentity, Embedding, Entity


class Unsupported(MedicalKGError):
    """The store does not offer this half."""


class EmbedderMismatch(MedicalKGError):
    """The index holds vectors of another embedder; they are never mixed."""


class Written(NamedTuple):
    """What a write did: rows that now stand for its roots, roots that had rows before, roots refused as older."""

    rows: Mapping[str, int]
    replaced: int
    refused: tuple[str, ...]


class Removed(NamedTuple):
    """What a removal did: how many roots had rows that are gone now, and the roots refused as newer than it."""

    removed: int
    refused: tuple[str, ...]


class Filters(Record):
    """What a search is restricted to; what is left empty restricts nothing.

    Attributes:
        sources: names of sources or formats; a document of any of them is taken.
        kinds: kinds of documents (``trial``, ``article``, ``text``), any of them.
        since, until: the first and the last year of publication; a document without a year is in no range.
        roots: only documents of these roots; an empty set finds nothing.
    """

    sources: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    roots: frozenset[str] | None = None


EVERYTHING = Filters()
"""Restricts nothing."""


class Hit(Record):
    """One search result: a chunk, its document, the fused score and its rank in each list it came from (from 1).

    ``matches`` says where words of the query stand in ``text`` (characters, end exclusive), in order.
    """

    chunk: str
    document: str
    root: str
    title: str
    section: str
    text: str
    start: int
    end: int
    score: float
    ranks: dict[str, int]
    matches: tuple[tuple[int, int], ...] = ()


class Node(Record):
    """A merged node of the graph, and how many roots speak of it."""

    id: str
    kind: str
    name: str
    identifiers: tuple[str, ...] = ()
    roots: int = 0


class Edge(Record):
    """An edge of the graph with its provenance: one row per root that states it.

    ``evidence`` are the words that carry it. Where they stand in the document's text, ``block``, ``start`` and ``end``
    say so; where they stand in its structured data, ``pointer`` does. ``sentence`` is the whole sentence of words found
    in text (``sentence_start``: where it begins), ``polarity`` whether it says so, denies it or only supposes it.
    ``document`` is what states it, ``stage`` the stage type and version that found it, ``confidence`` how far to trust
    it (0 to 1; None where nobody said).
    """

    subject: str
    predicate: str
    object: str
    root: str
    evidence: str
    pointer: str
    block: str = ""
    start: int | None = None
    end: int | None = None
    method: str
    source: str
    uri: str
    document: str = ""
    sentence: str = ""
    sentence_start: int | None = None
    polarity: Literal["affirmed", "negated", "hypothetical"] = "affirmed"
    stage: str = ""
    confidence: float | None = None


class IndexStore(Protocol):
    """The searchable half."""

    def replace(
        self,
        documents: Sequence[Document],
        chunks: Sequence[Chunk],
        embeddings: Sequence[Embedding],
        *,
        version: int,
    ) -> Written:
        """Replace all rows of the documents' roots. Raises ``EmbedderMismatch``."""

    def remove(self, roots: Iterable[str], *, version: int) -> Removed:
        """Remove all rows of these roots, but for those a newer version wrote; a later write must be as new."""

    def kept(self, root: str) -> Mapping[str, int]:
        """Return how many documents, chunks and vectors there are of a root."""

    def erase(self, root: str) -> Mapping[str, int]:
        """Remove everything of a root, its version too, so that no byte of it is left; returns what was removed.

        Words in a full-text index are removed as well, not only marked. The default store leaves it to the engine to
        give the database's own free pages back.
        """

    def document(self, ident: str) -> Document | None:
        """Return a document by its id or any of its identifiers."""

    def chunks(self, document: str) -> list[Chunk]:
        """Return the chunks of the document with this id, in order."""

    def same_work(self, documents: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Return for each of these ids those of all records of its work, its own too; the one that names the work first.

        Documents are records of one work when they share a DOI, a PubMed or a PubMed Central number; trials when they
        share an NCT number.
        """

    def embedder(self) -> EmbedderIdentity | None:
        """Return what made the vectors in this index; None while it has none."""

    def search(
        self,
        text: str,
        vector: np.ndarray | None,
        *,
        limit: int,
        kind: str = "hybrid",
        filters: Filters = EVERYTHING,
    ) -> list[Hit]:
        """Return the best chunks, best first; ``kind`` is ``hybrid``, ``text`` or ``vector``.

        Filters take chunks away and leave the order of the others as it is.
        """

    def counts(self) -> Mapping[str, int]:
        """Return how many documents, chunks and vectors there are."""

    def close(self) -> None:
        """Let go of the database."""


class GraphStore(Protocol):
    """The graph half."""

    def replace(
        self, roots: Sequence[str], entities: Sequence[Entity], claims: Sequence[Claim], *, version: int
    ) -> Written:
        """Replace all rows of these roots; nodes merge by ``Entity.node``."""

    def remove(self, roots: Iterable[str], *, version: int) -> Removed:
        """Remove all rows of these roots, but for those a newer version wrote; a later write must be as new."""

    def kept(self, root: str) -> Mapping[str, int]:
        """Return how many nodes a root speaks of, and how many edges it states."""

    def erase(self, root: str) -> Mapping[str, int]:
        """Remove everything of a root, its version too, and nodes that no other root speaks of; returns what it was."""

    def find(self, text: str, *, limit: int) -> list[Node]:
        """Return nodes whose id or identifier is this text, or whose name holds its words, best first."""

    def node(self, ident: str) -> Node | None:
        """Return a node by its id or any of its identifiers."""

    def roots(self, ident: str) -> frozenset[str]:
        """Return the roots that speak of the nodes with this id or identifier."""

    def edges(self, node: str, *, limit: int) -> list[Edge]:
        """Return the edges at a node, in either direction."""

    def neighbors(self, node: str, *, depth: int, limit: int) -> tuple[list[Node], list[Edge]]:
        """Return what is reachable in ``depth`` hops, nearest first, and the edges between."""

    def everything(self) -> Iterator[Node | Edge]:
        """Yield all nodes, then all edges, as they stand at one moment and without holding them all in memory.

        Every end of an edge is among the nodes; one that nobody describes is of kind ``unknown``.
        """

    def counts(self) -> Mapping[str, int]:
        """Return how many nodes and edges there are."""

    def close(self) -> None:
        """Let go of the database."""


class Store:
    """Base of every store: made from the workspace's database URL."""

    def __init__(self, database_url: str) -> None:
        """Keep the URL; connections are made by ``index`` and ``graph``."""
        self.database_url = database_url

    def index(self) -> IndexStore:
        """Open the searchable half; the caller closes it."""
        msg = f"store {type(self).__name__} has no index"
        raise Unsupported(msg)

    def graph(self) -> GraphStore:
        """Open the graph half; the caller closes it."""
        msg = f"store {type(self).__name__} has no graph"
        raise Unsupported(msg)
