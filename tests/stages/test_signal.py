"""``signal``: tells a fact to its own submission or to another pipeline."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import pytest
from pydantic import ValidationError

from medical_kg import Attachment
from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import CONVERTED, DownloadedFile
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stages.signal import SignalConfig, SignalStage
from medical_kg.testing import FakeFiles, FakeSignals, run_stage
from medical_kg.testing.fakes import Told

PROVENANCE = Provenance(source="test", uri="a")


class Ears(FakeSignals):
    """The signals service, with any number of hearers."""

    hearers = 1

    def tell(self, name: str, value: Any, **more: Any) -> int:
        super().tell(name, value, **more)
        return self.hearers


def tell(ears: Ears, area: FakeFiles | None = None, /, **config: Any) -> Any:
    reads = {name: config.pop(name) for name in ("files", "documents") if name in config}
    return run_stage(SignalStage, config, services={"signals": ears, "files": area or FakeFiles()}, **reads).output


def document(ident: str, root: str) -> Document:
    builder = DocumentBuilder()
    builder.block("Text.")
    return builder.build(id=ident, root=root, kind="text", title="", provenance=PROVENANCE)


def test_tells_its_own_submission() -> None:
    """Without a pipeline the signal goes to the stage's own submission, true unless a value is given."""
    ears = Ears()
    assert dict(tell(ears, signal="pdf_downloaded")) == {}
    tell(ears, signal="ledger.pages", value=12)
    assert ears.told == [Told("pdf_downloaded", value=True), Told("pages", 12)]


def test_tells_another_pipeline(caplog: pytest.LogCaptureFixture) -> None:
    """With a pipeline its unfinished submissions are told; the log says how many."""
    caplog.set_level(logging.INFO)
    ears = Ears()
    ears.hearers = 3
    tell(ears, signal="ready", pipeline="pdf-two-phase")
    assert ears.told == [Told("ready", value=True, pipeline="pdf-two-phase")]
    assert "told ready to pipeline 'pdf-two-phase': 3 submission(s)" in caplog.text


@pytest.mark.parametrize("audience", [{"pipeline": "pdf-two-phase"}, {"reply": True}])
def test_nobody_there_is_said(caplog: pytest.LogCaptureFixture, audience: dict[str, Any]) -> None:
    """A signal nobody could hear is worth a warning, not an error."""
    ears = Ears()
    ears.hearers = 0
    tell(ears, signal="ready", **audience)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no unfinished submission" in caplog.text


def test_files_are_sent_along(caplog: pytest.LogCaptureFixture) -> None:
    """Each with its item, type and digest; none is fine too."""
    caplog.set_level(logging.INFO)
    ears = Ears()
    paper = DownloadedFile(id="w#1", root="w", url="u", uri="x:1", sha256="ab", size=3, media_type="application/pdf")
    tell(ears, signal="pdf_downloaded", attach="files", files=[paper])
    tell(ears, signal="pdf_downloaded", attach="files", files=[])
    attachment = Attachment(uri="x:1", media_type="application/pdf", sha256="ab", item_id="w")
    assert [one.attachments for one in ears.told] == [(attachment,), ()]
    assert "told pdf_downloaded to this submission with 1 attachment(s)" in caplog.text


def test_documents_are_sent_along_in_a_reply(caplog: pytest.LogCaptureFixture) -> None:
    """Stored by content, the first of each item, in order, as ``parse`` takes them."""
    caplog.set_level(logging.INFO)
    ears, files = Ears(), FakeFiles()
    given = [document("b#1", "b"), document("a#1", "a"), document("b#2", "b")]
    tell(ears, files, signal="pdf_ir_ready", attach="documents", reply=True, documents=given)
    (told,) = ears.told
    assert (told.reply, [one.item_id for one in told.attachments]) == (True, ["b", "a"])
    assert {one.media_type for one in told.attachments} == {CONVERTED}
    stored = files.open(told.attachments[0].uri).read()
    assert hashlib.sha256(stored).hexdigest() == told.attachments[0].sha256
    assert Document.model_validate_json(stored) == given[0]
    assert "to the submission that started this one with 2 attachment(s)" in caplog.text


@pytest.mark.parametrize("what", ["files", "documents"])
def test_what_nobody_writes_cannot_be_sent(what: str) -> None:
    """The stage fails and says so: nothing attached would look as if there was nothing."""
    with pytest.raises(UsageError, match=f"is to attach {what}, but no stage before it writes {what}"):
        tell(Ears(), signal="x", attach=what)


TWO = {"signal": "x", "pipeline": "p", "reply": True}


@pytest.mark.parametrize(
    "config", [{}, {"signal": ""}, {"signal": "x", "pipeline": ""}, {"signal": "x", "to": "y"}, TWO]
)
def test_wrong_config_is_refused(config: dict[str, Any]) -> None:
    """The signal needs a name, and unknown fields are refused."""
    with pytest.raises(ValidationError):
        SignalConfig(**config)
