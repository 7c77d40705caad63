"""Citations of PubMed in the XML of its baseline and update files, efetch and exports.

Source: https://www.nlm.nih.gov/bsd/licensee/elements_descriptions.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder
from medical_kg.formats.base import fact, refusals_name
from medical_kg.formats.contract import BadRecord, Format, RawRecord
from medical_kg.formats.identifiers import doi_id, mesh_id, nct_id, pmcid_id, pmid_id, substance_id
from medical_kg.formats.xmltext import elements, local_name, parse_record, path_of, record_bytes, root_name, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree

    from medical_kg.documents.ir import Document, Fact
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import Readable

RECORDS = ("PubmedArticle", "PubmedBookArticle")
SETS = ("PubmedArticleSet", "PubmedBookArticleSet")
PMID_PATHS = {"PubmedArticle": "MedlineCitation/PMID", "PubmedBookArticle": "BookDocument/PMID"}
CORRECTIONS = {
    "RetractionIn": "retracted_by",
    "RetractionOf": "retracts",
    "PartialRetractionIn": "partly_retracted_by",
    "PartialRetractionOf": "partly_retracts",
    "ExpressionOfConcernIn": "questioned_by",
    "ExpressionOfConcernFor": "questions",
    "ErratumIn": "corrected_by",
    "ErratumFor": "corrects",
    "CorrectedandRepublishedIn": "republished_as",
    "CorrectedandRepublishedFrom": "republishes",
    "RetractedandRepublishedIn": "republished_as",
    "RetractedandRepublishedFrom": "republishes",
    "UpdateIn": "updated_by",
    "UpdateOf": "updates",
    "CommentIn": "commented_on_by",
    "CommentOn": "comments_on",
}
"""What MEDLINE's kinds of link between two citations mean, read from this citation to the other."""
RETRACTED = ("D016441", "Retracted Publication")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class PubMedFormat(Format):
    """One citation or book chapter per record; ``DeleteCitation`` is no record and is passed over."""

    name: ClassVar[str] = "pubmed-xml"
    media_types: ClassVar[tuple[str, ...]] = ("application/xml", "text/xml")

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether the root element is a set of citations, or a single one."""
        del filename
        return root_name(head) in (*SETS, *RECORDS)

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give every citation; one without a PubMed number is bad."""
        del name
        for number, element in enumerate(elements(stream, RECORDS), start=1):
            try:
                yield RawRecord(_pmid(element), record_bytes(element))
            except ItemRejected as error:
                yield BadRecord(f"citation {number}", str(error))

    def parse(self, payload: Payload) -> Document:
        """Read one citation."""
        with refusals_name(payload):
            root = parse_record(payload.content)
            if root.tag not in RECORDS:
                raise ItemRejected(f"the root element is {root.tag}, expected {' or '.join(RECORDS)}")
            is_book = root.tag == "PubmedBookArticle"
            return _book(root, payload) if is_book else _citation(root, payload)


def _pmid(record: etree._Element) -> str:
    path = PMID_PATHS[local_name(record)]
    text = text_of(record.find(path))
    if ident := pmid_id(text):
        return ident
    raise ItemRejected(f"a citation needs a number in {path}; found {text!r}")


def _citation(root: etree._Element, payload: Payload) -> Document:
    article = root.find("MedlineCitation/Article")
    if article is None:
        raise ItemRejected("there is no MedlineCitation/Article")
    title = text_of(article.find("ArticleTitle")) or text_of(article.find("VernacularTitle"))
    builder = DocumentBuilder()
    builder.block(title, "title", _title_path(article, "ArticleTitle", "VernacularTitle"))
    _lay_abstract(builder, article.find("Abstract"), "Abstract")
    for other in root.iterfind("MedlineCitation/OtherAbstract"):
        _lay_abstract(builder, other, f"Abstract ({other.get('Language', other.get('Type', 'other'))})")
    dates = [article.find("Journal/JournalIssue/PubDate"), article.find("ArticleDate")]
    return builder.build(
        id=_pmid(root),
        root=payload.id,
        kind="article",
        title=title,
        identifiers=_article_ids(root.find("PubmedData/ArticleIdList"), article),
        language=text_of(article.find("Language")),
        published=next((date for node in dates if (date := _date(node))), ""),
        facts=list(_facts(root)),
        metadata=_metadata(root, article),
        provenance=payload.provenance,
    )


def _book(root: etree._Element, payload: Payload) -> Document:
    book = root.find("BookDocument")
    if book is None:
        raise ItemRejected("there is no BookDocument")
    of_book = text_of(book.find("Book/BookTitle"))
    title = text_of(book.find("ArticleTitle")) or of_book
    builder = DocumentBuilder()
    builder.block(title, "title", _title_path(book, "ArticleTitle", "Book/BookTitle"))
    _lay_abstract(builder, book.find("Abstract"), "Abstract")
    ids = [*_ids(book.find("ArticleIdList")), *_ids(root.find("PubmedBookData/ArticleIdList"))]
    found = {
        "book": of_book,
        "authors": _authors(book),
        "publisher": text_of(book.find("Book/Publisher/PublisherName")),
    }
    return builder.build(
        id=_pmid(root),
        root=payload.id,
        kind="article",
        title=title,
        identifiers=ids,
        language=text_of(book.find("Language")),
        published=_date(book.find("Book/PubDate")),
        facts=[*_types(book), *_keywords(book), *_references(root)],
        metadata={key: value for key, value in found.items() if value},
        provenance=payload.provenance,
    )


def _title_path(record: etree._Element, *names: str) -> str:
    return next((path_of(node) for name in names if (node := record.find(name)) is not None and text_of(node)), "")


def _lay_abstract(builder: DocumentBuilder, abstract: etree._Element | None, heading: str) -> None:
    if abstract is None:
        return
    opened = False
    for part in abstract.iterfind("AbstractText"):
        label, text = part.get("Label", "").strip(), text_of(part)
        if not text:
            continue
        if label and label.upper() != "UNLABELLED":
            builder.section(label.capitalize() if label.isupper() else label, (heading,), pointer=path_of(part))
        elif not opened:
            builder.section(heading, pointer=path_of(abstract))
        opened = True
        builder.block(text, pointer=path_of(part))


def _facts(root: etree._Element) -> Iterator[Fact]:
    citation = root.find("MedlineCitation")
    if citation is None:
        return
    for heading in citation.iterfind("MeshHeadingList/MeshHeading"):
        yield from _mesh(heading)
    for concept in citation.iterfind("SupplMeshList/SupplMeshName"):
        yield from _named("has_supplementary_concept", "descriptor", concept, mesh_id(concept.get("UI", "")))
    for chemical in citation.iterfind("ChemicalList/Chemical"):
        substance = chemical.find("NameOfSubstance")
        if substance is not None:
            ids = (mesh_id(substance.get("UI", "")), substance_id(text_of(chemical.find("RegistryNumber"))))
            yield from _named("has_chemical", "chemical", substance, *ids)
    yield from _types(root)
    yield from _keywords(citation)
    yield from _grants(citation)
    yield from _registrations(citation)
    yield from _corrections(citation)
    yield from _references(root)


def _mesh(heading: etree._Element) -> Iterator[Fact]:
    descriptor = heading.find("DescriptorName")
    if descriptor is None or not text_of(descriptor):
        return
    evidence = "/".join(_starred(node) for node in [descriptor, *heading.iterfind("QualifierName")])
    yield fact(
        "has_mesh_heading",
        "descriptor",
        text_of(descriptor),
        pointer=path_of(heading),
        evidence=evidence,
        identifiers=[mesh_id(descriptor.get("UI", ""))],
    )


def _starred(node: etree._Element) -> str:
    # MEDLINE's own notation: an asterisk marks a major topic.
    return text_of(node) + ("*" if node.get("MajorTopicYN") == "Y" else "")


def _types(root: etree._Element) -> Iterator[Fact]:
    for node in root.iterfind(".//PublicationType"):
        yield from _named("has_publication_type", "publication_type", node, mesh_id(node.get("UI", "")))


def _keywords(citation: etree._Element) -> Iterator[Fact]:
    for node in citation.iterfind("KeywordList/Keyword"):
        yield from _named("has_keyword", "keyword", node)


def _references(root: etree._Element) -> Iterator[Fact]:
    for reference in root.iterfind(".//Reference"):
        ids = _ids(reference.find("ArticleIdList"))
        yield from _cites(reference, ids, text_of(reference.find("Citation")))
    for node in root.iterfind("MedlineCitation/CommentsCorrectionsList/CommentsCorrections[@RefType='Cites']"):
        yield from _cites(node, [pmid_id(text_of(node.find("PMID")))], text_of(node.find("RefSource")))


def _grants(citation: etree._Element) -> Iterator[Fact]:
    for grant in citation.iterfind("Article/GrantList/Grant"):
        agency, number = text_of(grant.find("Agency")), text_of(grant.find("GrantID"))
        if agency:
            words = f"{agency}, grant {number}" if number else agency
            yield fact("funded_by", "organization", agency, pointer=path_of(grant), evidence=words)


def _registrations(citation: etree._Element) -> Iterator[Fact]:
    """Give the trials that the citation reports on, as its data bank list names them."""
    for number in citation.iterfind("Article/DataBankList/DataBank/AccessionNumberList/AccessionNumber"):
        if ident := nct_id(text_of(number)):
            yield fact("reports_on", "trial", text_of(number), pointer=path_of(number), identifiers=[ident])


def _corrections(citation: etree._Element) -> Iterator[Fact]:
    for node in citation.iterfind("CommentsCorrectionsList/CommentsCorrections"):
        predicate = CORRECTIONS.get(node.get("RefType", ""))
        if predicate and (other := pmid_id(text_of(node.find("PMID")))):
            name = text_of(node.find("RefSource")) or other
            yield fact(predicate, "article", name, pointer=path_of(node), identifiers=[other])


def _is_retracted(root: etree._Element) -> bool:
    types = root.iterfind("MedlineCitation/Article/PublicationTypeList/PublicationType")
    marked = any(node.get("UI") == RETRACTED[0] or text_of(node) == RETRACTED[1] for node in types)
    return (
        marked
        or root.find("MedlineCitation/CommentsCorrectionsList/CommentsCorrections[@RefType='RetractionIn']") is not None
    )


def _cites(node: etree._Element, ids: list[str], evidence: str) -> Iterator[Fact]:
    if known := [ident for ident in ids if ident]:
        # The node's best id first: a PubMed number joins with the citation itself.
        known.sort(key=lambda ident: not ident.startswith("pmid:"))
        name = evidence or known[0]
        yield fact("cites", "article", name, pointer=path_of(node), identifiers=known)


def _named(predicate: str, kind: str, node: etree._Element, *identifiers: str) -> Iterator[Fact]:
    if name := text_of(node):
        yield fact(predicate, kind, name, pointer=path_of(node), identifiers=identifiers)


def _article_ids(listed: etree._Element | None, article: etree._Element) -> list[str]:
    located = [doi_id(text_of(node)) for node in article.iterfind("ELocationID[@EIdType='doi']")]
    return [ident for ident in [*_ids(listed), *located] if ident]


def _ids(listed: etree._Element | None) -> list[str]:
    makers = {"pubmed": pmid_id, "doi": doi_id, "pmc": pmcid_id, "pmcid": pmcid_id}
    nodes = [] if listed is None else list(listed.iterfind("ArticleId"))
    found = [makers[kind](text_of(node)) for node in nodes if (kind := node.get("IdType", "")) in makers]
    return [ident for ident in found if ident]


def _date(node: etree._Element | None) -> str:
    if node is None:
        return ""
    year, month, day = (text_of(node.find(name)) for name in ("Year", "Month", "Day"))
    year = year or text_of(node.find("MedlineDate"))[:4]
    if not year.isdigit():
        return ""
    named = month[:3].lower()
    month = f"{MONTHS.index(named) + 1}" if named in MONTHS else month
    parts = [year, *([month.zfill(2)] if month.isdigit() else [])]
    return "-".join([*parts, day.zfill(2)] if len(parts) > 1 and day.isdigit() else parts)


def _authors(article: etree._Element) -> list[str]:
    people = article.iterfind("AuthorList/Author")
    names = [
        text_of(one.find("CollectiveName"))
        or " ".join(
            filter(
                None, (text_of(one.find("ForeName")) or text_of(one.find("Initials")), text_of(one.find("LastName")))
            )
        )
        for one in people
    ]
    return [name for name in names if name]


def _metadata(root: etree._Element, article: etree._Element) -> dict[str, Any]:
    headings = [
        {
            "ui": node.get("UI", ""),
            "name": text_of(node),
            "major": node.get("MajorTopicYN") == "Y" or any(q.get("MajorTopicYN") == "Y" for q in qualifiers),
            "qualifiers": [
                {"ui": one.get("UI", ""), "name": text_of(one), "major": one.get("MajorTopicYN") == "Y"}
                for one in qualifiers
            ],
        }
        for heading in root.iterfind("MedlineCitation/MeshHeadingList/MeshHeading")
        if (node := heading.find("DescriptorName")) is not None
        for qualifiers in [heading.findall("QualifierName")]
    ]
    corrections = [
        {
            "type": node.get("RefType", ""),
            "id": pmid_id(text_of(node.find("PMID"))),
            "source": text_of(node.find("RefSource")),
        }
        for node in root.iterfind("MedlineCitation/CommentsCorrectionsList/CommentsCorrections")
        if node.get("RefType") != "Cites"
    ]
    found = {
        "journal": text_of(article.find("Journal/Title"))
        or text_of(root.find("MedlineCitation/MedlineJournalInfo/MedlineTA")),
        "authors": _authors(article),
        "mesh": headings,
        "corrections": corrections,
        "retracted": _is_retracted(root),
        "grants": [
            {
                "id": text_of(one.find("GrantID")),
                "agency": text_of(one.find("Agency")),
                "country": text_of(one.find("Country")),
            }
            for one in article.iterfind("GrantList/Grant")
        ],
        "databanks": [
            {"name": text_of(bank.find("DataBankName")), "ids": [text_of(one) for one in bank.iter("AccessionNumber")]}
            for bank in article.iterfind("DataBankList/DataBank")
        ],
        "conflicts": text_of(root.find("MedlineCitation/CoiStatement")),
    }
    return {key: value for key, value in found.items() if value}
