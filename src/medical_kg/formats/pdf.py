"""PDF files: their text with headings, paragraphs, captions and tables, in reading order.

Read with PDFium (pypdfium2, the extra ``pdf``), which is native code and not safe to call from several threads. A hostile
file may crash or hang it, so the format says that it is ``native``: stages read it only in an environment.

Source: ISO 32000-1; for the error codes, ``fpdfview.h`` of PDFium.
"""

from __future__ import annotations

import importlib.util
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder, squeeze
from medical_kg.formats.base import refusals_name
from medical_kg.formats.contract import Format, RawRecord, file_id, read_all
from medical_kg.formats.pdfheadings import Outline
from medical_kg.formats.pdflaid import lay_out
from medical_kg.orchestration.contract.errors import InputError

if TYPE_CHECKING:
    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import BadRecord, Readable
    from medical_kg.formats.pdflayout import Part
    from medical_kg.formats.pdfpage import Page

MAX_PDF_BYTES = 100 * 1024 * 1024
MAX_CHARACTERS = 20_000_000
"""A long book has two million; more comes of a page that is drawn into itself."""
MARK = b"%PDF-"
MARK_BYTES = 1024
"""The mark may stand anywhere in so many first bytes (ISO 32000-1, annex H.3.4.1)."""
NEEDS_PASSWORD, UNKNOWN_SECURITY = 4, 5
FILE_NAME = re.compile(r"\d\.\.\d+$|\.(?:pdf|docx?|rtf|tex|dvi|indd|qxd|ps)$|^Microsoft Word|^untitled", re.IGNORECASE)

_one_at_a_time = threading.Lock()


class PdfFormat(Format):
    """One document per file: a section per heading, or per page where no heading is found (``page 3``), a block per paragraph.

    What stands at the top or bottom of page after page, but for its numbers, is left out. Each block says its page.

    Metadata of the document: ``pages``, and where there are any, the numbers of ``pages_without_text`` and of
    ``damaged_pages``. Text on pictures is not read.
    """

    name: ClassVar[str] = "pdf"
    media_types: ClassVar[tuple[str, ...]] = ("application/pdf",)
    native: ClassVar[bool] = True

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether the mark of a PDF stands in the first bytes."""
        del filename
        return MARK in head[:MARK_BYTES]

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give the file as one record, unread: whether it can be parsed is seen where it does no harm."""
        content, broken = read_all(stream, MAX_PDF_BYTES)
        if broken is not None:
            raise broken
        yield RawRecord(file_id(name), content)

    def parse(self, payload: Payload) -> Document:
        """Read the text.

        Raises:
            ItemRejected: the file is encrypted, damaged, scanned, empty or no PDF; the message says which.
            InputError: pypdfium2 is not installed.
        """
        _need_pdfium()
        with refusals_name(payload), _one_at_a_time:
            return _document(payload)


def _need_pdfium() -> None:
    if importlib.util.find_spec("pypdfium2") is None:
        raise InputError("reading PDFs needs pypdfium2, which is not installed; install medical-kg[pdf]")


def _document(payload: Payload) -> Document:
    with closing(_open(payload.content)) as pdf:
        pages = _read(pdf)
        damaged = [number for number, page in enumerate(pages, start=1) if page is None]
        bare = [number for number, page in enumerate(pages, start=1) if page is not None and not page.lines]
        if len(bare) + len(damaged) == len(pages):
            raise ItemRejected(_why_no_text(pdf, damaged))
        lists = {"pages_without_text": bare, "damaged_pages": damaged}
        laid = lay_out([page.lines if page else [] for page in pages])
        return _built(laid.pages).build(
            id=payload.id,
            root=payload.id,
            kind="text",
            title=_title(pdf) or laid.title or payload.provenance.uri.rsplit("/", 1)[-1],
            provenance=payload.provenance,
            metadata={"pages": len(pdf), **{name: found for name, found in lists.items() if found}},
        )


def _read(pdf: Any) -> list[Page | None]:
    pages: list[Page | None] = []
    size = 0
    for number, page in enumerate(_pages(pdf), start=1):
        pages.append(page)
        size += page.characters if page else 0
        if size > MAX_CHARACTERS:
            raise ItemRejected(f"too large: by page {number} it has more than {MAX_CHARACTERS:,} characters")
    return pages


def _built(pages: Sequence[Sequence[Part]]) -> DocumentBuilder:
    builder = DocumentBuilder()
    outline = Outline(part for page in pages for part in page if part.kind == "heading")
    for number, page in enumerate(pages, start=1):
        pointer = f"page={number}"
        if outline.is_empty:
            builder.section(f"page {number}", heading=False)
        for part in page:
            if part.kind == "heading":
                builder.section(part.text, outline.above(part), pointer=pointer)
            else:
                builder.block(part.text, part.kind, pointer)
    return builder


def _open(content: bytes) -> Any:
    import pypdfium2

    if not content:
        raise ItemRejected("empty: the file has no bytes")
    if MARK not in content[:MARK_BYTES]:
        raise ItemRejected("no PDF: its first bytes lack the mark %PDF-")
    # Some failures set no error code, so the last file's would be told: a load that must fail sets a known one.
    pypdfium2.raw.FPDF_LoadMemDocument64(b"x", 1, None)
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        raise ItemRejected(_why_not_opened(error)) from None


def _why_not_opened(error: Exception) -> str:
    code = getattr(error, "err_code", None)
    if code == NEEDS_PASSWORD:
        return "encrypted: it needs a password; decrypt it first"
    if code == UNKNOWN_SECURITY:
        return "encrypted: in a way that is not known here; decrypt it first"
    return "damaged: its structure cannot be read"


def _pages(pdf: Any) -> Iterator[Page | None]:
    """Give the pages in order, None for one that cannot be read."""
    from pypdfium2 import PdfiumError

    from medical_kg.formats.pdfpage import read_page

    for index in range(len(pdf)):
        try:
            with closing(pdf[index]) as page:
                yield read_page(page)
        except PdfiumError:
            yield None


def _why_no_text(pdf: Any, damaged: list[int]) -> str:
    count = f"{len(pdf)} page{'s' if len(pdf) != 1 else ''}"
    if len(damaged) == len(pdf):
        return f"damaged: none of its {count} can be read"
    kinds = {kind for index in range(len(pdf)) if index + 1 not in damaged for kind in _kinds(pdf, index)}
    if "picture" in kinds:
        return f"scanned: nothing but pictures on {count}; recognise the text first (OCR)"
    if kinds:
        return f"without text: nothing but drawings on {count}"
    return f"empty: nothing on {count}"


def _kinds(pdf: Any, index: int) -> set[str]:
    from pypdfium2 import raw

    names = {raw.FPDF_PAGEOBJ_IMAGE: "picture", raw.FPDF_PAGEOBJ_PATH: "drawing", raw.FPDF_PAGEOBJ_SHADING: "drawing"}
    with closing(pdf[index]) as page:
        seen = {found.type for found in islice(page.get_objects(max_depth=3), 10_000)}
    return {names[kind] for kind in seen if kind in names}


def _title(pdf: Any) -> str:
    """Return the title that the file states, unless it is a file's name or a single word."""
    title = squeeze(pdf.get_metadata_dict().get("Title", "").replace("\x00", ""))
    return title if " " in title and not FILE_NAME.search(title) else ""
