"""``openalex-json``: works of OpenAlex."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.contract import BadRecord, RawRecord
from medical_kg.formats.openalex import OpenAlexFormat

FORMAT = OpenAlexFormat()
WORK: dict[str, Any] = {
    "id": "https://openalex.org/W1",
    "doi": "https://doi.org/10.1000/ABC",
    "title": "Salt &amp; <i>Pressure</i>",
    "publication_date": "1998-09-01",
    "ids": {"pmid": "https://pubmed.ncbi.nlm.nih.gov/7", "pmcid": "https://www.ncbi.nlm.nih.gov/pmc/articles/8"},
    "language": "en",
    "abstract_inverted_index": {"salt": [1, 3], "Less": [0], "is": [2], "good": [4]},
    "mesh": [
        {
            "descriptor_ui": "D1",
            "descriptor_name": "Salts",
            "qualifier_name": "adverse effects",
            "is_major_topic": True,
        },
        {"descriptor_ui": "D2", "descriptor_name": ""},
    ],
    "topics": [{"id": "https://openalex.org/T5", "display_name": "Hypertension"}],
    "keywords": [{"keyword": "sodium"}, {"display_name": "Diet"}],
    "referenced_works": ["https://openalex.org/W2"],
    "best_oa_location": {"pdf_url": "https://x.org/a.pdf"},
    "primary_location": {"pdf_url": None, "license": "cc-by", "source": {"display_name": "J Salt"}},
    "locations": [{"pdf_url": "https://x.org/a.pdf"}, {"pdf_url": "https://y.org/b"}],
    "open_access": {"oa_url": "https://z.org/c.PDF"},
    "authorships": [{"author": {"display_name": "A. Doe"}}, {"author": {}}],
    "cited_by_count": 3,
}


def records(value: Any) -> list[RawRecord | BadRecord]:
    return list(FORMAT.records(io.BytesIO(json.dumps(value).encode()), "w.json"))


def parse(value: Any) -> Document:
    provenance = Provenance(source="test", uri="w.json")
    content = json.dumps(value).encode()
    return FORMAT.parse(Payload(id="openalex:W1", format=FORMAT.name, content=content, provenance=provenance))


@pytest.mark.parametrize("value", [WORK, [WORK], {"meta": {}, "results": [WORK]}])
def test_records_of_every_shape(value: Any) -> None:
    """A work, an array and an API page give works, each with the addresses of its PDFs, once each."""
    (record,) = records(value)
    assert isinstance(record, RawRecord)
    assert record.id == "openalex:W1"
    assert record.links == ("https://x.org/a.pdf", "https://y.org/b", "https://z.org/c.PDF")


@pytest.mark.parametrize("ident", [None, "https://openalex.org/A1", "W"])
def test_a_work_without_an_id_is_bad(ident: str | None) -> None:
    """An author's id, or none, names no work."""
    (record,) = records({"id": ident})
    assert isinstance(record, BadRecord)
    assert "needs an id like https://openalex.org/W123 at /id" in record.reason


def test_a_work_becomes_a_document() -> None:
    """The abstract is put together from its index; markup in the title is undone."""
    document = parse(WORK)
    assert findings(document) == []
    assert document.title == "Salt & Pressure"
    assert document.text == "Salt & Pressure\n\nAbstract\n\nLess salt is salt good"
    assert document.identifiers == ("openalex:W1", "doi:10.1000/abc", "pmid:7", "pmcid:PMC8")
    assert document.metadata["journal"] == "J Salt"
    assert document.metadata["authors"] == ["A. Doe"]


def test_facts_of_a_work() -> None:
    """MeSH headings, topics, keywords and references are facts."""
    facts = [(fact.predicate, fact.object.name, fact.object.identifiers, fact.evidence) for fact in parse(WORK).facts]
    assert facts == [
        ("has_mesh_heading", "Salts", ("mesh:D1",), "Salts/adverse effects*"),
        ("has_topic", "Hypertension", ("openalex:T5",), "Hypertension"),
        ("has_keyword", "sodium", (), "sodium"),
        ("has_keyword", "Diet", (), "Diet"),
        ("cites", "openalex:W2", ("openalex:W2",), "https://openalex.org/W2"),
    ]


def test_a_work_without_abstract_is_its_title() -> None:
    """Nothing is invented for a missing abstract."""
    document = parse({"id": "https://openalex.org/W1", "display_name": "Only", "abstract_inverted_index": None})
    assert document.text == "Only"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"abstract_inverted_index": {"a": ["x"]}},
            "at /abstract_inverted_index/a: expected an array of whole numbers",
        ),
        ({"abstract_inverted_index": {"a": 1}}, "expected an array, found a number"),
        ({"topics": {}, "mesh": "x"}, "at /mesh: expected an array"),
        ({"id": "W"}, "needs an id"),
    ],
)
def test_a_refusal_names_the_place(change: dict[str, Any], reason: str) -> None:
    """What has another type is refused with payload and pointer."""
    with pytest.raises(ItemRejected, match=reason):
        parse(WORK | change)


@pytest.mark.parametrize(
    ("head", "recognised"),
    [(b'{"id": "https://openalex.org/W1"', True), (b'{"id": "https://openalex.org/A1"', False), (b"<x/>", False)],
)
def test_sniff(head: bytes, recognised: bool) -> None:  # noqa: FBT001  # the expected verdict
    """It is JSON that names a work near its beginning."""
    assert FORMAT.sniff(head, "x.json") is recognised
