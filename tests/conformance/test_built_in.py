"""Our own stage types keep the rules that every author's must keep."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from medical_kg import Attachment, Clause, Condition, NamedCondition
from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.documents.records import Chunk, DownloadedFile, Embedding, Payload, RemovedRoot
from medical_kg.orchestration.registry import CORE, Installation
from medical_kg.stages.attached_files import AttachedFilesStage
from medical_kg.stages.chunk import ChunkStage
from medical_kg.stages.convert import ConvertStage
from medical_kg.stages.download import DownloadStage
from medical_kg.stages.embed import EmbedStage
from medical_kg.stages.extract import ExtractStage
from medical_kg.stages.gate import GateStage
from medical_kg.stages.index import IndexStage
from medical_kg.stages.ingest import IngestStage
from medical_kg.stages.ir_validation import IrValidationStage
from medical_kg.stages.knowledge_graph import KnowledgeGraphStage
from medical_kg.stages.parse import ParseStage
from medical_kg.stages.signal import SignalStage
from medical_kg.testing import Answer, FakeFiles, FakeHttp, FakeSignals, StageCase, run_stage
from medical_kg.testing.conformance import StageConformance

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "trials"
PROVENANCE = Provenance(source="test", uri="a")
HASHING = {"embedder": "hashing"}
HTTP = {"http": FakeHttp()}


@cache
def payloads() -> list[Payload]:
    return list(run_stage(IngestStage, {"adapter": "auto"}, input={"input": str(SAMPLES)}, limit=4).output["payloads"])


@cache
def documents() -> list[Document]:
    return list(run_stage(ParseStage, payloads=payloads()).output["documents"])


@cache
def chunks() -> list[Chunk]:
    return list(run_stage(ChunkStage, HASHING, services=HTTP, documents=documents()).output["chunks"])


@cache
def embeddings() -> list[Embedding]:
    return list(run_stage(EmbedStage, HASHING, services=HTTP, chunks=chunks()).output["embeddings"])


def reads(**values: Any) -> dict[str, Any]:
    """Copies of what the functions above keep, so that no rule can spoil the next one's input."""
    return {name: [record.model_copy() for record in records] for name, records in values.items()}


def unsound() -> Document:
    """A document whose block lies outside its text."""
    builder = DocumentBuilder()
    builder.block("Short.")
    document = builder.build(id="doc:bad", root="bad", kind="text", title="T", provenance=PROVENANCE)
    section = Section(id="s1", blocks=(Block(id="b1", start=0, end=1000),))
    return document.model_copy(update={"sections": (section,)})


class TestIngest(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        return StageCase(IngestStage, {"adapter": "auto"}, more={"input": {"input": str(SAMPLES), "limit": 4}})


class TestDownload(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        given = {f"https://example.org/{n}": Answer(f"%PDF-1.7 paper {n}") for n in range(3)}
        linked = [
            Payload(id=f"p{n}", format="x", content=b"", provenance=PROVENANCE, links=(url,))
            for n, url in enumerate(given)
        ]
        bad = linked[0].model_copy(update={"id": "bad", "links": ("https://example.org/none",)})
        return StageCase(
            DownloadStage,
            {"required": True},
            {"payloads": linked},
            bad_item=bad,
            more={"services": {"http": FakeHttp(given)}},
        )


def papers(files: FakeFiles) -> list[DownloadedFile]:
    """Notes in the file area; only ``text`` is asked to read them, so no worker is needed."""
    stored = [files.put([f"Paper {n}\n\nText.".encode()], suffix=".txt") for n in range(3)]
    common = {"url": "u", "media_type": "text/plain"}
    return [DownloadedFile(id=f"p{n}#1", root=f"p{n}", **dict(one), **common) for n, one in enumerate(stored)]


class TestConvert(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        files = FakeFiles()
        good = papers(files)
        bad = good[0].model_copy(update={"id": "bad#1", "root": "bad", "uri": "fake:gone"})
        return StageCase(
            ConvertStage, {"format": "text"}, {"files": good}, bad_item=bad, more={"services": {"files": files}}
        )


class TestAttachedFiles(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        files = FakeFiles()
        told = tuple(Attachment(uri=one.uri, media_type=one.media_type, item_id=one.root) for one in papers(files))
        signals = FakeSignals({"ready": True}, attachments={"ready": told})
        return StageCase(
            AttachedFilesStage, {"signal": "ready"}, more={"services": {"signals": signals, "files": files}}
        )


class TestGate(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        condition = Condition(
            clauses=(Clause(field="pdf_ir_ready", value=True), Clause(field="pages", operator="gte", value=1))
        )
        named = NamedCondition(name="ready", condition=condition, timeout_seconds=60, on_timeout="continue")
        return StageCase(GateStage, more={"conditions": {"ready": named}})


class TestGateThatPasses(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        named = NamedCondition(name="ready", condition=Condition(clauses=(Clause(field="x", value=1),)))
        signals = FakeSignals({"x": 1})
        return StageCase(
            GateStage, {"gate": "ready"}, more={"conditions": {"ready": named}, "services": {"signals": signals}}
        )


class TestParse(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        bad = Payload(id="bad", format="clinicaltrials-json", content=b"{", provenance=PROVENANCE)
        return StageCase(
            ParseStage, reads=reads(payloads=payloads()), bad_item=bad, more={"services": {"files": FakeFiles()}}
        )


class TestIrValidation(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        return StageCase(IrValidationStage, reads=reads(documents=documents()), bad_item=unsound())


class TestChunk(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        config = {**HASHING, "max_tokens": 64, "overlap": 8}
        return StageCase(ChunkStage, config, reads(documents=documents()), bad_item=unsound(), more={"services": HTTP})


class TestEmbed(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        return StageCase(EmbedStage, HASHING, reads(chunks=chunks()[:20]), more={"services": HTTP})


class TestIndex(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        given = reads(documents=documents(), chunks=chunks(), embeddings=embeddings(), removed=[RemovedRoot(id="gone")])
        return StageCase(IndexStage, reads=given)


class TestExtract(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        return StageCase(ExtractStage, reads=reads(documents=documents()))


class TestKnowledgeGraph(StageConformance):
    @pytest.fixture
    def case(self, tmp_path: Path) -> StageCase:
        found = run_stage(ExtractStage, documents=documents(), workspace=tmp_path).output
        given = reads(**found, documents=documents(), removed=[RemovedRoot(id="gone")])
        return StageCase(KnowledgeGraphStage, reads=given)


class TestSignal(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        return StageCase(SignalStage, {"signal": "ready", "value": {"pages": 3}})


def test_every_built_in_type_is_here() -> None:
    """A new built-in type is held to the rules too."""
    ours = {claim.origin.name for claim in Installation().stages.claims() if claim.origin.distribution == CORE}
    tested = {re.sub("(?<=[a-z])(?=[A-Z])", "-", name).removeprefix("Test-").lower() for name in globals()}
    assert ours - tested == set()
