"""Works of OpenAlex in the JSON of its API and snapshot.

Source: https://docs.openalex.org/api-entities/works/work-object
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder, squeeze
from medical_kg.formats.base import fact, refusals_name
from medical_kg.formats.contract import BadRecord, Format, RawRecord
from medical_kg.formats.identifiers import doi_id, mesh_id, openalex_id, pmcid_id, pmid_id
from medical_kg.formats.jsonnode import JsonNode
from medical_kg.formats.jsontext import decode, looks_like_json, read_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.ir import Document, Fact
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import Readable
    from medical_kg.formats.jsonscan import Element

WORK = re.compile(r'"https://openalex\.org/W\d+"')
INLINE_TAG = re.compile(r"</?(?:i|b|em|strong|sub|sup|scp|u)>", re.IGNORECASE)


class OpenAlexFormat(Format):
    """One work per record: from an API page, an array, a file of its own, or one a line."""

    name: ClassVar[str] = "openalex-json"
    media_types: ClassVar[tuple[str, ...]] = ("application/json",)

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether it is JSON that names an OpenAlex work near its beginning."""
        del filename
        return bool(WORK.search(looks_like_json(head)))

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give every work with the addresses of its PDFs; one without an OpenAlex id is bad."""
        del name
        return read_records(stream, ("results",), _record)

    def parse(self, payload: Payload) -> Document:
        """Read one work."""
        with refusals_name(payload):
            return _document(JsonNode(decode(payload.content)), payload)


def _record(element: Element) -> RawRecord | BadRecord:
    work = JsonNode(element.value)
    try:
        return RawRecord(_id(work), element.text.encode(), tuple(_pdf_links(work)))
    except ItemRejected as error:
        return BadRecord(element.place or "/", str(error))


def _id(work: JsonNode) -> str:
    found = work.text("id")
    ident = openalex_id(found)
    if ident.startswith("openalex:W"):
        return ident
    raise ItemRejected(f"a work needs an id like https://openalex.org/W123 at /id; found {found!r}")


def _pdf_links(work: JsonNode) -> list[str]:
    places = [work.at("best_oa_location"), work.at("primary_location"), *work.items("locations")]
    links = [place.text("pdf_url") for place in places]
    free = work.text("open_access", "oa_url")
    if free.lower().endswith(".pdf"):
        links.append(free)
    return list(dict.fromkeys(link for link in links if link))


def _document(work: JsonNode, payload: Payload) -> Document:
    title = _plain(work.text("title") or work.text("display_name"))
    abstract = _plain(_abstract(work.at("abstract_inverted_index")))
    builder = DocumentBuilder()
    builder.block(title, "title", "/title" if work.text("title") else "/display_name")
    if abstract:
        builder.section("Abstract", pointer="/abstract_inverted_index")
        builder.block(abstract, pointer="/abstract_inverted_index")
    return builder.build(
        id=_id(work),
        root=payload.id,
        kind="article",
        title=title,
        identifiers=_identifiers(work),
        language=work.text("language"),
        published=work.text("publication_date"),
        facts=list(_facts(work)),
        metadata=_metadata(work),
        provenance=payload.provenance,
    )


def _plain(text: str) -> str:
    return squeeze(INLINE_TAG.sub("", html.unescape(text)))


def _abstract(index: JsonNode) -> str:
    """Turn ``{"word": [positions]}`` back into running text."""
    placed: dict[int, str] = {}
    for word in index.expect(dict, {}):
        node = index.at(word)
        for position in node.expect(list, []):
            if not isinstance(position, int):
                node.refuse("an array of whole numbers")
            placed[position] = word
    return " ".join(placed[position] for position in sorted(placed))


def _identifiers(work: JsonNode) -> list[str]:
    known = [
        doi_id(work.text("doi") or work.text("ids", "doi")),
        pmid_id(work.text("ids", "pmid")),
        pmcid_id(work.text("ids", "pmcid")),
    ]
    return [ident for ident in known if ident]


def _facts(work: JsonNode) -> Iterator[Fact]:
    for node in work.items("mesh"):
        if name := squeeze(node.text("descriptor_name")):
            qualifier = node.text("qualifier_name")
            evidence = (f"{name}/{qualifier}" if qualifier else name) + ("*" if node.at("is_major_topic") else "")
            ids = [mesh_id(node.text("descriptor_ui"))]
            yield fact("has_mesh_heading", "descriptor", name, pointer=node.pointer, evidence=evidence, identifiers=ids)
    for node in work.items("topics"):
        if name := squeeze(node.text("display_name")):
            yield fact("has_topic", "topic", name, pointer=node.pointer, identifiers=[openalex_id(node.text("id"))])
    for node in work.items("keywords"):
        if name := squeeze(node.text("display_name") or node.text("keyword")):
            yield fact("has_keyword", "keyword", name, pointer=node.pointer)
    for node in work.items("referenced_works"):
        if ident := openalex_id(node.text()):
            yield fact("cites", "article", ident, pointer=node.pointer, evidence=node.text(), identifiers=[ident])


def _metadata(work: JsonNode) -> dict[str, Any]:
    found = {
        "authors": [name for node in work.items("authorships") if (name := node.text("author", "display_name"))],
        "journal": work.text("primary_location", "source", "display_name"),
        "type": work.text("type"),
        "license": work.text("primary_location", "license"),
        "cited_by_count": work.scalar("cited_by_count"),
    }
    return {key: value for key, value in found.items() if value}
