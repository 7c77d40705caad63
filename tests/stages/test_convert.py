"""``convert``: files become documents."""

from __future__ import annotations

from typing import Any

import pytest
from handmade_pdfs import encrypted, lines, pdf

from medical_kg.documents.records import DownloadedFile
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stages.convert import ConvertStage
from medical_kg.testing import FakeFiles, StageRun, run_stage

FILES = FakeFiles()


def file(content: bytes, root: str = "openalex:W1", **more: Any) -> DownloadedFile:
    stored = FILES.put([content], suffix=".pdf")
    known = {"url": "https://x/a.pdf", "media_type": "application/pdf", **dict(stored), **more}
    return DownloadedFile(id=f"{root}#1", root=root, **known)


def convert(*files: DownloadedFile, **config: Any) -> StageRun:
    return run_stage(ConvertStage, config, files=list(files), services={"files": FILES}, isolated=True)


def test_a_file_becomes_a_document_of_its_item() -> None:
    """With its own id, its item as root, and where it came from."""
    given = file(pdf(lines("From the PDF.")))
    (document,) = convert(given).output["documents"]
    assert (document.id, document.root, document.text) == ("openalex:W1#1", "openalex:W1", "From the PDF.")
    assert document.provenance.model_dump() == {
        "source": "convert",
        "uri": "https://x/a.pdf",
        "record": "",
        "format": "pdf",
        "sha256": given.sha256,
    }


@pytest.mark.parametrize(
    ("given", "config", "reason"),
    [
        (file(b"<html>", media_type="text/html"), {}, "it is text/html; format pdf reads application/pdf"),
        (file(encrypted()), {}, "encrypted: it needs a password"),
        (file(b"%PDF-", uri="fake:gone"), {}, "the file cannot be read"),
        (file(b"%PDF-", sha256="0" * 64), {}, "the file was changed"),
        (file(b"%PDF-"), {"max_bytes": 4}, "the file is larger than 4 bytes"),
    ],
)
def test_what_cannot_be_read_is_a_dead_letter(given: DownloadedFile, config: dict[str, Any], reason: str) -> None:
    """It names the file and what is wrong; the others go on."""
    good = file(pdf(lines("Good.")), "openalex:W2")
    run = convert(given, good, **{"max_bytes": 10_000, **config} if config.get("max_bytes") != 4 else config)
    (letter,) = [one for one in run.dead_letters if one.item_id == given.id]
    assert reason in letter.message
    assert [one.root for one in run.output["documents"]] == ([] if config else ["openalex:W2"])


def test_outside_of_a_worker_it_does_not_begin() -> None:
    """Native code is not let into the engine."""
    with pytest.raises(UsageError, match="add `environment: limited` to it"):
        run_stage(ConvertStage, files=[], services={"files": FILES})
