"""PDFs in two phases: download, wait while another pipeline (or a foreign program) converts, then index and graph."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from handmade_pdfs import encrypted, lines, pdf

from medical_kg.documents.ir import Document
from medical_kg.orchestration import Workspace, resume, submit
from medical_kg.orchestration.api import EngineName, Report, replay, signal
from medical_kg.orchestration.contract import Attachment
from medical_kg.orchestration.contract.errors import IllegalTransition
from medical_kg.orchestration.ledger.contract import Submission
from medical_kg.orchestration.pipeline.catalog import shipped_folder
from medical_kg.testing import FakeClock

HASHING = {"chunk.embedder": "hashing", "embed.embedder": "hashing"}
CONVERTER = Path(__file__).with_name("foreign_converter.py")
TEXTS = {"W1": "Metformin lowers blood sugar.", "W2": "Aspirin thins the blood."}


@dataclass
class Place:
    """A workspace with three works: two with a PDF on this machine, one without."""

    workspace: Workspace
    works: Path
    clock: FakeClock

    def run(self, pipeline: str = "pdf-two-phase", **more: Any) -> Report:
        return submit(
            self.workspace, pipeline, **{"input": self.works, "engine": "plain", "overrides": HASHING, **more}
        )

    def resume(self, submission: Submission, engine: EngineName = "plain") -> Report:
        return resume(self.workspace, submission.id, engine=engine)

    def started(self, report: Report) -> list[Submission]:
        return self.workspace.ledger.started_by(report.submission.id)

    def letters(self, submission: Submission) -> Mapping[str, str]:
        return {one.item_id: one.message for one in self.workspace.ledger.dead_letters(submission.id)}

    def documents(self, report: Report, stage: str = "ir_validation") -> dict[str, Document]:
        found = {}
        for batch in report.batches:
            ref = self.workspace.ledger.results(batch.id)[stage].outputs["documents"]
            rows = self.workspace.checkpoints.get(ref.digest, ref.suffix).splitlines()
            found |= {one.root: one for one in map(Document.model_validate_json, rows)}
        return found

    def attached(self, started: Submission) -> Sequence[Attachment]:
        ((_, told),) = self.workspace.ledger.told(started.id)
        return told.attachments

    def convert_elsewhere(self, report: Report) -> None:
        """Run the foreign program; it ends with an error unless it is heard."""
        told = [sys.executable, "-m", "medical_kg", "--workspace", str(self.workspace.root)]
        command = [sys.executable, "-I", str(CONVERTER), report.submission.id, str(self.workspace.root), *told]
        subprocess.run(command, check=True, cwd=self.works.parent / "papers")

    def write(self, name: str, *changes: tuple[str, str], like: str = "pdf-two-phase") -> None:
        """Write a pipeline like a shipped one."""
        text = (shipped_folder() / f"{like}.yaml").read_text(encoding="utf-8")
        for old, new in (("name: " + like, "name: " + name), *changes):
            assert old in text
            text = text.replace(old, new)
        (self.workspace.root / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")


def work(ident: str, pdf_url: str | None) -> dict[str, Any]:
    place = {"pdf_url": pdf_url} if pdf_url else {}
    return {"id": f"https://openalex.org/{ident}", "title": f"Work {ident}", "best_oa_location": place}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """The works, their files, and a workspace that may fetch them."""
    papers, root = tmp_path / "papers", tmp_path / "w"
    papers.mkdir()
    (root / "pipelines").mkdir(parents=True)
    (root / "medical_kg.toml").write_text('[http]\nallow_roots = ["../papers"]\n', encoding="utf-8")
    for ident, text in TEXTS.items():
        (papers / f"{ident}.pdf").write_bytes(pdf(lines(text)))
    works = [work(ident, (papers / f"{ident}.pdf").as_uri()) for ident in TEXTS] + [work("W3", None)]
    (tmp_path / "works.json").write_text(json.dumps({"results": works}), encoding="utf-8")
    clock = FakeClock(time.time())  # near that of the programs that tests run beside
    workspace = Workspace(root, clock=clock)
    yield Place(workspace, tmp_path / "works.json", clock)
    workspace.close()


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_two_pipelines_hand_the_files_to_each_other(place: Place, engine: EngineName) -> None:
    """The download starts the converter, whose word lets the first pipeline go on with full texts, to the graph."""
    report = place.run(engine=engine)
    assert report.submission.status == "waiting"
    (convert,) = place.started(report)
    assert (convert.pipeline, convert.status, convert.tenant) == ("pdf-convert", "pending", "default")
    assert {**convert.input, "fact": None} == {
        "fact": None,
        "signal": "pdf_downloaded",
        "submission": report.submission.id,
        "batch": report.batches[0].id,
    }
    assert place.resume(convert, engine).submission.status == "completed"
    done = place.resume(report.submission, engine)
    assert (done.submission.status, done.dead_letters) == ("completed", 0)
    found = place.documents(done)
    assert {root: one.text for root, one in found.items()} == {
        **{f"openalex:{ident}": text for ident, text in TEXTS.items()},
        "openalex:W3": "Work W3",
    }
    full = found["openalex:W1"]
    assert (full.id, full.kind, full.title, full.sections[0].title) == ("openalex:W1", "article", "Work W1", "page 1")
    assert full.metadata["text_from"]["format"] == "pdf"


def test_an_unreadable_pdf_is_a_dead_letter_in_both(place: Place) -> None:
    """The converter says why, the waiting pipeline that nothing came; the other works go on."""
    (place.works.parent / "papers" / "W2.pdf").write_bytes(encrypted())
    report = place.run()
    (convert,) = place.started(report)
    assert place.resume(convert).submission.status == "completed"
    (why,) = place.letters(convert).values()
    assert "encrypted: it needs a password" in why
    done = place.resume(report.submission)
    assert done.submission.status == "completed"
    letters = place.letters(report.submission)
    assert list(letters) == ["openalex:W2"]
    assert "no converter's document of it has come" in letters["openalex:W2"]
    assert set(place.documents(done)) == {"openalex:W1", "openalex:W3"}


def test_each_batch_has_its_own_conversion(place: Place) -> None:
    """One batch's word does not open another batch's gate."""
    place.write("pdf-two-phase", ("name: pdf-two-phase", "batch_size: 1\nname: pdf-two-phase"))
    report = place.run()
    first, second, third = place.started(report)
    assert [one.input["batch"] for one in (first, second, third)] == [one.id for one in report.batches]
    place.resume(second)
    statuses = [one.status for one in place.resume(report.submission).batches]
    assert statuses == ["waiting", "completed", "waiting"]
    place.resume(first)
    place.resume(third)
    done = place.resume(report.submission)
    assert (done.submission.status, done.dead_letters) == ("completed", 0)
    assert place.documents(done)["openalex:W2"].text == TEXTS["W2"]


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_what_is_not_ready_in_time_is_a_dead_letter(place: Place, engine: EngineName) -> None:
    """With ``on_timeout: continue`` the rest goes on; what comes late is kept, and a replay reads it."""
    place.write("patient", ("resume_stage: parse", "resume_stage: parse\n    on_timeout: continue"))
    report = place.run("patient")
    assert report.submission.status == "waiting"
    place.clock.advance(901)
    done = place.resume(report.submission)
    assert done.submission.status == "completed"
    assert set(place.letters(done.submission)) == {"openalex:W1", "openalex:W2"}
    assert set(place.documents(done)) == {"openalex:W3"}
    (convert,) = place.started(report)
    assert place.resume(convert).submission.status == "completed"
    late = place.workspace.ledger.signals(report.batches[0].id)["pdf_ir_ready"]
    assert {one.item_id for one in late.attachments} == {"openalex:W1", "openalex:W2"}
    with pytest.raises(IllegalTransition):
        signal(place.workspace, report.submission.id, "pdf_ir_ready")
    replayed = replay(place.workspace, report.submission.id, engine=engine)
    assert (replayed.submission.status, len(replayed.batches)) == ("completed", 2)
    letters = place.workspace.ledger.dead_letters(report.submission.id)
    assert [one.status for one in letters] == ["resolved", "resolved"]
    assert {root: one.text for root, one in place.documents(replayed).items()} == {
        **{f"openalex:{ident}": text for ident, text in TEXTS.items()},
        "openalex:W3": "Work W3",
    }


def test_a_foreign_program_may_be_late(place: Place) -> None:
    """A completed submission takes its documents, too, and a replay reads them."""
    place.write("pdf-convert", ("- {signal: pdf_downloaded}", "- {signal: nobody_tells_this}"), like="pdf-convert")
    place.write("patient", ("resume_stage: parse", "resume_stage: parse\n    on_timeout: continue"))
    report = place.run("patient")
    place.clock.advance(901)
    assert place.resume(report.submission).submission.status == "completed"
    place.convert_elsewhere(report)
    replayed = replay(place.workspace, report.submission.id, engine="plain")
    assert place.documents(replayed)["openalex:W1"].text == "Converted elsewhere: openalex:W1"


def test_a_converter_that_is_replayed_adds_to_what_it_has_told(place: Place) -> None:
    """The documents that it had told before are not lost by the word for the rest."""
    paper = place.works.parent / "papers" / "W2.pdf"
    report = place.run()
    (convert,) = place.started(report)
    stored = next(
        one
        for one in place.workspace.ledger.signals(report.batches[0].id)["pdf_downloaded"].attachments
        if one.sha256 == hashlib.sha256(paper.read_bytes()).hexdigest()
    )
    area = place.workspace.root / "files" / stored.uri.removeprefix("file-area:")[:2]
    (file,) = area.glob(stored.uri.removeprefix("file-area:"))
    hidden = file.rename(file.with_suffix(".hidden"))
    assert place.resume(convert).submission.status == "completed"
    assert list(place.letters(convert)) == ["openalex:W2"]
    hidden.rename(file)
    replay(place.workspace, convert.id, engine="plain", from_input=True)
    done = place.resume(report.submission)
    assert (done.submission.status, done.dead_letters) == ("completed", 0)
    assert {one: place.documents(done)[f"openalex:{one}"].text for one in TEXTS} == TEXTS


def test_two_pipelines_with_different_gates(place: Place) -> None:
    """Each waits for its own signals: a reviewer's word opens one of them only."""
    place.write(
        "reviewed",
        ("name: pdf_ir_ready", "name: reviewed"),
        ("gate_pdf_ir_ready", "gate_reviewed"),
        ("{gate: pdf_ir_ready}", "{gate: reviewed}"),
        (
            "{field: pdf_ir_ready, equals: true,",
            "{mode: all, clauses: [{field: pdf_ir_ready, value: true}, {field: reviewer, operator: in, value: [ann, bo]}],",
        ),
    )
    plain, reviewed = place.run(), place.run("reviewed")
    for report in (plain, reviewed):
        (convert,) = place.started(report)
        place.resume(convert)
    assert place.resume(plain.submission).submission.status == "completed"
    assert place.resume(reviewed.submission).submission.status == "waiting"
    signal(place.workspace, reviewed.submission.id, "reviewer", "ann")
    assert place.resume(reviewed.submission).submission.status == "completed"


def test_telling_again_starts_nothing_again(place: Place) -> None:
    """A repeated stage finds what it started; other attachments are another fact."""
    report = place.run()
    (convert,) = place.started(report)
    ledger, submission = place.workspace.ledger, report.submission
    told = ledger.signals(report.batches[0].id)["pdf_downloaded"]
    again = {"attachments": told.attachments, "batch": report.batches[0].id}
    signal(place.workspace, submission.id, "pdf_downloaded", **again)
    assert [one.id for one in place.started(report)] == [convert.id]
    for batch in (report.batches[0].id, None):
        signal(place.workspace, submission.id, "pdf_downloaded", attachments=told.attachments[:1], batch=batch)
    _, *others = place.started(report)
    assert [[one.item_id for one in place.attached(other)] for other in others] == [["openalex:W1"]] * 2


def test_tenants_are_apart(place: Place) -> None:
    """What a signal starts belongs to the tenant of the submission it was told to."""
    first, second = place.run(), place.run(tenant="other")
    assert [one.tenant for one in place.started(first)] == ["default"]
    assert [one.tenant for one in place.started(second)] == ["other"]
    (convert,) = place.started(second)
    place.resume(convert)
    assert place.resume(first.submission).submission.status == "waiting"
    assert place.resume(second.submission).submission.status == "completed"


def test_a_foreign_program_converts(place: Place) -> None:
    """It knows the contract only: files and signals by the command line; none of our code is imported there."""
    place.write("pdf-convert", ("- {signal: pdf_downloaded}", "- {signal: nobody_tells_this}"), like="pdf-convert")
    report = place.run()
    assert place.started(report) == []
    place.convert_elsewhere(report)
    place.clock.advance(600)
    done = place.resume(report.submission)
    assert (done.submission.status, done.dead_letters) == ("completed", 0)
    assert place.documents(done)["openalex:W1"].text == "Converted elsewhere: openalex:W1"
    assert place.documents(done)["openalex:W1"].title == "Work W1"


def test_attachments_must_be_what_was_told(place: Place) -> None:
    """A signal by hand with a missing file starts the pipeline; the file is a dead letter there."""
    report = place.run()
    gone = Attachment(uri="file-area:" + "0" * 64 + ".pdf", media_type="application/pdf", item_id="openalex:W9")
    signal(place.workspace, report.submission.id, "pdf_downloaded", attachments=[gone])
    *_, convert = place.started(report)
    assert place.resume(convert).submission.status == "completed"
    assert "cannot be read" in place.letters(convert)["openalex:W9"]
