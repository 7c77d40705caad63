"""Made-up documents for measurements, and the pack's functions over them in a plain loop."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeSignals
from medical_kg.testing.harness import run_stage

WORDS = [
    "patients",
    "randomised",
    "treatment",
    "placebo",
    "trial",
    "outcome",
    "response",
    "dose",
    "safety",
    "efficacy",
    "baseline",
    "mortality",
    "infection",
    "vaccine",
    "antibody",
    "tumour",
    "cardiac",
    "renal",
    "hepatic",
    "insulin",
    "glucose",
    "pressure",
    "therapy",
    "surgery",
    "diagnosis",
    "cohort",
    "median",
]


def write(folder: Path, count: int, words: int = 60) -> Path:
    """Write ``count`` plain-text documents of about ``words`` words each, the same for the same numbers."""
    folder.mkdir(parents=True)
    draw = random.Random(7)
    for number in range(count):
        sentences = [" ".join(draw.choices(WORDS, k=12)).capitalize() + "." for _ in range(words // 12)]
        (folder / f"{number:06}.txt").write_text(f"Document {number}\n\n{' '.join(sentences)}\n", encoding="utf-8")
    return folder


def plain_loop(source: Path, root: Path, embedder: str) -> None:
    """Do what pipeline ``auto`` does with the pack's own functions, one after the other, with no engine around."""
    installation = Installation()
    workspace = Workspace(root)
    workspace.root.mkdir(parents=True)
    services = {"plugins": installation, "workspace": workspace, "signals": FakeSignals(), "files": workspace.files}

    def stage(name: str, config: dict[str, Any], **reads: Any) -> Any:
        # The harness is the thinnest caller there is: no ledger, no checkpoints, no Dagster.
        return run_stage(installation.stages.get(name).cls, config, services=services, **reads).output

    payloads = stage("ingest", {"adapter": "auto"}, input={"input": str(source)}, limit=10**9)["payloads"]
    documents = stage("parse", {}, payloads=payloads)["documents"]
    documents = stage("ir-validation", {}, documents=documents)["documents"]
    chunks = stage("chunk", {"embedder": embedder}, documents=documents)["chunks"]
    embeddings = stage("embed", {"embedder": embedder}, chunks=chunks)["embeddings"]
    stage("index", {}, documents=documents, chunks=chunks, embeddings=embeddings)
    found = stage("extract", {}, documents=documents)
    stage("knowledge-graph", {}, documents=documents, **found)
