"""What the crash suite runs: pipelines as data, and which command a user would give next."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from databases import Ledger

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SHIPPED = Path(__file__).resolve().parents[2] / "src" / "medical_kg" / "pipelines"
HASHING = ("--set", "chunk.embedder=hashing", "--set", "embed.embedder=hashing")
SINKS = ("index", "knowledge-graph")
TEXTS = {"W1": "Metformin lowers blood sugar in type 2 diabetes.", "W2": "Aspirin thins the blood."}


@dataclass(frozen=True)
class Scenario:
    """A pipeline and what it needs.

    ``files`` are the shipped pipeline files it uses, with changes made to their text; ``put`` writes its input into a
    folder and returns the path; ``settings`` are for a workspace, given that folder.
    """

    name: str
    pipeline: str
    files: Mapping[str, tuple[tuple[str, str], ...]]
    put: Callable[[Path], Path]
    settings: Callable[[Path], str] = field(default=lambda _: "")
    apart: bool = False

    @cached_property
    def specs(self) -> Mapping[str, Any]:
        """The pipelines as their files say, by name."""
        return {name: yaml.safe_load(self.text(name)) for name in self.files}

    @property
    def stages(self) -> list[str]:
        """The stages of every pipeline, the main one's first."""
        return [stage["name"] for spec in self.specs.values() for stage in spec["stages"]]

    @property
    def sinks(self) -> list[str]:
        """The stages that write to index or graph."""
        stages = [stage for spec in self.specs.values() for stage in spec["stages"]]
        return [stage["name"] for stage in stages if stage["type"] in SINKS]

    def text(self, name: str) -> str:
        """A pipeline's file."""
        text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
        for old, new in self.files[name]:
            assert old in text, f"{name}.yaml no longer says {old!r}"
            text = text.replace(old, new)
        return text

    def run(self, given: Path) -> tuple[object, ...]:
        """The words that run the main pipeline."""
        return ("run", self.pipeline, *HASHING, "--input", given)

    def next_words(self, ledger: Ledger, given: Path) -> tuple[object, ...] | None:
        """What a user would type now; nothing once everything has ended.

        The same command again, or, while that waits, what goes on with the submissions that it has led to.
        """
        main = [row for row in ledger.submissions if row["pipeline"] == self.pipeline]
        others = [row for row in ledger.submissions if row["pipeline"] != self.pipeline]
        unfinished = [row for row in others if row["status"] != "completed"]
        if main and main[0]["status"] == "completed" and not unfinished:
            return None
        if main and main[0]["status"] in ("waiting", "completed") and unfinished:
            return ("submissions", "resume", unfinished[0]["id"])
        return self.run(given)


def _documents(folder: Path) -> Path:
    for name in ("NCT05894525.json", "NCT05894590.json", "NCT05894499.json"):
        shutil.copy(SAMPLES / "trials" / name, folder)
    return folder


def _works(folder: Path) -> Path:
    """Two works with a PDF beside them, one without."""
    from handmade_pdfs import lines, pdf

    papers = folder / "papers"
    papers.mkdir()
    works: list[dict[str, Any]] = [{"id": "https://openalex.org/W3", "title": "Work W3"}]
    for ident, text in TEXTS.items():
        path = papers / f"{ident}.pdf"
        path.write_bytes(pdf(lines(text)))
        place = {"pdf_url": path.as_uri()}
        mesh = [{"descriptor_ui": "D008687", "descriptor_name": "Metformin", "is_major_topic": True}]
        work = {"id": f"https://openalex.org/{ident}", "title": f"Work {ident}", "mesh": mesh}
        works.append(work | {"best_oa_location": place})
    (folder / "works.json").write_text(json.dumps({"results": works}), encoding="utf-8")
    return folder / "works.json"


def _may_read(given: Path) -> str:
    return f"[http]\nallow_roots = [{json.dumps(str(given.parent / 'papers'))}]\n"


def _two_at_a_time(name: str) -> tuple[str, str]:
    """Three items make two batches."""
    return (f"name: {name}\n", f"name: {name}\nbatch_size: 2\n")


AUTO = Scenario("auto", "auto", {"auto": (_two_at_a_time("auto"),)}, _documents)
APART = Scenario(
    "auto-apart",
    "auto",
    {
        "auto": (
            _two_at_a_time("auto"),
            ("{name: chunk, type: chunk,", "{name: chunk, type: chunk, environment: process,"),
        )
    },
    _documents,
    apart=True,
)
TWO_PHASE = Scenario(
    "pdf-two-phase",
    "pdf-two-phase",
    {"pdf-two-phase": (_two_at_a_time("pdf-two-phase"),), "pdf-convert": ()},
    _works,
    _may_read,
    apart=True,
)
SCENARIOS = {scenario.name: scenario for scenario in (AUTO, APART, TWO_PHASE)}
