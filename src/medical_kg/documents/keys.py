"""The state keys of the built-in pack."""

from medical_kg.documents.ir import Document
from medical_kg.documents.records import (
    Chunk,
    Claim,
    DownloadedFile,
    Embedding,
    Entity,
    GraphReceipt,
    IndexReceipt,
    Payload,
)
from medical_kg.orchestration.contract import REMOVED as REMOVED  # noqa: PLC0414  # one of the pack's keys too
from medical_kg.orchestration.contract import StateKey, VectorLines

PAYLOADS: StateKey[list[Payload]] = StateKey(
    "payloads", list[Payload], id="id", root="id", description="input records as they were found"
)
FILES: StateKey[list[DownloadedFile]] = StateKey(
    "files", list[DownloadedFile], id="id", root="root", description="files fetched for the payloads"
)
DOCUMENTS: StateKey[list[Document]] = StateKey(
    "documents", list[Document], id="id", root="root", description="parsed documents"
)
CHUNKS: StateKey[list[Chunk]] = StateKey(
    "chunks", list[Chunk], id="id", root="root", description="spans of documents, sized for the embedder"
)
EMBEDDINGS: StateKey[list[Embedding]] = StateKey(
    "embeddings",
    list[Embedding],
    id="id",
    root="root",
    codec=VectorLines(list[Embedding]),
    description="one vector per chunk",
)
INDEX_RECEIPT: StateKey[IndexReceipt] = StateKey(
    "index_receipt", IndexReceipt, description="what the index now holds for this batch"
)
ENTITIES: StateKey[list[Entity]] = StateKey(
    "entities", list[Entity], id="id", root="root", description="graph nodes, as each document gives them"
)
CLAIMS: StateKey[list[Claim]] = StateKey(
    "claims", list[Claim], id="id", root="root", description="graph edges, as each document gives them"
)
GRAPH_RECEIPT: StateKey[GraphReceipt] = StateKey(
    "graph_receipt", GraphReceipt, description="what the graph now holds for this batch"
)
