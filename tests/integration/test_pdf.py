"""PDFs through whole pipelines, read in worker processes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from handmade_pdfs import SHOWN, encrypted, lines, pdf

from medical_kg.orchestration import Workspace, submit
from medical_kg.orchestration.api import Report

FOLDER = """
name: folder
version: "1"
batch_size: 50
stages:
  - {name: ingest, type: ingest, config: {adapter: files, options: {formats: [pdf]}}}
  - {name: parse, type: parse, depends_on: [ingest]ENV}
  - {name: ir_validation, type: ir-validation, depends_on: [parse]}
"""
LIMITED = ", environment: limited"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace of its own."""
    (tmp_path / "w" / "pipelines").mkdir(parents=True)
    made = Workspace(tmp_path / "w")
    yield made
    made.close()


def read_folder(workspace: Workspace, folder: Path, environment: str = LIMITED) -> Report:
    file = workspace.root / "pipelines" / "folder.yaml"
    file.write_text(FOLDER.replace("ENV", environment), encoding="utf-8")
    return submit(workspace, "folder", input=folder, engine="plain")


def kinds(workspace: Workspace, report: Report) -> Mapping[str, str]:
    """What kind of unreadable file each dead letter is."""
    letters = workspace.ledger.dead_letters(report.submission.id)
    assert {one.error for one in letters} <= {"ItemRejected"}
    return {one.item_id: one.message.partition("): ")[2].partition(":")[0] for one in letters}


def parsed(report: Report) -> float:
    return next(stage for stage in report.stages if stage.stage == "ir_validation").counts["documents"]


def test_a_folder_of_pdfs_is_read_in_a_worker(workspace: Workspace, tmp_path: Path) -> None:
    """Good ones become documents; each bad one is a dead letter of its own, with the right reason."""
    folder = tmp_path / "papers"
    folder.mkdir()
    good = pdf(lines("Metformin lowers blood sugar."))
    for name, content in {"good": good, "locked": encrypted(), "scan": pdf(SHOWN), "cut": good[:150]}.items():
        (folder / f"{name}.pdf").write_bytes(content)
    report = read_folder(workspace, folder)
    assert report.submission.status == "completed"
    assert parsed(report) == 1
    assert kinds(workspace, report) == {
        "file:locked.pdf": "encrypted",
        "file:scan.pdf": "scanned",
        "file:cut.pdf": "damaged",
    }


def test_outside_of_a_worker_pdfs_are_not_read(workspace: Workspace, tmp_path: Path) -> None:
    """The stage fails and says what to add to it, since a bad file could end the engine."""
    (tmp_path / "a.pdf").write_bytes(pdf(lines("Text.")))
    report = read_folder(workspace, tmp_path / "a.pdf", "")
    assert report.submission.status == "failed"
    (error,) = report.errors
    assert "add `environment: limited` to it" in error


def test_real_articles_and_ugly_files(workspace: Workspace, shared_data: Path, tmp_path: Path) -> None:
    """None of them crashes or hangs: all articles and seven ugly files are read, the others told apart."""
    folder = tmp_path / "papers"
    for kind in ("articles", "ugly"):
        shutil.copytree(shared_data / "pdf" / kind, folder / kind)
    report = read_folder(workspace, folder)
    assert report.submission.status == "completed"
    found = kinds(workspace, report)
    articles, ugly = (len(list((folder / kind).iterdir())) for kind in ("articles", "ugly"))
    assert parsed(report) == articles + ugly - len(found)
    assert all(item.startswith("file:ugly/") for item in found)
    told = list(found.values())
    assert {kind: told.count(kind) for kind in told} == {"damaged": 2, "empty": 3, "encrypted": 2, "scanned": 2}
