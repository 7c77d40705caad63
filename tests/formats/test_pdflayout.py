"""What the layout of a PDF says: headings, titles, captions, tables and columns."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path

import pytest
from handmade_pdfs import drawn, lines, pdf

from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.sentences import sentences
from medical_kg.formats.contract import RawRecord
from medical_kg.formats.jats import JatsFormat
from medical_kg.formats.pdf import PdfFormat

BODY = ("We gave mice a good rest and", "looked at them on each day of", "the week until they woke up.")


def parse(content: bytes) -> Document:
    provenance = Provenance(source="test", uri="a.pdf")
    return PdfFormat().parse(Payload(id="file:a.pdf", format="pdf", content=content, provenance=provenance))


def laid(*pages: bytes) -> list[tuple[str, tuple[str, ...], list[tuple[str, str]]]]:
    """Each section's title, the titles above it, and its blocks with their kinds."""
    document = parse(pdf(*pages))
    return [
        (section.title, section.path, [(block.kind, document.text_of(block)) for block in section.blocks])
        for section in document.sections
    ]


def text(top: float) -> bytes:
    return drawn(lines(*BODY, top=top))


def bold(words: str, top: float, size: float = 11) -> bytes:
    return b"\n" + drawn(lines(words, top=top), "B", size) + b"\n"


def test_headings_are_sections_under_each_other() -> None:
    """What is set in a font of its own, as other headings are, opens a section; larger ones stand above smaller ones."""
    page = b"".join(
        [
            bold("Methods", 700, 14),
            bold("Animals", 680),
            text(664),
            bold("Rest", 610),
            text(594),
            bold("Results", 540, 14),
        ]
    )
    whole = " ".join(BODY)
    assert laid(page + text(520)) == [
        ("Methods", (), [("title", "Methods")]),
        ("Animals", ("Methods",), [("title", "Animals"), ("paragraph", whole)]),
        ("Rest", ("Methods",), [("title", "Rest"), ("paragraph", whole)]),
        ("Results", (), [("title", "Results"), ("paragraph", whole)]),
    ]


def test_numbers_say_how_deep_a_heading_stands() -> None:
    """Whatever their look."""
    page = b"".join([bold("1. Methods", 700), text(684), bold("1.1. Animals", 630), text(614), bold("2. Results", 560)])
    assert [(title, path) for title, path, _ in laid(page + text(544))] == [
        ("1. Methods", ()),
        ("1.1. Animals", ("1. Methods",)),
        ("2. Results", ()),
    ]


@pytest.mark.parametrize(
    "words",
    [
        "We slept well.",
        "and bold words,",
        "A B",
        "Ann Doe1, Bob Roe2",
        "ann@example.org",
        "Received: 1 May",
        "Words" * 40,
    ],
)
def test_what_does_not_read_as_a_heading_is_none(words: str) -> None:
    """Sentences, ends of lists, letters in figures, authors, addresses and dates, however they are set."""
    page = b"".join([bold(words, 700), text(684), bold("Results", 630), text(614), bold("Discussion", 560), text(544)])
    assert [title for title, _, _ in laid(page)] == ["", "Results", "Discussion"]


def test_one_of_its_look_is_none() -> None:
    """Bold words of which there are no others stay a paragraph, but for what usually ends an article."""
    assert [title for title, _, _ in laid(bold("Once only", 700) + text(684))] == ["page 1"]
    assert [
        title for title, _, _ in laid(text(700) + bold("References", 640) + drawn(lines("1. Doe", top=626), size=8))
    ] == [
        "",
        "References",
    ]


def test_the_title_is_what_the_first_page_shows_largest() -> None:
    """Where the file states none; over several lines, words in another font too."""
    page = (
        drawn(lines("A long title of", "an article", drop=24), "B", 20)
        + b"\n"
        + drawn(lines("on rest", top=652), "F", 20)
    )
    assert parse(pdf(page + b"\n" + text(600))).title == "A long title of an article on rest"
    assert parse(pdf(page + b"\n" + text(600), title="The file's own")).title == "The file's own"


def test_captions_and_tables() -> None:
    """Rows of cells below each other are a table, what is set apart above it its caption; fewer rows are text."""
    rows = [("Group", "Slept", "Woke"), ("Rested", "12", "0"), ("Control", "3", "9")]
    drawn_rows = [
        (72 + 120 * at, 640 - 12 * row, cell) for row, cells in enumerate(rows) for at, cell in enumerate(cells)
    ]
    page = text(720) + bold("Table 1 Who slept", 660, 9) + drawn(drawn_rows, size=9) + b"\n"
    assert laid(page + text(580))[0][2][1:3] == [
        ("caption", "Table 1 Who slept"),
        ("table", "Group | Slept | Woke\nRested | 12 | 0\nControl | 3 | 9"),
    ]
    few = text(720) + b"\n" + drawn(drawn_rows[:6], size=9)
    assert ("paragraph", "Group Slept Woke Rested 12 0") in laid(few)[0][2]


def test_columns_drawn_line_by_line_are_read_one_after_the_other() -> None:
    """The left one first; a line over both stays where it is."""
    left = [f"left words of line {number} go on" for number in range(6)]
    right = [f"right words of line {number} go on" for number in range(6)]
    rows = [
        row
        for number in range(6)
        for row in ((72, 650 - 14 * number, left[number]), (330, 650 - 14 * number, right[number]))
    ]
    head = drawn(lines("A head line that goes over the whole width of the page above both columns of it.", top=700))
    found = " ".join(words for _, _, blocks in laid(head + b"\n" + drawn(rows)) for _, words in blocks)
    assert found.endswith(f"of it. {' '.join(left)} {' '.join(right)}")


def test_a_paragraph_goes_on_over_the_end_of_a_page() -> None:
    """It is one block, and says where it begins."""
    document = parse(pdf(lines("We gave mice a rest and"), lines("looked at them.")))
    assert [(document.text_of(block), block.pointer) for block in document.blocks] == [
        ("We gave mice a rest and looked at them.", "page=1")
    ]


PAIRS = {
    "10.1007-s00265-015-1952-7.pdf": "PMC4521097.xml",
    "10.1098-rsos.150395.pdf": "PMC4632522.xml",
    "10.1371-journal.pone.0115884.pdf": "10.1371-journal.pone.0115884.xml",
    "10.3390-metabo4040932.pdf": "10.3390-metabo4040932.xml",
}


def letters(words: str) -> str:
    return re.sub(r"[\W\d_]+", "", words.casefold())


def from_jats(file: Path) -> Document:
    provenance = Provenance(source="test", uri=file.name)
    record = next(iter(JatsFormat().records(io.BytesIO(file.read_bytes()), file.name)))
    assert isinstance(record, RawRecord)
    return JatsFormat().parse(Payload(id=record.id, format="jats", content=record.content, provenance=provenance))


@pytest.mark.parametrize("name", PAIRS)
def test_an_article_reads_as_its_publisher_s_xml(name: str, shared_data: Path) -> None:
    """Of the sentences of the XML 96 % stand whole in the PDF's text, 98 % of them in order; most headings are found and right."""
    wanted, found = (
        from_jats(shared_data / "jats" / PAIRS[name]),
        parse((shared_data / "pdf" / "articles" / name).read_bytes()),
    )
    whole = letters(found.text)
    spans = [
        span
        for block in wanted.blocks
        if block.kind == "paragraph"
        for span in sentences(wanted.text, block.start, block.end)
    ]
    told = [words for start, end in spans if len(words := letters(wanted.text[start:end])) > 40]
    places = [at for words in told if (at := whole.find(words)) >= 0]
    assert len(places) >= 0.96 * len(told)
    assert sum(one < other for one, other in pairwise(places)) >= 0.98 * (len(places) - 1)
    titles = {letters(section.title) for section in wanted.sections if letters(section.title)}
    headings = {letters(section.title) for section in found.sections if letters(section.title)}
    assert len(titles & headings) >= 0.65 * len(titles)
    # The XML has no title above its references, and spells one heading otherwise.
    assert len(headings & titles) >= 0.8 * len(headings)
