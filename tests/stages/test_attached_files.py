"""``attached-files``: what came with the signal that started a pipeline."""

from __future__ import annotations

import pytest

from medical_kg import Attachment, InputError
from medical_kg.documents.records import DownloadedFile
from medical_kg.stages.attached_files import AttachedFilesStage
from medical_kg.testing import FakeFiles, FakeSignals, StageRun, run_stage

FILES = FakeFiles()
ONE = FILES.put([b"%PDF-1.7 one"], suffix=".pdf")


def attachment(**more: str | None) -> Attachment:
    return Attachment.model_validate({"uri": ONE.uri, "media_type": "application/pdf", "item_id": "w1", **more})


def take(*attachments: Attachment, signal: str | None = None, started_by: str | None = "pdf_downloaded") -> StageRun:
    signals = FakeSignals({"pdf_downloaded": True}, attachments={"pdf_downloaded": attachments})
    asked = {} if started_by is None else {"signal": started_by, "submission": "s1"}
    config = {} if signal is None else {"signal": signal}
    return run_stage(AttachedFilesStage, config, input=asked, services={"signals": signals, "files": FILES}, limit=1)


def test_every_attachment_becomes_a_file_in_one_batch() -> None:
    """Measured as it stands, whatever the limit; the same file for the same item counts once."""
    run = take(attachment(), attachment(sha256=ONE.sha256.upper()), attachment(item_id="w2"))
    common = {"url": ONE.uri, "uri": ONE.uri, "sha256": ONE.sha256, "size": 12, "media_type": "application/pdf"}
    assert run.output["files"] == [
        DownloadedFile(id=f"{root}#{ONE.sha256[:16]}", root=root, **common) for root in ("w1", "w2")
    ]
    assert (run.cursor, run.dead_letters) == (None, ())


def test_the_same_files_are_taken_again() -> None:
    """They are a request, and whoever made it waits for the answer."""
    assert take(attachment()).process_all


def test_bad_attachments_are_rejected_alone() -> None:
    """One without an item, one that is gone, one that is another file; the rest is taken."""
    run = take(
        attachment(item_id=None),
        attachment(uri="fake:gone", item_id="w2"),
        attachment(sha256="0" * 64, item_id="w3"),
        attachment(),
    )
    assert [one.root for one in run.output["files"]] == ["w1"]
    told = [(one.item_id, one.root, one.message) for one in run.dead_letters]
    assert [(item, root) for item, root, _ in told] == [(ONE.uri, ONE.uri), ("w2", "w2"), ("w3", "w3")]
    for (*_, message), words in zip(told, ("does not name the item", "cannot be read", "sha256"), strict=True):
        assert words in message


def test_a_signal_without_attachments_gives_nothing() -> None:
    """There was nothing to convert, which is worth an answer too."""
    assert take().output["files"] == []


@pytest.mark.parametrize(
    ("signal", "started_by", "reason"),
    [
        (None, None, "no signal has started submission s-test: pipeline test is started by a signal"),
        ("other", "pdf_downloaded", "the signal 'other' has not been told to submission s-test"),
    ],
)
def test_without_its_signal_it_fails(signal: str | None, started_by: str | None, reason: str) -> None:
    """Run by hand, or waiting for another signal than was told."""
    with pytest.raises(InputError, match=reason):
        take(signal=signal, started_by=started_by)
