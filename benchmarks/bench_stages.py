"""Every built-in stage of the main pipeline over real documents: how many it does in a second of CPU time.

The documents are those of ``../shared/data`` where that folder is there, else the samples; ``parse`` is measured per format.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.measure import Row
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeHttp, FakeSignals
from medical_kg.testing.harness import run_stage

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
FOLDERS = ("ctgov", "pubmed", "jats", "openalex", "pdf/articles")
ROUNDS = 3
CHUNKS = 100
"""How many chunks are embedded, spread evenly over the documents: the model takes nearly all the time there is."""


class Took(NamedTuple):
    """What a stage was given and used in a round: documents, the same in its own unit, CPU seconds."""

    documents: float
    items: int
    unit: str
    seconds: float


def rows() -> Iterator[Row]:
    """Take all stages in turn, round by round; the median of the rounds is told."""
    sources = [SHARED / folder for folder in FOLDERS] if SHARED.exists() else [ROOT / "samples"]
    rounds = [_round(sources) for _ in range(ROUNDS)]
    for name, took in rounds[0].items():
        seconds = median(one[name].seconds for one in rounds)
        spread = [one[name].seconds for one in rounds]
        per = "" if took.unit == "documents" else f", {took.items / seconds:,.0f} {took.unit}"
        yield Row(
            f"{name}, {took.documents:,.0f} documents in {seconds:.2f} s ({min(spread):.2f} to {max(spread):.2f})",
            f"{took.documents / seconds:,.1f} documents per CPU-second{per}",
            "",
            "",
            kept=True,
        )


def _round(sources: list[Path]) -> dict[str, Took]:
    with tempfile.TemporaryDirectory() as name:
        return _Stages(Path(name)).all(sources)


class _Stages:
    """The stages over one workspace, as the engine calls them: contract checks, guards and records, without ledger."""

    def __init__(self, root: Path) -> None:
        self._installation = Installation()
        self._workspace = Workspace(root)
        self._services = {
            "plugins": self._installation,
            "workspace": self._workspace,
            "signals": FakeSignals(),
            "http": FakeHttp(),
            "files": self._workspace.files,
        }

    def all(self, sources: list[Path]) -> dict[str, Took]:
        """Take the sources through every stage; return what each took."""
        took = {}
        seconds, payloads = 0.0, []
        for source in sources:
            config = {"adapter": "auto", "options": {"native": True}}
            spent, out = self._stage("ingest", config, input={"input": str(source)}, limit=10**9)
            seconds, payloads = seconds + spent, [*payloads, *out["payloads"]]
        took["ingest"] = Took(len(payloads), len(payloads), "documents", seconds)
        documents = []
        for kind, some in sorted(_by_format(payloads).items()):
            seconds, out = self._stage("parse", {}, payloads=some, isolated=True)
            documents += out["documents"]
            took[f"parse, {kind}"] = Took(len(some), len(some), "documents", seconds)
        return took | self._rest(documents)

    def _rest(self, documents: list[Any]) -> dict[str, Took]:
        seconds, out = self._stage("ir-validation", {}, documents=documents)
        usable = list({one.id: one for one in out["documents"]}.values())
        took = {"ir-validation": Took(len(documents), len(documents), "documents", seconds)}
        count = len(usable)
        seconds, out = self._stage("chunk", {}, documents=usable)
        chunks = out["chunks"]
        took["chunk"] = Took(count, len(chunks), "chunks", seconds)
        seconds, out = self._stage("extract", {"vocabularies": ["disease-ontology"]}, documents=usable)
        took["extract"] = Took(count, len(out["claims"]), "claims", seconds)
        seconds, _ = self._stage("knowledge-graph", {}, documents=usable, **out)
        took["knowledge-graph"] = Took(count, len(out["claims"]), "claims", seconds)
        some = chunks[:: max(1, len(chunks) // CHUNKS)]
        seconds, _ = self._stage("embed", {}, chunks=some)
        took["embed"] = Took(count * len(some) / len(chunks), len(some), "chunks", seconds)
        _, out = self._stage("embed", {"embedder": "hashing"}, chunks=chunks)
        seconds, _ = self._stage("index", {}, documents=usable, chunks=chunks, embeddings=out["embeddings"])
        took["index"] = Took(count, len(chunks), "chunks", seconds)
        return took

    def _stage(self, name: str, config: dict[str, Any], **reads: Any) -> tuple[float, Any]:
        stage = self._installation.stages.get(name).cls
        begun = time.process_time()
        output = run_stage(stage, config, services=self._services, **reads).output
        return time.process_time() - begun, output


def _by_format(payloads: list[Any]) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for payload in payloads:
        found[payload.format].append(payload)
    return found
