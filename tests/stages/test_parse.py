"""``parse``: payloads become documents; a converter's document is preferred (scenario 19)."""

from __future__ import annotations

import hashlib
import json

import pytest
from handmade_pdfs import lines, pdf

from medical_kg import Attachment
from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import DownloadedFile, Payload
from medical_kg.orchestration.contract.errors import PluginNotFound, UsageError
from medical_kg.stages import parse as parse_module
from medical_kg.stages.parse import CONVERTED, ParseStage
from medical_kg.testing import FakeFiles, FakeSignals, run_stage

PROVENANCE = Provenance(source="test", uri="a")


def payload(ident: str, format_: str, content: str) -> Payload:
    return Payload(id=ident, format=format_, content=content.encode(), provenance=PROVENANCE)


STUDY = payload(
    "nct:NCT1", "clinicaltrials-json", json.dumps({"protocolSection": {"identificationModule": {"nctId": "NCT1"}}})
)
ARTICLE = payload(
    "pmid:1", "pubmed-xml", "<PubmedArticle><MedlineCitation><PMID>1</PMID><Article/></MedlineCitation></PubmedArticle>"
)
FULL_TEXT = payload("doi:10.1/x", "jats", "<article><front><article-meta/></front><body><p>x</p></body></article>")
NOTE = payload("file:a.txt", "text", "Title\n\nText.")


def converted(root: str = "file:a.pdf") -> Document:
    builder = DocumentBuilder()
    builder.block("From the PDF")
    return builder.build(id="doi:10.1/pdf", root=root, kind="article", title="T", provenance=PROVENANCE)


def attached(
    content: bytes, item_id: str = STUDY.id, media_type: str = CONVERTED, sha256: str | None = None
) -> tuple[FakeSignals, FakeFiles]:
    files = FakeFiles()
    uri = files.put([content], suffix=".json").uri
    one = Attachment(uri=uri, media_type=media_type, item_id=item_id, sha256=sha256)
    return FakeSignals(values={"pdf_ir_ready": True}, attachments={"pdf_ir_ready": (one,)}), files


def test_every_format_becomes_documents() -> None:
    """Each payload becomes one document by its format, its root the payload."""
    run = run_stage(ParseStage, payloads=[STUDY, ARTICLE, FULL_TEXT, NOTE])
    assert [(one.root, one.kind) for one in run.output["documents"]] == [
        ("nct:NCT1", "trial"),
        ("pmid:1", "article"),
        ("doi:10.1/x", "article"),
        ("file:a.txt", "text"),
    ]
    assert run.dead_letters == ()


def test_broken_input_fails_alone_with_its_payload() -> None:
    """A payload that cannot be parsed is a dead letter that names it; the rest goes on."""
    run = run_stage(ParseStage, payloads=[payload("pmid:2", "pubmed-xml", "<a"), NOTE])
    assert [one.id for one in run.output["documents"]] == ["file:a.txt"]
    (broken,) = run.dead_letters
    assert (broken.item_id, broken.root) == ("pmid:2", "pmid:2")
    assert "pmid:2 (a): not well-formed XML" in broken.message


def test_a_format_that_is_not_installed_fails_the_stage() -> None:
    """A missing plugin is no fault of the item: the stage fails and says which is missing."""
    with pytest.raises(PluginNotFound, match=r"'nope' \(medical_kg.formats\)"):
        run_stage(ParseStage, payloads=[payload("x:1", "nope", "")])


def test_a_converters_document_is_preferred() -> None:
    """A document attached to a signal for this payload is taken as it is, but for its root."""
    content = converted().model_dump_json().encode()
    signals, files = attached(content, sha256=hashlib.sha256(content).hexdigest().upper())
    run = run_stage(ParseStage, payloads=[STUDY, NOTE], services={"signals": signals, "files": files})
    first, second = run.output["documents"]
    assert first == converted(root=STUDY.id)
    assert second.kind == "text"


@pytest.mark.parametrize(("item_id", "media_type"), [("other:1", CONVERTED), (STUDY.id, "application/pdf")])
def test_other_attachments_are_not_taken(item_id: str, media_type: str) -> None:
    """An attachment for another item, or of another kind, changes nothing."""
    signals, files = attached(b"junk", item_id, media_type)
    run = run_stage(ParseStage, payloads=[STUDY], services={"signals": signals, "files": files})
    assert run.output["documents"][0].kind == "trial"


@pytest.mark.parametrize(
    ("content", "sha256", "reason"),
    [
        (b"junk", None, "is no valid document: document: Invalid JSON"),
        (b'{"id": 1}', None, "is no valid document: id: "),
        (b"{}", "00", "does not have the sha256 its signal named"),
        (b" " * 101, None, "is larger than 100 bytes"),
    ],
)
def test_a_bad_converted_document_is_rejected(
    monkeypatch: pytest.MonkeyPatch, content: bytes, sha256: str | None, reason: str
) -> None:
    """A converter's mistake is told; the payload is not parsed in its place in silence."""
    monkeypatch.setattr(parse_module, "MAX_CONVERTED_BYTES", 100)
    signals, files = attached(content, sha256=sha256)
    run = run_stage(ParseStage, payloads=[STUDY], services={"signals": signals, "files": files})
    assert run.output["documents"] == []
    (letter,) = run.dead_letters
    assert letter.message.startswith(f"{STUDY.id}: the converted document fake:")
    assert reason in letter.message


def test_a_converted_document_that_is_gone_is_told() -> None:
    """An attachment that cannot be opened fails its item only."""
    signals, _ = attached(b"{}")
    run = run_stage(ParseStage, payloads=[STUDY, NOTE], services={"signals": signals, "files": FakeFiles()})
    assert [letter.item_id for letter in run.dead_letters] == [STUDY.id]
    assert "cannot be read: no file" in run.dead_letters[0].message
    assert len(run.output["documents"]) == 1


def test_native_formats_are_read_in_a_worker_only() -> None:
    """A file that may crash or hang the engine fails the stage, which says what to add to it."""
    paper = Payload(id="file:a.pdf", format="pdf", content=pdf(lines("From the PDF")), provenance=PROVENANCE)
    with pytest.raises(UsageError, match=r"format 'pdf' is read by native code.*add `environment: limited` to it"):
        run_stage(ParseStage, payloads=[paper])
    (document,) = run_stage(ParseStage, payloads=[paper], isolated=True).output["documents"]
    assert document.text == "From the PDF"


def test_a_format_that_lacks_a_package_refuses_its_own_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of other formats are read, and the dead letter says what to install."""
    paper = Payload(id="file:a.pdf", format="pdf", content=pdf(lines("From the PDF")), provenance=PROVENANCE)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    run = run_stage(ParseStage, payloads=[paper, NOTE], isolated=True)
    assert [one.root for one in run.output["documents"]] == [NOTE.id]
    (letter,) = run.dead_letters
    assert letter.item_id == paper.id
    assert "install medical-kg[pdf]" in letter.message


def bare(text: str = "Full text.") -> Document:
    builder = DocumentBuilder()
    builder.section("page 1", heading=False)
    builder.block(text)
    return builder.build(
        id="x", root="x", kind="text", title="", provenance=PROVENANCE, metadata={"pages": 1, "journal": "PDF"}
    )


def test_bare_text_from_a_converter_becomes_the_records_full_text() -> None:
    """What the record knows of itself stays; text, structure and what the converter knows are the converter's."""
    signals, files = attached(bare().model_dump_json().encode())
    (plain,) = run_stage(ParseStage, payloads=[STUDY]).output["documents"]
    (full,) = run_stage(ParseStage, payloads=[STUDY], services={"signals": signals, "files": files}).output["documents"]
    assert (full.text, full.sections, full.root) == ("Full text.", bare().sections, STUDY.id)
    kept = ("id", "kind", "title", "facts", "identifiers", "provenance")
    assert [getattr(full, name) for name in kept] == [getattr(plain, name) for name in kept]
    assert full.metadata == {**plain.metadata, "pages": 1, "journal": "PDF", "text_from": PROVENANCE.model_dump()}


def test_a_native_record_is_not_read_for_bare_text() -> None:
    """A PDF's own converted document stands by itself."""
    paper = Payload(id="file:a.pdf", format="pdf", content=b"", provenance=PROVENANCE)
    signals, files = attached(bare().model_dump_json().encode(), item_id=paper.id)
    (found,) = run_stage(ParseStage, payloads=[paper], services={"signals": signals, "files": files}).output[
        "documents"
    ]
    assert found == bare().model_copy(update={"root": paper.id})


def test_a_required_conversion_that_has_not_come() -> None:
    """A payload with a downloaded file is a dead letter; one without is read as it is, and so is any unless required."""
    paper = DownloadedFile(id="f", root=STUDY.id, url="", uri="x:", sha256="", size=1, media_type="application/pdf")
    run = run_stage(ParseStage, {"converted": "required"}, payloads=[STUDY, NOTE], files=[paper])
    assert [one.root for one in run.output["documents"]] == [NOTE.id]
    (letter,) = run.dead_letters
    assert (letter.item_id, letter.error) == (STUDY.id, "ItemRejected")
    assert "no converter's document of it has come" in letter.message
    assert run_stage(ParseStage, payloads=[STUDY, NOTE], files=[paper]).dead_letters == ()
