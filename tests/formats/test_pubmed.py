"""``pubmed-xml``: citations of PubMed."""

from __future__ import annotations

import io

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.contract import BadRecord, RawRecord
from medical_kg.formats.pubmed import PubMedFormat

FORMAT = PubMedFormat()

CITATION = """<PubmedArticle><MedlineCitation><PMID Version="1">99</PMID>
<Article>
  <Journal><JournalIssue><PubDate><Year>2019</Year><Month>Mar</Month><Day>7</Day></PubDate></JournalIssue>
    <Title>J Test</Title></Journal>
  <ArticleTitle>Role of <i>H. pylori</i>.</ArticleTitle>
  <ELocationID EIdType="doi">10.1000/ABC</ELocationID>
  <Abstract>
    <AbstractText Label="BACKGROUND" NlmCategory="BACKGROUND">It was <sup>13</sup>C.</AbstractText>
    <AbstractText Label="Results">Found.</AbstractText>
    <AbstractText Label="UNLABELLED">More.</AbstractText>
    <AbstractText/>
  </Abstract>
  <AuthorList><Author><LastName>Doe</LastName><ForeName>Jane</ForeName></Author>
    <Author><LastName>Roe</LastName><Initials>R</Initials></Author>
    <Author><CollectiveName>The Group</CollectiveName></Author><Author/></AuthorList>
  <Language>eng</Language>
  <DataBankList><DataBank><DataBankName>ClinicalTrials.gov</DataBankName>
    <AccessionNumberList><AccessionNumber>NCT01095302</AccessionNumber></AccessionNumberList></DataBank>
    <DataBank><DataBankName>PDB</DataBankName>
    <AccessionNumberList><AccessionNumber>6FL5</AccessionNumber></AccessionNumberList></DataBank></DataBankList>
  <GrantList><Grant><GrantID>R01 1</GrantID><Agency>NIH</Agency><Country>United States</Country></Grant>
    <Grant><Agency>CIHR</Agency></Grant><Grant><GrantID>7</GrantID></Grant></GrantList>
  <PublicationTypeList><PublicationType UI="D016428">Journal Article</PublicationType></PublicationTypeList>
</Article>
<ChemicalList><Chemical><RegistryNumber>56-65-5</RegistryNumber>
  <NameOfSubstance UI="D000255">Adenosine Triphosphate</NameOfSubstance></Chemical>
  <Chemical><RegistryNumber>0</RegistryNumber><NameOfSubstance UI="D1">Gel</NameOfSubstance></Chemical></ChemicalList>
<SupplMeshList><SupplMeshName Type="Disease" UI="C538248">Amyloid angiopathy</SupplMeshName></SupplMeshList>
<MeshHeadingList>
  <MeshHeading><DescriptorName UI="D001249" MajorTopicYN="N">Asthma</DescriptorName>
    <QualifierName UI="Q000188" MajorTopicYN="Y">drug therapy</QualifierName>
    <QualifierName UI="Q000453" MajorTopicYN="N">epidemiology</QualifierName></MeshHeading>
  <MeshHeading><DescriptorName UI="D006801" MajorTopicYN="Y">Humans</DescriptorName></MeshHeading>
  <MeshHeading/>
</MeshHeadingList>
<KeywordList><Keyword MajorTopicYN="N"> acid </Keyword><Keyword/></KeywordList>
<CommentsCorrectionsList>
  <CommentsCorrections RefType="Cites"><RefSource>Old. 1990</RefSource><PMID>5</PMID></CommentsCorrections>
  <CommentsCorrections RefType="RetractionIn"><RefSource>New. 2021</RefSource><PMID>6</PMID></CommentsCorrections>
</CommentsCorrectionsList>
<OtherAbstract Language="fre"><AbstractText>Bonjour.</AbstractText></OtherAbstract>
</MedlineCitation>
<PubmedData><ArticleIdList><ArticleId IdType="pubmed">99</ArticleId><ArticleId IdType="pmc">PMC7</ArticleId>
  <ArticleId IdType="pii">S1</ArticleId></ArticleIdList>
<ReferenceList><Reference><Citation>Cited 2000.</Citation><ArticleIdList>
  <ArticleId IdType="doi">10.1000/X</ArticleId><ArticleId IdType="pubmed">8</ArticleId></ArticleIdList></Reference>
  <Reference><Citation>No id.</Citation></Reference></ReferenceList></PubmedData></PubmedArticle>"""

BOOK = """<PubmedBookArticle><BookDocument><PMID>20301</PMID>
<ArticleIdList><ArticleId IdType="doi">10.1000/B</ArticleId></ArticleIdList>
<Book><Publisher><PublisherName>Press</PublisherName></Publisher><BookTitle>GeneReviews</BookTitle>
<PubDate><Year>1993</Year></PubDate></Book><ArticleTitle>A Gene</ArticleTitle><Language>eng</Language>
<Abstract><AbstractText>What it does.</AbstractText></Abstract>
<KeywordList><Keyword>gene</Keyword></KeywordList></BookDocument>
<PubmedBookData><ArticleIdList><ArticleId IdType="pubmed">20301</ArticleId></ArticleIdList></PubmedBookData>
</PubmedBookArticle>"""


def records(content: str | bytes) -> list[RawRecord | BadRecord]:
    data = content.encode() if isinstance(content, str) else content
    return list(FORMAT.records(io.BytesIO(data), "file.xml"))


def parse(content: str) -> Document:
    provenance = Provenance(source="test", uri="file.xml")
    payload = Payload(id="pmid:99", format=FORMAT.name, content=content.encode(), provenance=provenance)
    return FORMAT.parse(payload)


DOCTYPE = '<?xml version="1.0"?><!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD" "https://dtd.nlm.nih.gov/x.dtd">'
DELETED = "<DeleteCitation><PMID>1</PMID><PMID>2</PMID></DeleteCitation>"


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (f"{DOCTYPE}<PubmedArticleSet>{CITATION}{BOOK}</PubmedArticleSet>", ["pmid:99", "pmid:20301"]),
        (CITATION, ["pmid:99"]),
        (BOOK, ["pmid:20301"]),
        (f"<PubmedArticleSet>{CITATION}{DELETED}</PubmedArticleSet>", ["pmid:99"]),
        (f"<PubmedArticleSet>{DELETED}</PubmedArticleSet>", []),
        (f"<PubmedArticleSet>{CITATION}</PubmedArticleSet>".encode("utf-16"), ["pmid:99"]),
    ],
    ids=["set", "bare", "bare-book", "deletions", "only-deletions", "utf-16"],
)
def test_records_of_every_shape(content: str | bytes, ids: list[str]) -> None:
    """Citations and book chapters are records, in a set or alone; deletions are none and do no harm."""
    found = records(content)
    assert [record.id for record in found if isinstance(record, RawRecord)] == ids
    assert len(found) == len(ids)


def test_a_record_parses_alone() -> None:
    """What is cut out of a set is a document of its own, with the same text."""
    (record,) = records(f"{DOCTYPE}<PubmedArticleSet>{CITATION}</PubmedArticleSet>")
    assert isinstance(record, RawRecord)
    assert parse(record.content.decode()).text == parse(CITATION).text


def test_a_citation_without_a_number_is_bad() -> None:
    """The PubMed number is the one thing a citation must have; the rest goes on."""
    empty = "<PubmedArticle><MedlineCitation/></PubmedArticle>"
    bad, good = records(f"<PubmedArticleSet>{empty}{CITATION}</PubmedArticleSet>")
    assert bad == BadRecord("citation 1", "a citation needs a number in MedlineCitation/PMID; found ''")
    assert isinstance(good, RawRecord)


def test_abstract_parts_are_sections() -> None:
    """Labelled parts are sections under Abstract, an unlabelled one goes on; other languages stand apart."""
    document = parse(CITATION)
    assert findings(document) == []
    assert [(section.path, section.title) for section in document.sections] == [
        ((), ""),
        (("Abstract",), "Background"),
        (("Abstract",), "Results"),
        ((), "Abstract (fre)"),
    ]
    words = [document.text_of(block) for block in document.blocks if block.kind == "paragraph"]
    assert words == ["It was 13C.", "Found.", "More.", "Bonjour."]


def test_what_a_citation_is_known_by() -> None:
    """Ids, title, date, language, journal and authors come from their elements."""
    document = parse(CITATION)
    assert (document.id, document.root, document.kind) == ("pmid:99", "pmid:99", "article")
    assert document.identifiers == ("pmid:99", "pmcid:PMC7", "doi:10.1000/abc")
    assert document.title == "Role of H. pylori."
    assert (document.published, document.language) == ("2019-03-07", "eng")
    assert document.metadata["journal"] == "J Test"
    assert document.metadata["authors"] == ["Jane Doe", "R Roe", "The Group"]
    assert document.metadata["corrections"] == [{"type": "RetractionIn", "id": "pmid:6", "source": "New. 2021"}]
    assert document.metadata["retracted"] is True
    assert document.metadata["grants"][0] == {"id": "R01 1", "agency": "NIH", "country": "United States"}
    assert document.metadata["databanks"][1] == {"name": "PDB", "ids": ["6FL5"]}
    assert document.metadata["mesh"][0] == {
        "ui": "D001249",
        "name": "Asthma",
        "major": True,
        "qualifiers": [
            {"ui": "Q000188", "name": "drug therapy", "major": True},
            {"ui": "Q000453", "name": "epidemiology", "major": False},
        ],
    }


def test_facts_of_a_citation() -> None:
    """Headings (with qualifiers, majors starred), chemicals, types, keywords and references are facts."""
    facts = [(f.predicate, f.object.kind, f.object.identifiers, f.evidence) for f in parse(CITATION).facts]
    assert facts == [
        ("has_mesh_heading", "descriptor", ("mesh:D001249",), "Asthma/drug therapy*/epidemiology"),
        ("has_mesh_heading", "descriptor", ("mesh:D006801",), "Humans*"),
        ("has_supplementary_concept", "descriptor", ("mesh:C538248",), "Amyloid angiopathy"),
        ("has_chemical", "chemical", ("mesh:D000255", "cas:56-65-5"), "Adenosine Triphosphate"),
        ("has_chemical", "chemical", ("mesh:D1",), "Gel"),
        ("has_publication_type", "publication_type", ("mesh:D016428",), "Journal Article"),
        ("has_keyword", "keyword", (), "acid"),
        ("funded_by", "organization", (), "NIH, grant R01 1"),
        ("funded_by", "organization", (), "CIHR"),
        ("reports_on", "trial", ("nct:NCT01095302",), "NCT01095302"),
        ("retracted_by", "article", ("pmid:6",), "New. 2021"),
        ("cites", "article", ("pmid:8", "doi:10.1000/x"), "Cited 2000."),
        ("cites", "article", ("pmid:5",), "Old. 1990"),
    ]
    pointer = parse(CITATION).facts[1].pointer
    assert pointer == "/PubmedArticle/MedlineCitation/MeshHeadingList/MeshHeading[2]"


def test_a_retracted_publication_says_so_by_its_type() -> None:
    """Also where no notice is linked; a citation of neither kind has no such mark."""
    without = CITATION.replace("RetractionIn", "CommentIn")
    assert "retracted" not in parse(without).metadata
    retracted = without.replace('UI="D016428">Journal Article', 'UI="D016441">Retracted Publication')
    assert parse(retracted).metadata["retracted"] is True


def test_blocks_point_into_the_record() -> None:
    """Each block's XPath leads to the element its words stand in."""
    document = parse(CITATION)
    article = "/PubmedArticle/MedlineCitation/Article"
    assert [block.pointer for block in document.blocks] == [
        f"{article}/ArticleTitle",
        f"{article}/Abstract/AbstractText[1]",
        f"{article}/Abstract/AbstractText[1]",
        f"{article}/Abstract/AbstractText[2]",
        f"{article}/Abstract/AbstractText[2]",
        f"{article}/Abstract/AbstractText[3]",
        "/PubmedArticle/MedlineCitation/OtherAbstract",
        "/PubmedArticle/MedlineCitation/OtherAbstract/AbstractText",
    ]


def test_a_book_chapter_is_an_article() -> None:
    """A chapter has its own title; the book is metadata."""
    document = parse(BOOK)
    assert findings(document) == []
    assert (document.id, document.title, document.published) == ("pmid:20301", "A Gene", "1993")
    assert document.identifiers == ("pmid:20301", "doi:10.1000/b")
    assert document.metadata == {"book": "GeneReviews", "publisher": "Press"}
    assert [fact.predicate for fact in document.facts] == ["has_keyword"]


@pytest.mark.parametrize(
    ("date", "published"),
    [
        ("<Year>2020</Year><Month>4</Month>", "2020-04"),
        ("<Year>2020</Year><Season>Fall</Season>", "2020"),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", "1998"),
        ("<MedlineDate>Spring</MedlineDate>", ""),
        ("<Year>2020</Year><Day>3</Day>", "2020"),
    ],
)
def test_dates_as_far_as_given(date: str, published: str) -> None:
    """A date is given as far as it is known, never further."""
    title = "<ArticleTitle>T</ArticleTitle>"
    journal = f"<Journal><JournalIssue><PubDate>{date}</PubDate></JournalIssue></Journal>"
    article = f"<Article>{journal}{title}</Article>"
    text = f"<PubmedArticle><MedlineCitation><PMID>1</PMID>{article}</MedlineCitation></PubmedArticle>"
    assert parse(text).published == published


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<rss/>", "the root element is rss"),
        (
            "<PubmedArticle><MedlineCitation><PMID>1</PMID></MedlineCitation></PubmedArticle>",
            "no MedlineCitation/Article",
        ),
        ("<PubmedBookArticle/>", "no BookDocument"),
        ("<PubmedArticle><MedlineCitation><Article/></MedlineCitation></PubmedArticle>", "needs a number"),
        ("<PubmedArticle>", "not well-formed"),
    ],
)
def test_a_refusal_names_the_payload(content: str, reason: str) -> None:
    """What cannot be read is rejected with the payload's id and file."""
    with pytest.raises(ItemRejected, match=rf"pmid:99 \(file.xml\): .*{reason}"):
        parse(content)


@pytest.mark.parametrize(
    ("head", "recognised"),
    [
        (DOCTYPE + "<PubmedArticleSet>", True),
        ("<PubmedArticle>", True),
        ("<PubmedBookArticle>", True),
        ("<rss><PubmedArticle>", False),
        ("{}", False),
    ],
)
def test_sniff(head: str, recognised: bool) -> None:  # noqa: FBT001  # the expected verdict
    """The root element tells."""
    assert FORMAT.sniff(head.encode(), "x.xml") is recognised
