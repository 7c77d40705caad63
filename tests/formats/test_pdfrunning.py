"""Running heads and feet of PDF pages."""

from __future__ import annotations

from handmade_pdfs import lines, pdf

from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Payload
from medical_kg.formats.pdf import PdfFormat
from medical_kg.formats.pdflayout import Part
from medical_kg.formats.pdfrunning import without_running


def kept(pages: list[list[str]]) -> list[list[str]]:
    parts = [[Part("paragraph", text, None) for text in page] for page in pages]
    return [[part.text for part in page] for page in without_running(parts)]


def test_what_stands_on_page_after_page_is_left_out() -> None:
    """At the top or the bottom, numbers apart; the same words within the page stay."""
    pages = [
        [
            "Doe et al. 2015",
            who,
            f"{who} ate",
            "b",
            "Doe et al. 2015",
            "c",
            f"{who} ran",
            f"{who} sat",
            f"Page {number}",
        ]
        for number, who in enumerate(["Mice", "Rats", "Cats"], start=1)
    ]
    assert [page[0] for page in kept(pages)] == ["Mice", "Rats", "Cats"]
    assert "Doe et al. 2015" in kept(pages)[0]
    assert not any("Page" in paragraph for page in kept(pages) for paragraph in page)


def test_too_few_pages_tell_nothing() -> None:
    """Two pages that begin alike are no proof, nor are three of ten."""
    pages = [["Doe", "a b c"], ["Doe", "d e f"]]
    assert kept(pages) == pages
    many = [["Doe", "x"]] * 3 + [[f"{word}", "x" * 201] for word in "abcdefg"]
    assert [page[0] for page in kept(many)][:3] == ["Doe"] * 3


def test_where_nothing_else_is_left_all_stays() -> None:
    """A file of the same slip on every page still has its text."""
    assert kept([["Slip 1"], ["Slip 2"], ["Slip 3"]]) == [["Slip 1"], ["Slip 2"], ["Slip 3"]]


def test_a_pdf_is_read_without_them() -> None:
    """Each page keeps its number."""
    words = ["One fine day.", "Then two.", "At last three."]
    pages = [[*lines("Trials 2015, 16:2", top=780), *lines(text, top=700)] for text in words]
    provenance = Provenance(source="test", uri="a.pdf")
    document = PdfFormat().parse(Payload(id="file:a.pdf", format="pdf", content=pdf(*pages), provenance=provenance))
    assert [(document.text_of(block), block.pointer) for block in document.blocks] == [
        (text, f"page={number}") for number, text in enumerate(words, start=1)
    ]
