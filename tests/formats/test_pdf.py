"""``pdf``: text, pages and paragraphs of PDF files, and what is told of those without."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pytest
from handmade_pdfs import BOX, SHOWN, Lines, encrypted, lines, pdf

from medical_kg import InputError, ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats import pdf as module
from medical_kg.formats.contract import RawRecord
from medical_kg.formats.pdf import PdfFormat
from medical_kg.formats.pdfpage import as_text

FORMAT = PdfFormat()
PLAIN = pdf(lines("One sentence here."))


def parse(content: bytes) -> Document:
    provenance = Provenance(source="test", uri="papers/a.pdf")
    document = FORMAT.parse(Payload(id="file:papers/a.pdf", format="pdf", content=content, provenance=provenance))
    assert findings(document) == []
    return document


def blocks(*pages: Lines | bytes) -> list[str]:
    document = parse(pdf(*pages))
    return [document.text_of(block) for block in document.blocks]


def test_a_page_is_a_section_and_a_paragraph_a_block() -> None:
    """Sections are titled with the page's number in the file; a page without text has none, but its number counts."""
    document = parse(pdf(lines("First page."), b"", lines("Third page.")))
    assert [section.title for section in document.sections] == ["page 1", "page 3"]
    assert document.text == "First page.\n\nThird page."
    assert document.metadata == {"pages": 3, "pages_without_text": [2]}
    assert (document.kind, document.root) == ("text", "file:papers/a.pdf")


def test_lines_at_the_usual_distance_are_one_paragraph() -> None:
    """A wider gap between lines ends a paragraph."""
    page = [*lines("We studied mice", "of both sexes."), *lines("Then we rested.", "It was late.", top=650)]
    assert blocks(page) == ["We studied mice of both sexes.", "Then we rested. It was late."]


def test_a_line_set_in_begins_a_paragraph() -> None:
    """Where the line before ends a sentence; elsewhere it is a list or a formula."""
    page = [(72, 700, "We studied mice."), (90, 686, "Then we rested"), (72, 672, "for long"), (90, 658, "hours.")]
    assert blocks(page) == ["We studied mice.", "Then we rested for long hours."]


def test_a_column_goes_on_with_the_sentence() -> None:
    """At the top of the next column a sentence goes on when it was not ended and goes on in small letters."""
    left = [*lines("The first point."), *lines("Mice were kept", "in cages with", top=640)]
    assert blocks([*left, *lines("straw.", left=320)]) == ["The first point.", "Mice were kept in cages with straw."]
    assert blocks([*left, *lines("Results", left=320)])[-2:] == ["Mice were kept in cages with", "Results"]


def test_a_divided_word_is_whole() -> None:
    """A word divided between two lines is put together again."""
    assert blocks(lines("The medi-", "cation helped.")) == ["The medication helped."]


@pytest.mark.parametrize(
    ("codes", "text"),
    [
        ([0x61, 0x02, 0x62, 0x00], "ab"),
        ([0x61, 0x07, 0x20, 0x62], "a b"),
        ([0xD83D, 0xDC00], "\N{RAT}"),
        ([0x1F400], "\N{RAT}"),
        ([0x61, 0xD83D], "a\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_what_is_no_text_is_left_out(codes: list[int], text: str) -> None:
    """Control characters and marks go; halves of a character become whole, or are replaced."""
    assert as_text(codes) == text


@pytest.mark.parametrize(
    ("title", "taken"),
    [
        ("A trial of rest", "A trial of rest"),
        ("Article 1383..1394", "a.pdf"),
        ("my paper.docx", "a.pdf"),
        ("Paper", "a.pdf"),
        ("", "a.pdf"),
    ],
)
def test_the_title_is_the_files_own_where_it_is_one(title: str, taken: str) -> None:
    """What is a file's name or a range of pages is none; then the file names the document."""
    assert parse(pdf(lines("Text."), title=title)).title == taken


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty: the file has no bytes"),
        (b"<html>", "no PDF: its first bytes lack the mark"),
        (encrypted(), "encrypted: it needs a password"),
        (PLAIN[:200], "damaged: its structure cannot be read"),
        (pdf(), "damaged: its structure cannot be read"),
        (pdf(b""), "empty: nothing on 1 page$"),
        (pdf(b"", BOX), "without text: nothing but drawings on 2 pages"),
        (pdf(SHOWN, BOX), "scanned: nothing but pictures on 2 pages"),
        (pdf(b"BT /F 11 Tf 72 700 Td ( ) Tj ET"), "empty: nothing on 1 page"),
    ],
)
def test_each_kind_of_unreadable_file_is_told_apart(content: bytes, reason: str) -> None:
    """The reason begins with its kind, behind the payload and its file."""
    with pytest.raises(ItemRejected, match=rf"^file:papers/a.pdf \(papers/a.pdf\): {reason}"):
        parse(content)


def test_damaged_pages_are_left_out_and_named() -> None:
    """What can be read counts; when no page can be, the file is damaged."""
    whole = pdf(lines("First."), lines("Second."))
    page = b"7 0 obj\n<</Type/Page"
    assert parse(whole.replace(page, b"7 0 obj\n<</Type/Pag_")).metadata == {"pages": 2, "damaged_pages": [2]}
    only = pdf(lines("First."))
    with pytest.raises(ItemRejected, match="damaged: none of its 1 page can be read"):
        parse(only.replace(b"5 0 obj\n<</Type/Page", b"5 0 obj\n<</Type/Pag_"))


def test_more_text_than_any_book_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files can be made that draw a page millions of times."""
    monkeypatch.setattr(module, "MAX_CHARACTERS", 20)
    with pytest.raises(ItemRejected, match="too large: by page 2 it has more than 20 characters"):
        parse(pdf(lines("Sixteen letters."), lines("Sixteen letters.")))


def test_a_way_of_encryption_that_is_unknown() -> None:
    """It is told apart from a missing password."""

    class Unknown(Exception):
        err_code = 5

    assert module._why_not_opened(Unknown()) == "encrypted: in a way that is not known here; decrypt it first"


def test_it_is_recognised_by_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anywhere in the first 1024 bytes, whatever the name; the record is the file, unread."""
    assert FORMAT.sniff(b"\n" * 1000 + b"%PDF-1.7", "a.txt")
    assert not FORMAT.sniff(b"\n" * 1024 + b"%PDF-1.7", "a.pdf")
    assert list(FORMAT.records(io.BytesIO(b"%PDF-broken"), "a.pdf")) == [RawRecord("file:a.pdf", b"%PDF-broken")]
    monkeypatch.setattr(module, "MAX_PDF_BYTES", 3)
    with pytest.raises(ItemRejected, match="more than 3 bytes"):
        list(FORMAT.records(io.BytesIO(b"%PDF"), "a.pdf"))


def test_a_break_while_reading_is_passed_on() -> None:
    """Half a PDF is none."""

    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ItemRejected("the disk is gone")

    with pytest.raises(ItemRejected, match="the disk is gone"):
        list(FORMAT.records(Broken(), "a.pdf"))


def test_without_pypdfium2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of the item."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"install medical-kg\[pdf\]"):
        parse(PLAIN)


REASONS = {
    "ocrmypdf-c02-22.pdf": "scanned",
    "pikepdf-congress.pdf": "scanned",
    "pdfjs-PDFBOX-4352-0.pdf": "empty",
    "pdfjs-empty_protected.pdf": "empty",
    "pikepdf-cyclic-toc.pdf": "empty",
    "pdfjs-poppler-395-0-fuzzed.pdf": "damaged",
    "pdfjs-poppler-742-0-fuzzed.pdf": "damaged",
    "pdfminersix-aes-256.pdf": "encrypted",
    "pdfminersix-rc4-40.pdf": "encrypted",
}


def test_real_files(shared_data: Path) -> None:
    """Every real article has text on every page; of the ugly files each is parsed or rejected for the right reason."""
    for file in sorted((shared_data / "pdf" / "articles").glob("*.pdf")):
        document = parse(file.read_bytes())
        assert len({block.pointer for block in document.blocks}) == document.metadata["pages"]
        assert len(document.text) > 20_000
    found = {}
    for file in sorted((shared_data / "pdf" / "ugly").glob("*.pdf")):
        try:
            parse(file.read_bytes())
        except ItemRejected as refusal:
            found[file.name] = str(refusal).partition("): ")[2].partition(":")[0]
    assert found == REASONS


def test_a_reason_is_the_file_s_own(shared_data: Path) -> None:
    """Not that of the file before, where PDFium fails without saying why."""
    with pytest.raises(ItemRejected, match="encrypted"):
        parse(encrypted())
    with pytest.raises(ItemRejected, match="damaged"):
        parse((shared_data / "pdf" / "ugly" / "pdfjs-poppler-395-0-fuzzed.pdf").read_bytes())
