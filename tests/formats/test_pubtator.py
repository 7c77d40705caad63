"""``pubtator``: citations without their annotations."""

from __future__ import annotations

import io

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.formats.contract import BadRecord, RawRecord
from medical_kg.formats.pubtator import PubTatorFormat

FORMAT = PubTatorFormat()
FILE = b"1|t|Gout.\n1|a| An attack.\n1\t0\t4\tGout\tDisease\tD006073\n\n2|a|no title\n\n3|t|Fever\n3|a|\n"


def parse(content: bytes) -> Document:
    origin = Provenance(source="test", uri="x.txt")
    return FORMAT.parse(Payload(id="pmid:1", format="pubtator", content=content, provenance=origin))


@pytest.mark.parametrize("head", [b"1|t|Gout", b"\n\n123|t|A", b"\xef\xbb\xbf1|t|"])
def test_it_is_recognised(head: bytes) -> None:
    """A title first, whatever the file is called."""
    assert FORMAT.sniff(head, "x.bin")


@pytest.mark.parametrize("head", [b"1|a|abstract", b"Some text | t | more", b"{}", b"a b|t|c"])
def test_other_files_are_not(head: bytes) -> None:
    """Anything else is left to other formats."""
    assert not FORMAT.sniff(head, "x.txt")


def test_records_show_no_annotation() -> None:
    """Each citation is a record without annotations; a bad one does not stop those after it."""
    assert list(FORMAT.records(io.BytesIO(FILE), "x")) == [
        RawRecord("pmid:1", b"1|t|Gout.\n1|a| An attack.\n"),
        BadRecord("line 5", "line 5: no title (PMID|t|\u2026)"),
        RawRecord("pmid:3", b"3|t|Fever\n3|a|\n"),
    ]


def test_the_document_keeps_the_offsets() -> None:
    """The text is title, a line break and abstract as they stand, so that the file's offsets hold."""
    found = parse(b"1|t|Gout.\n1|a| An attack.\n")
    assert found.text == "Gout.\n An attack."
    blocks = [(one.kind, one.pointer, found.text_of(one)) for one in found.blocks]
    assert blocks == [("title", "line=1", "Gout."), ("paragraph", "line=2", "An attack.")]
    assert (found.id, found.kind, found.title, found.identifiers) == ("pmid:1", "article", "Gout.", ("pmid:1",))


def test_what_is_no_citation_is_rejected() -> None:
    """Empty and malformed records, and files that are not UTF-8, are refused with the reason."""
    with pytest.raises(ItemRejected, match=r"pmid:1 \(x.txt\): neither title nor abstract"):
        parse(b"1|t|\n1|a|\n")
    with pytest.raises(ItemRejected, match="no title"):
        parse(b"x")
    with pytest.raises(ItemRejected, match="not UTF-8"):
        list(FORMAT.records(io.BytesIO(b"1|t|\xff"), "x"))
