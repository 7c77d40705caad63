"""The stage ``embed`` beside a bare loop of tokenizer and model over the same texts, and its peak memory."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import documents
from benchmarks.measure import Row, python

TEXTS = 60
ROUNDS = 5
LEAST_SHARE = 0.97
MOST_MIB = 700

MEMORY = """
from pathlib import Path
from medical_kg.orchestration.api import submit
from medical_kg.orchestration.workspace import Workspace
report = submit(Workspace(Path({root!r})), "auto", input={source!r}, engine="plain")
assert report.submission.status == "completed", report.errors
print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])
"""


def rows() -> Iterator[Row]:
    """Measure the share of the bare model's throughput, round by round in turn, and peak memory of a whole run."""
    texts = [f"{number} {one}" for number in range(TEXTS // 12) for one in _texts()]
    ours, bare = _stage(texts), _bare(texts)
    pairs = [(_seconds(bare), _seconds(ours)) for _ in range(ROUNDS)]
    share = median(one / other for one, other in pairs)
    rate = len(texts) / median(other for _, other in pairs)
    yield Row(
        f"embed, {len(texts)} texts of 5 to 200 words, per CPU-second",
        f"{rate:.1f} ({share:.1%})",
        f"{len(texts) / median(one for one, _ in pairs):.1f}",
        f"{LEAST_SHARE:.0%}",
        share >= LEAST_SHARE,
    )
    with tempfile.TemporaryDirectory() as name:
        source = documents.write(Path(name) / "input", 40)
        code = MEMORY.format(root=str(Path(name) / "work"), source=str(source))
        done = subprocess.run(python(code), check=True, capture_output=True, text=True)
    peak = int(done.stdout.split()[-1]) / 1024
    yield Row(
        "peak memory of auto with the default embedder", f"{peak:.0f} MiB", "", f"{MOST_MIB} MiB", peak < MOST_MIB
    )


def _texts() -> list[str]:
    said = "the effect of tirzepatide on glycated haemoglobin in adults with type 2 diabetes and obesity was studied"
    words = said.split()
    return [
        " ".join(words[at % len(words)] for at in range(length))
        for length in (5, 12, 25, 40, 60, 80, 100, 120, 140, 160, 180, 200)
    ]


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _stage(texts: list[str]) -> Callable[[], Any]:
    """The stage as the engine calls it: contract checks, guards, records and all."""
    from medical_kg.documents.records import Chunk
    from medical_kg.stages.embed import EmbedStage
    from medical_kg.testing import FakeHttp, run_stage

    chunks = [
        Chunk(id=f"d#{at}", root="r", document="d", ordinal=at, start=0, end=len(text), section="", text=text, tokens=1)
        for at, text in enumerate(texts)
    ]
    services = {"http": FakeHttp()}
    return lambda: run_stage(EmbedStage, services=services, chunks=chunks)


def _bare(texts: list[str]) -> Callable[[], Any]:
    """Tokenizer and model alone, one text at a time, pooled and normalised."""
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    from medical_kg.embedders import minilm

    def work() -> None:
        # Tokenizer and model are loaded here too, as the stage loads them: it is a new instance each time.
        tokenizer = Tokenizer.from_file(str(Path(minilm.__file__).parent / "data" / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(256)
        for text in texts:
            ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            pooled = session.run(None, feed)[0][0].mean(axis=0)
            pooled / np.linalg.norm(pooled)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = minilm._packaged_model().read_bytes()  # noqa: SLF001  # the same file
    session = onnxruntime.InferenceSession(model, options)
    return work
