"""What flows between the pack's stages besides documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from medical_kg.documents.ir import Provenance, Record
from medical_kg.orchestration.contract import RemovedRoot as RemovedRoot  # noqa: PLC0414  # flows with the others

CONVERTED = "application/vnd.medical-kg.document+json"
"""Media type of a document in our own representation, as converters attach it to a signal."""


class Payload(Record):
    """One input record as it was found: the bytes of one study, citation, article or text.

    ``id`` names it within the submission and is stable between runs; every later record of it has this as its root.
    ``links`` are addresses of files that belong to it (a PDF), for ``download``.
    """

    id: str
    format: str
    content: bytes
    provenance: Provenance
    links: tuple[str, ...] = ()


class DownloadedFile(Record):
    """A file that ``download`` fetched for a payload; ``size`` is in bytes."""

    id: str
    root: str
    url: str
    uri: str
    sha256: str
    size: int
    media_type: str


class Chunk(Record):
    """A span of a document's text, small enough for the embedder: ``document.text[start:end] == text``.

    ``section`` names the section with those it stands in. ``context`` holds the headings above that are not in the text,
    for whoever reads the chunk alone, such as an embedder; ``tokens`` counts text and context, by the embedder's tokens.
    """

    id: str
    root: str
    document: str
    ordinal: int
    start: int
    end: int
    section: str
    text: str
    tokens: int
    context: str = ""

    @property
    def in_context(self) -> str:
        """The text with its context on a line before it."""
        return f"{self.context}\n{self.text}" if self.context else self.text


class EmbedderIdentity(Record):
    """What made a vector; vectors of different identities are never mixed in one index.

    ``sha256`` is the model's digest, ``max_tokens`` the length at which it cuts, ``pooling`` and ``normalized`` how
    token vectors became one.
    """

    model: str
    sha256: str
    dimension: int
    max_tokens: int
    pooling: str
    normalized: bool


def _as_vector(value: Any) -> Any:
    # numpy is half of what listing and checking would load, and they hold no vectors.
    import numpy as np

    return np.asarray(value, dtype=np.float32)


if TYPE_CHECKING:
    import numpy as np

    Vector = np.ndarray[Any, Any]
else:
    Vector = Annotated[Any, BeforeValidator(_as_vector)]


class Embedding(Record):
    """A chunk's vector (float32, one dimension) and what made it."""

    id: str
    root: str
    embedder: EmbedderIdentity
    vector: Vector


class IndexReceipt(Record):
    """What ``index`` changed: documents, chunks and vectors that now stand for this batch.

    ``replaced`` counts the roots of the batch that had rows before; ``removed`` those that were removed, as they are gone
    from the source; ``refused`` those left alone because a newer submission had written or removed them.
    """

    store: str
    documents: int
    chunks: int
    vectors: int
    replaced: int = 0
    removed: int = 0
    refused: int = 0


class Mention(Record):
    """Where an entity was found: a span of the document's text, or a pointer into its structured data."""

    pointer: str = ""
    block: str = ""
    start: int | None = None
    end: int | None = None
    text: str


class Entity(Record):
    """A node of the graph as one document gives it; nodes of one ``node`` id merge.

    ``id`` is unique in the batch (root and node), ``node`` is the merged id such as ``mesh:D003920``.
    """

    id: str
    root: str
    node: str
    kind: str
    name: str
    identifiers: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()


class Claim(Record):
    """An edge of the graph as one document gives it, with the words that carry it.

    ``method`` says how it was found: ``structured`` (the document's own data), ``dictionary`` or ``pattern`` (its text).
    ``sentence`` is the whole sentence of what was found in text, ``polarity`` whether it says so, denies it, or only
    supposes it. ``document`` is what states it, ``stage`` the stage type and version that found it (``extract 2.3.0``),
    ``confidence`` how far to trust it (0 to 1; None where the stage does not know).
    """

    id: str
    root: str
    subject: str
    predicate: str
    object: str
    evidence: Mention
    sentence: Mention | None = None
    polarity: Literal["affirmed", "negated", "hypothetical"] = "affirmed"
    method: str
    provenance: Provenance
    document: str = ""
    stage: str = ""
    confidence: float | None = Field(default=None, ge=0, le=1)


class GraphReceipt(Record):
    """What ``knowledge-graph`` changed: nodes and edges that now stand for this batch's roots.

    ``replaced`` counts the roots of the batch that had rows before; ``removed`` those that were removed, as they are gone
    from the source; ``refused`` those left alone because a newer submission had written or removed them.
    """

    store: str
    nodes: int
    edges: int
    replaced: int = 0
    removed: int = 0
    refused: int = 0
