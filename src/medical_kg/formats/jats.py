"""Full-text articles in JATS (and the NLM DTDs before it): front matter, structure, references.

Source: https://jats.nlm.nih.gov/archiving/tag-library/1.3/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder, squeeze
from medical_kg.formats.base import fact, refusals_name
from medical_kg.formats.contract import BadRecord, Format, RawRecord, file_id
from medical_kg.formats.identifiers import doi_id, pmcid_id, pmid_id
from medical_kg.formats.jatsbody import BodyWriter
from medical_kg.formats.xmltext import elements, parse_record, path_of, record_bytes, root_name, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree

    from medical_kg.documents.ir import Document, Fact
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import Readable

ROOTS = ("article", "pmc-articleset")
ID_MAKERS = {"pmc": pmcid_id, "pmcid": pmcid_id, "pmcaid": pmcid_id, "doi": doi_id, "pmid": pmid_id, "medline": pmid_id}
PLACES = {
    "volume": "volume",
    "issue": "issue",
    "first_page": "fpage",
    "last_page": "lpage",
    "elocation": "elocation-id",
}
RANK = ("pmcid:", "doi:", "pmid:")
RELATIONS = {
    "corrected_article": "corrects",
    "retracted_article": "retracts",
    "partial_retraction": "partly_retracts",
    "retraction_forward": "retracted_by",
    "correction_forward": "corrected_by",
    "object_of_concern": "questions",
    "commentary_article": "commented_on_by",
    "commentary": "comments_on",
}
"""What the commonest kinds of related article mean, read from this one to the other; the rest are just related."""
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"


class JatsFormat(Format):
    """One article per record, alone in its file or in a ``pmc-articleset``."""

    name: ClassVar[str] = "jats"
    media_types: ClassVar[tuple[str, ...]] = ("application/jats+xml", "application/xml", "text/xml")

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether the root element is an article or a set of them."""
        del filename
        return root_name(head) in ROOTS

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give every article; one that names no id of its own gets the file's name."""
        for number, element in enumerate(elements(stream, ["article"]), start=1):
            try:
                content = record_bytes(element)
            except ItemRejected as error:
                yield BadRecord(f"article {number}", str(error))
                continue
            ids = _own_ids(element)
            yield RawRecord(ids[0] if ids else file_id(name, number), content)

    def parse(self, payload: Payload) -> Document:
        """Read one article: abstract, body, floats and back matter as text, references and keywords as facts."""
        with refusals_name(payload):
            article = parse_record(payload.content)
            meta = article.find("front/article-meta")
            if article.tag != "article" or meta is None:
                raise ItemRejected(f"the root element is {article.tag}, expected an article with front/article-meta")
            return _document(article, meta, payload)


def _own_ids(article: etree._Element) -> list[str]:
    """Return the article's ids, best first; its element names may still have namespaces."""
    nodes = article.iterfind("{*}front/{*}article-meta/{*}article-id")
    found = [maker(text_of(node)) for node in nodes if (maker := ID_MAKERS.get(node.get("pub-id-type", "")))]
    known = dict.fromkeys(ident for ident in found if ident)
    return sorted(known, key=lambda ident: next(n for n, prefix in enumerate(RANK) if ident.startswith(prefix)))


def _document(article: etree._Element, meta: etree._Element, payload: Payload) -> Document:
    title = _title(meta)
    named = meta.find("title-group/article-title")
    builder = DocumentBuilder()
    builder.block(title, "title", "" if named is None else path_of(named))
    writer = BodyWriter(builder)
    for abstract in meta.iterchildren("abstract", "trans-abstract"):
        writer.titled(abstract, "Abstract")
    writer.part(article.find("body"))
    writer.part(article.find("floats-group"))
    writer.part(article.find("back"))
    for reply in article.iterchildren("sub-article", "response"):
        writer.titled(reply, _title(reply.find("front-stub")) or "Reply")
    ids = _own_ids(article)
    return builder.build(
        id=ids[0] if ids else payload.id,
        root=payload.id,
        kind="article",
        title=title,
        identifiers=ids,
        language=article.get("{http://www.w3.org/XML/1998/namespace}lang", ""),
        published=_published(meta),
        facts=[*_keywords(meta), *_funding(article), *_related(meta), *_references(article)],
        metadata=_metadata(article, meta),
        provenance=payload.provenance,
    )


def _title(meta: etree._Element | None) -> str:
    if meta is None:
        return ""
    parts = [text_of(meta.find("title-group/article-title")), text_of(meta.find("title-group/subtitle"))]
    return ": ".join(part for part in parts if part)


def _published(meta: etree._Element) -> str:
    """Return the earliest publication date, as far as it is given."""
    return min(filter(None, map(_date, meta.iterfind("pub-date"))), default="")


def _date(node: etree._Element) -> str:
    year, month, day = (text_of(node.find(name)) for name in ("year", "month", "day"))
    if not year.isdigit() or not month.isdigit():
        return year if year.isdigit() else ""
    return "-".join([year, month.zfill(2), *([day.zfill(2)] if day.isdigit() else [])])


def _keywords(meta: etree._Element) -> Iterator[Fact]:
    for node in meta.iterfind("kwd-group//kwd"):
        if name := text_of(node):
            yield fact("has_keyword", "keyword", name, pointer=path_of(node))


def _funding(article: etree._Element) -> Iterator[Fact]:
    """Give who paid, from the award groups of any part of the article; each funder once for each award."""
    for group in article.iterfind("front//funding-group"):
        for award in _awards(group):
            for source in award.iter("funding-source"):
                name = _funder(source)
                numbers = ", ".join(filter(None, map(text_of, award.iter("award-id"))))
                if name:
                    words = f"{name}, award {numbers}" if numbers else name
                    ids = [_funder_id(source)]
                    pointer = path_of(source)
                    yield fact("funded_by", "organization", name, pointer=pointer, evidence=words, identifiers=ids)


def _awards(group: etree._Element) -> list[etree._Element]:
    return list(group.iterfind("award-group")) or [group]


def _funder(source: etree._Element) -> str:
    # An institution beside its registry number, or plain words.
    named = source.find(".//institution")
    return text_of(source if named is None else named)


def _funder_id(source: etree._Element) -> str:
    return next((ident for node in source.iter("institution-id") if (ident := doi_id(text_of(node)))), "")


def _related(meta: etree._Element) -> Iterator[Fact]:
    """Give the articles that this one corrects, retracts, comments on or accompanies, where they have a DOI or number."""
    for node in meta.iterfind("related-article"):
        target = node.get(XLINK_HREF, "")
        ids = [doi_id(target), pmid_id(target) if node.get("ext-link-type") in ("pmid", "pubmed") else ""]
        if known := [ident for ident in ids if ident]:
            kind = node.get("related-article-type", "related-article").replace("-", "_")
            name = text_of(node) or known[0]
            predicate = RELATIONS.get(kind, "related_to")
            yield fact(predicate, "article", name, pointer=path_of(node), evidence=f"{kind}: {name}", identifiers=known)


def _references(article: etree._Element) -> Iterator[Fact]:
    """Give what the article cites, as far as a reference names a PubMed number, PMC id or DOI."""
    for reference in article.iterfind("back//ref"):
        for citation in reference.iterchildren("citation", "nlm-citation", "element-citation", "mixed-citation"):
            if ids := _cited_ids(citation):
                words = _words(citation)
                name = text_of(citation.find("article-title")) or words
                yield fact("cites", "article", name, pointer=path_of(citation), evidence=words, identifiers=ids)


def _words(citation: etree._Element) -> str:
    # An element-citation holds no punctuation: its parts must be kept apart.
    between = [citation.text, *(child.tail for child in citation)]
    is_mixed = any(text and text.strip() for text in between)
    return text_of(citation) if is_mixed else squeeze(" ".join(str(text) for text in citation.itertext()))


def _cited_ids(citation: etree._Element) -> list[str]:
    makers = {"pmid": pmid_id, "doi": doi_id, "pmcid": pmcid_id, "pmc": pmcid_id}
    found = {
        kind: make(text_of(node))
        for node in citation.iter("pub-id")
        if (kind := node.get("pub-id-type", "")) and (make := makers.get(kind))
    }
    linked = [
        doi_id(node.get(XLINK_HREF, "")) for node in citation.iter("ext-link") if "doi.org/" in node.get(XLINK_HREF, "")
    ]
    ordered = [found.get("pmid", ""), found.get("doi", ""), found.get("pmcid", ""), found.get("pmc", ""), *linked]
    return list(dict.fromkeys(ident for ident in ordered if ident))


def _metadata(article: etree._Element, meta: etree._Element) -> dict[str, Any]:
    licence = meta.find(".//license")
    found = {
        "type": article.get("article-type", ""),
        "journal": text_of(article.find("front/journal-meta//journal-title")),
        "authors": [name for one in meta.iterfind("contrib-group/contrib") if (name := _author(one))],
        "subjects": [name for node in meta.iterfind("article-categories//subject") if (name := text_of(node))],
        "license": _licence(licence),
        "license_text": text_of(licence),
        "copyright": text_of(meta.find("permissions/copyright-statement")),
        "funding": " ".join(filter(None, map(text_of, meta.iterfind("funding-group/funding-statement")))),
        "awards": [
            {
                "funder": "; ".join(map(_funder, one.iter("funding-source"))),
                "ids": list(map(text_of, one.iter("award-id"))),
            }
            for one in meta.iterfind("funding-group/award-group")
        ],
        "issn": list(dict.fromkeys(map(text_of, article.iterfind("front/journal-meta/issn")))),
        "publisher": text_of(article.find("front/journal-meta/publisher/publisher-name")),
        **{name: text_of(meta.find(path)) for name, path in PLACES.items()},
        "publisher_ids": _publisher_ids(meta),
        "tables": len(list(article.iter("table-wrap"))),
        "figures": len(list(article.iter("fig"))),
        "references": len(list(article.iterfind("back//ref"))),
    }
    return {key: value for key, value in found.items() if value}


def _licence(licence: etree._Element | None) -> str:
    """Return the licence's address where one is given, as the articles of the older DTDs put it in a link or not at all."""
    if licence is None:
        return ""
    linked = (node.get(XLINK_HREF, "") for node in licence.iter("ext-link", "uri"))
    named = (text_of(node) for node in licence.iter("{*}license_ref", "license_ref"))
    addresses = (licence.get(XLINK_HREF, ""), *named, *linked)
    return next((one for one in addresses if one), "") or text_of(licence)


def _publisher_ids(meta: etree._Element) -> list[str]:
    kinds = ("publisher-id", "pii", "manuscript")
    found = (text_of(node) for node in meta.iterfind("article-id") if node.get("pub-id-type", "") in kinds)
    return [one for one in found if one]


def _author(contrib: etree._Element) -> str:
    if contrib.get("contrib-type", "author") != "author":
        return ""
    parts = [text_of(contrib.find(f".//name/{name}")) for name in ("given-names", "surname", "suffix")]
    return " ".join(part for part in parts if part) or text_of(contrib.find("collab"))
