"""Where a payload has the addresses of its files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from medical_kg import ItemRejected
from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Payload
from medical_kg.downloads.links import MOST, LinkFinder, links_of

WORK = json.dumps(
    {
        "best_oa_location": {"pdf_url": "https://a.test/1.pdf", "score": 3},
        "locations": [
            {"pdf_url": "https://a.test/1.pdf"},
            {"pdf_url": None},
            {},
            {"pdf_url": " https://b.test/2.pdf "},
            4,
        ],
    }
).encode()
ARTICLE = b"""<?xml version="1.0"?><!DOCTYPE article PUBLIC "-//NLM//DTD" "x.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink">
  <article-id pub-id-type="pmc">123</article-id><article-id pub-id-type="doi">10.1/a b(c)</article-id>
  <self-uri content-type="pdf" xlink:href="https://a.test/a.pdf"/><self-uri xlink:href="https://a.test/a.html"/>
</article>"""


def found(content: bytes, **finder: Any) -> list[str]:
    return LinkFinder(**finder).find(content)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("best_oa_location.pdf_url", ["https://a.test/1.pdf"]),
        ("locations.*.pdf_url", ["https://a.test/1.pdf", "https://b.test/2.pdf"]),
        ("best_oa_location.score", []),
        ("best_oa_location.*", []),
        ("locations.pdf_url", []),
        ("nothing.there", []),
    ],
)
def test_a_field_of_json(field: str, expected: list[str]) -> None:
    """Names lead inwards, a star through a list; what is no text is no address."""
    assert found(WORK, field=field) == expected


@pytest.mark.parametrize(
    ("xpath", "template", "expected"),
    [
        ("//self-uri[@content-type='pdf']/@xlink:href", "{}", ["https://a.test/a.pdf"]),
        ("//article-id[@pub-id-type='pmc']", "https://e.test/PMC{}?pdf=1", ["https://e.test/PMC123?pdf=1"]),
        ("//article-id[@pub-id-type='doi']/text()", "https://doi.test/{}", ["https://doi.test/10.1/a%20b%28c%29"]),
        ("string(//article-id)", "{}", ["123"]),
        ("//nothing", "{}", []),
    ],
)
def test_a_place_in_xml(xpath: str, template: str, expected: list[str]) -> None:
    """Attributes, texts and elements; a template makes an address of a number, with what it may hold escaped."""
    assert found(ARTICLE, xpath=xpath, template=template) == expected


def test_a_pattern_in_text() -> None:
    """The first group counts where there is one, else the whole match; what cannot be read does no harm."""
    text = b"see https://a.test/1.pdf and \xff https://b.test/2.pdf."
    assert found(text, pattern=r"https://\S+\.pdf") == ["https://a.test/1.pdf", "https://b.test/2.pdf"]
    assert found(text, pattern=r"https://(\w)\.test", template="http://{}/") == ["http://a/", "http://b/"]
    assert found(b"x" * 5000, pattern="x") == ["x"] * MOST


@pytest.mark.parametrize(
    ("content", "finder", "reason"),
    [
        (b"<a/>", {"field": "a"}, "no links by field 'a': the payload is not JSON"),
        (b"[" * 100_000, {"field": "a"}, "not JSON"),
        (b"{}", {"xpath": "//a"}, "no links by xpath '//a': the payload is not XML"),
        (b"", {"xpath": "//a"}, "not XML"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;' + b"<b>" * 300, {"xpath": "//a"}, "not XML"),
    ],
)
def test_a_payload_of_another_kind(content: bytes, finder: dict[str, str], reason: str) -> None:
    """Where the way does not fit the payload, that is said."""
    with pytest.raises(ItemRejected, match=reason):
        found(content, **finder)


def test_no_file_is_read_for_an_entity() -> None:
    """An entity in a payload stays what it is."""
    content = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a><b>&x;</b></a>'
    assert found(content, xpath="//b") == []


@pytest.mark.parametrize(
    ("finder", "reason"),
    [
        ({}, "exactly one"),
        ({"field": "a", "pattern": "b"}, "exactly one"),
        ({"pattern": "("}, "no regular expression"),
        ({"xpath": "//["}, "no XPath expression"),
        ({"field": "a", "template": "x"}, "once, for what was found"),
        ({"field": ""}, "at least 1 character"),
        ({"fields": "a"}, "Extra inputs"),
    ],
)
def test_wrong_finders_are_refused(finder: dict[str, str], reason: str) -> None:
    """Before anything runs."""
    with pytest.raises(ValidationError, match=reason):
        LinkFinder(**finder)


def test_ways_are_tried_in_order_and_addresses_count_once() -> None:
    """What one way finds again is not fetched again; a way that does not fit is told and hinders no other."""
    payload = Payload(
        id="r",
        format="x",
        content=WORK,
        links=("https://b.test/2.pdf",),
        provenance=Provenance(source="s", uri="file:///x"),
    )
    ways = (LinkFinder(xpath="//a"), "links", LinkFinder(field="locations.*.pdf_url"))
    links, refusals = links_of(payload, ways)
    assert links == ["https://b.test/2.pdf", "https://a.test/1.pdf"]
    assert ["not XML" in refusal for refusal in refusals] == [True]
