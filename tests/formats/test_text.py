"""``text``: plain text and Markdown files."""

from __future__ import annotations

import io

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.contract import RawRecord
from medical_kg.formats.text import TextFormat

FORMAT = TextFormat()


def parse(content: bytes) -> Document:
    provenance = Provenance(source="test", uri="notes/a.txt")
    return FORMAT.parse(Payload(id="file:notes/a.txt", format="text", content=content, provenance=provenance))


def test_paragraphs_are_blocks() -> None:
    """Paragraphs become blocks as they stand; a first line alone is the title."""
    document = parse("Report\n\nFirst é\nline.\n\n\nSecond.".encode())
    assert document.title == "Report"
    assert [document.text_of(block) for block in document.blocks] == ["Report", "First é\nline.", "Second."]
    assert document.kind == "text"
    assert findings(document) == []


def test_without_a_title_line_the_file_names_it() -> None:
    """A first paragraph of several lines is no title."""
    document = parse(b"a\nb\n\nc")
    assert document.title == "a.txt"
    assert document.text == "a\nb\n\nc"


def test_blocks_point_at_their_first_line() -> None:
    """Lines are counted from 1, empty ones too."""
    assert [block.pointer for block in parse(b"\nNote\n\n\na\nb\n\nc").blocks] == ["line=2", "line=5", "line=8"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_say_what_they_are(encoding: str) -> None:
    """UTF-8 is read, with or without a mark, and UTF-16 by its mark."""
    assert parse("naïve β".encode(encoding)).text == "naïve β"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"ok\nna\xefve", "not UTF-8 text: byte 0xef at offset 5, line 2; convert the file to UTF-8"),
        (b"\xff\xfea", "not UTF-16 text"),
        (b" \n", "holds no text"),
    ],
)
def test_what_cannot_be_decoded_is_refused(content: bytes, reason: str) -> None:
    """Nothing is replaced in silence: undecodable text is refused with its place, when listed and when parsed."""
    with pytest.raises(ItemRejected, match=reason):
        list(FORMAT.records(io.BytesIO(content), "a.txt"))
    with pytest.raises(ItemRejected, match=f"file:notes/a.txt .*{reason}"):
        parse(content)


def test_a_file_is_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is named after the file; a file too large for one text is refused."""
    assert list(FORMAT.records(io.BytesIO(b"x"), "a/b.txt")) == [RawRecord("file:a/b.txt", b"x")]
    monkeypatch.setattr(TextFormat, "max_bytes", 3)
    with pytest.raises(ItemRejected, match="more than 3 bytes"):
        list(FORMAT.records(io.BytesIO(b"long"), "a.txt"))


def test_a_break_of_the_stream_is_told() -> None:
    """Half a text is no text."""

    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ItemRejected("cut off")

    with pytest.raises(ItemRejected, match="cut off"):
        list(FORMAT.records(Broken(), "a.txt"))


@pytest.mark.parametrize(
    ("name", "recognised"), [("a.TXT", True), ("b.txt.gz", True), ("b.md", False), ("c.json", False), ("d", False)]
)
def test_sniff_by_ending(name: str, recognised: bool) -> None:  # noqa: FBT001  # the expected verdict
    """Only the file's name tells text."""
    assert FORMAT.sniff(b"anything", name) is recognised
    assert FORMAT.last_resort
