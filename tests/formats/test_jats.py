"""``jats``: full-text articles."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from lxml import etree

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.contract import BadRecord, RawRecord
from medical_kg.formats.jats import JatsFormat
from medical_kg.formats.xmltext import parse_record

FORMAT = JatsFormat()
SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "articles"
META = """<article-id pub-id-type="pmid">5</article-id><article-id pub-id-type="doi">10.1000/ABC</article-id>
<article-id pub-id-type="pmc">77</article-id><article-id pub-id-type="publisher-id">x</article-id>
<article-categories><subj-group><subject>Virology</subject></subj-group></article-categories>
<title-group><article-title>On <italic>Zika</italic></article-title><subtitle>a study</subtitle></title-group>
<contrib-group><contrib contrib-type="author"><name><surname>Doe</surname><given-names>Jane</given-names></name></contrib>
<contrib contrib-type="author"><collab>Group</collab></contrib><contrib contrib-type="editor"><name><surname>Ed</surname>
</name></contrib></contrib-group>
<pub-date><year>2012</year><month>3</month><day>4</day></pub-date><pub-date><year>2013</year></pub-date>
<pub-date><season>Fall</season></pub-date>
<permissions><license xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="https://cc/by"/></permissions>
<abstract><sec><title>Aims</title><p>To see.</p></sec></abstract>
<abstract abstract-type="summary"><title>Summary</title><p>Short.</p></abstract>
<kwd-group><title>Keywords</title><kwd>virus</kwd><kwd/></kwd-group>"""
REFS = """<ref-list><title>References</title>
<ref id="r1"><element-citation><name><surname>Roe</surname><given-names>R</given-names></name><year>2001</year>
<article-title>Cited work</article-title><pub-id pub-id-type="doi">10.1000/Q</pub-id><pub-id pub-id-type="pmid">8</pub-id>
</element-citation></ref>
<ref id="r2"><mixed-citation>Poe, E. <source>Raven</source>, <ext-link
 xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="http://dx.doi.org/10.1000/z">link</ext-link>.</mixed-citation></ref>
<ref id="r3"><citation>Nobody knows.</citation></ref></ref-list>"""


def article(body: str, *, meta: str = META, back: str = "", more: str = "", root: str = 'article xml:lang="en"') -> str:
    front = "<front><journal-meta><journal-title-group><journal-title>J</journal-title></journal-title-group></journal-meta>"
    front += f"<article-meta>{meta}</article-meta></front>"
    return f"<{root}>{front}<body>{body}</body><back>{back}</back>{more}</{root.split(maxsplit=1)[0]}>"


def records(content: str, name: str = "a/file.xml") -> list[RawRecord | BadRecord]:
    return list(FORMAT.records(io.BytesIO(content.encode()), name))


def parse(content: str | bytes) -> Document:
    data = content.encode() if isinstance(content, str) else content
    provenance = Provenance(source="test", uri="file.xml")
    document = FORMAT.parse(Payload(id="file:x", format="jats", content=data, provenance=provenance))
    assert findings(document) == []
    return document


def laid(body: str, *, more: str = "", back: str = "") -> list[tuple[str, str, str]]:
    """The section, kind and text of each block behind the front matter."""
    document = parse(article(body, meta="<title-group/>", more=more, back=back))
    return [
        (" > ".join((*section.path, section.title)), block.kind, document.text_of(block))
        for section in document.sections
        for block in section.blocks
    ]


def test_the_best_id_names_the_record() -> None:
    """An article is named by its PMC id, else its DOI, else its PubMed number, else its file."""
    with_all, with_doi = META, META.replace('"pmc"', '"other"')
    with_pmid = with_doi.replace('"doi"', '"other"')
    without = with_pmid.replace('"pmid"', '"other"')
    ids = [records(article("<p>x</p>", meta=meta))[0] for meta in (with_all, with_doi, with_pmid, without)]
    assert [one.id for one in ids if isinstance(one, RawRecord)] == [
        "pmcid:PMC77",
        "doi:10.1000/abc",
        "pmid:5",
        "file:a/file.xml#1",
    ]


def test_a_set_gives_its_articles() -> None:
    """A set holds several articles, with or without a namespace; one with an open entity is bad, the rest goes on."""
    plain = article("<p>x</p>", meta="<title-group/>")
    spaced = plain.replace("<article ", '<article xmlns="https://jats.nlm.nih.gov/ns/1.3/" ')
    bad = article("<p>&nbsp;</p>")
    doctype = '<!DOCTYPE pmc-articleset PUBLIC "-//NLM//DTD" "https://dtd.nlm.nih.gov/pmc.dtd">'
    found = records(f"{doctype}<pmc-articleset>{plain}{bad}{spaced}</pmc-articleset>")
    assert [type(one) for one in found] == [RawRecord, BadRecord, RawRecord]
    assert isinstance(found[1], BadRecord)
    assert found[1].place == "article 2"
    assert "entity &nbsp; on line 13 is not resolved" in found[1].reason
    assert isinstance(found[2], RawRecord)
    assert parse(found[2].content).text == "x"


def test_front_matter() -> None:
    """Title, ids, dates, authors and licence come from the front; abstracts are sections."""
    document = parse(article("<p>Body.</p>", back=REFS))
    assert (document.id, document.root) == ("pmcid:PMC77", "file:x")
    assert document.identifiers == ("pmcid:PMC77", "doi:10.1000/abc", "pmid:5")
    assert (document.title, document.published, document.language) == ("On Zika: a study", "2012-03-04", "en")
    assert document.metadata == {
        "journal": "J",
        "authors": ["Jane Doe", "Group"],
        "subjects": ["Virology"],
        "license": "https://cc/by",
        "publisher_ids": ["x"],
        "references": 3,
    }
    assert [(section.path, section.title) for section in document.sections] == [
        ((), ""),
        ((), "Abstract"),
        (("Abstract",), "Aims"),
        ((), "Summary"),
        ((), ""),
    ]


def test_references_and_keywords_are_facts() -> None:
    """A reference with a PubMed number or DOI is a fact, its words the evidence; references are no text."""
    document = parse(article("<p>Body.</p>", back=REFS))
    facts = [(f.predicate, f.object.name, f.object.identifiers, f.pointer) for f in document.facts]
    assert facts == [
        ("has_keyword", "virus", (), "/article/front/article-meta/kwd-group/kwd[1]"),
        ("cites", "Cited work", ("pmid:8", "doi:10.1000/q"), "/article/back/ref-list/ref[1]/element-citation"),
        ("cites", "Poe, E. Raven, link.", ("doi:10.1000/z",), "/article/back/ref-list/ref[2]/mixed-citation"),
    ]
    assert document.facts[1].evidence == "Roe R 2001 Cited work 10.1000/Q 8"
    assert "Cited work" not in document.text


def test_nested_sections_are_flat_with_a_path() -> None:
    """Sections are flat and keep the titles above; text behind an inner section belongs to the outer one again."""
    body = """<sec><label>1</label><title>Methods</title><p>a</p>
    <sec><title>Mice</title><p>b</p><sec><p>c</p></sec></sec><p>d</p></sec><sec><title>Results</title></sec>"""
    assert laid(body) == [
        ("1 Methods", "title", "1 Methods"),
        ("1 Methods", "paragraph", "a"),
        ("1 Methods > Mice", "title", "Mice"),
        ("1 Methods > Mice", "paragraph", "b"),
        ("1 Methods > Mice", "paragraph", "c"),
        ("1 Methods", "paragraph", "d"),
        ("Results", "title", "Results"),
    ]


def test_blocks_inside_a_paragraph_stand_apart() -> None:
    """Lists, figures and tables inside a paragraph become blocks where they stand; formulas stay in the sentence."""
    body = """<p>Before <list><list-item><label>1.</label><p>one</p></list-item><list-item><p>two</p><list><list-item>
    <p>deep</p></list-item></list></list-item></list> between <fig><label>Fig 1</label><caption><title>Seen.</title>
    <p>More.</p></caption><graphic/></fig> so <disp-formula><math><mi>a</mi><mo>=</mo><mn>1</mn></math></disp-formula>
    holds.</p><disp-formula><label>(2)</label><tex-math>$b$</tex-math></disp-formula>"""
    assert [(kind, text) for _, kind, text in laid(body)] == [
        ("paragraph", "Before"),
        ("list_item", "1. one"),
        ("paragraph", "two"),
        ("list_item", "deep"),
        ("paragraph", "between"),
        ("caption", "Fig 1 Seen. More."),
        ("paragraph", "so a=1 holds."),
        ("paragraph", "(2) b"),
    ]


def test_tables_are_rows_of_cells() -> None:
    """A table is its caption, one block of rows, and its notes; a picture of the same table adds nothing."""
    body = """<table-wrap><label>Table 1</label><caption>Ages</caption><alternatives><graphic/><table>
    <thead><tr><th>Arm</th><th>n</th></tr></thead><tbody><tr><td>A<break/>x</td><td>10<sup>2</sup></td></tr>
    <tr><td/><td/></tr></tbody></table></alternatives><table-wrap-foot><fn><p>a note</p></fn></table-wrap-foot>
    </table-wrap>"""
    assert [(kind, text) for _, kind, text in laid(body)] == [
        ("caption", "Table 1 Ages"),
        ("table", "Arm | n\nA x | 10^2"),
        ("paragraph", "a note"),
    ]


def test_back_matter_floats_and_replies_are_text() -> None:
    """Acknowledgements, glossaries, floats and replies follow the body."""
    back = """<ack><p>Thanks.</p></ack><glossary><title>Terms</title><def-list><title>List</title><def-item><term>IR</term>
    <def><p>a model</p></def></def-item></def-list></glossary><fn-group><fn><p>note</p></fn></fn-group>"""
    more = """<floats-group><fig><caption><p>Float</p></caption></fig></floats-group><sub-article><front-stub>
    <title-group><article-title>Letter</article-title></title-group></front-stub><body><p>Dear.</p></body></sub-article>
    <response><body><p>Re.</p></body></response>"""
    assert laid("<p>b</p>", back=back, more=more) == [
        ("", "paragraph", "b"),
        ("", "caption", "Float"),
        ("Acknowledgements", "title", "Acknowledgements"),
        ("Acknowledgements", "paragraph", "Thanks."),
        ("Terms", "title", "Terms"),
        ("Terms", "paragraph", "List"),
        ("Terms", "list_item", "IR: a model"),
        ("", "paragraph", "note"),
        ("Letter", "title", "Letter"),
        ("Letter", "paragraph", "Dear."),
        ("Reply", "title", "Reply"),
        ("Reply", "paragraph", "Re."),
    ]


def test_unknown_elements_lose_no_text() -> None:
    """An element this format does not know is read for its text, with its blocks apart."""
    assert [text for _, _, text in laid("<odd>plain</odd><odd><p>one</p><p>two</p></odd>tail")] == [
        "plain",
        "one",
        "two",
        "tail",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<html/>", "the root element is html"),
        ("<article><para/></article>", "expected an article with front/article-meta"),
        ("<article>", "not well-formed XML"),
        ('<!DOCTYPE article [<!ENTITY e "x">]><article>&e;</article>', "entity &e; on line 1"),
    ],
)
def test_a_refusal_names_the_payload(content: str, reason: str) -> None:
    """What is no article is rejected with the payload's id and file."""
    with pytest.raises(ItemRejected, match=rf"file:x \(file.xml\): .*{reason}"):
        parse(content)


@pytest.mark.parametrize(
    ("head", "recognised"), [("<article>", True), ("<pmc-articleset>", True), ("<html>", False), ("{", False)]
)
def test_sniff(head: str, recognised: bool) -> None:  # noqa: FBT001  # the expected verdict
    """The root element tells."""
    assert FORMAT.sniff(head.encode(), "x.xml") is recognised


def squashed(text: str) -> str:
    return re.sub(r"[\s^]+", "", text)


def assert_nothing_is_lost(path: Path) -> None:
    """Every piece of text of abstract, body and back is in the document (references and formulas aside)."""
    root = etree.parse(str(path)).getroot()
    text = squashed(parse(path.read_bytes()).text)
    aside = {"ref-list", "graphic", "object-id", "tex-math", "alternatives", "front-stub"}
    parts = [*root.findall("body"), *root.findall("back"), *root.findall("floats-group"), *root.iter("abstract")]
    for part in parts:
        for element in part.iter(etree.Element):
            within = [str(element.tag), *(str(one.tag) for one in element.iterancestors())]
            if aside.isdisjoint(within) and not any("MathML" in name for name in within):
                pieces = [element.text, *(child.tail for child in element)]
                assert [piece for piece in pieces if piece and squashed(piece) not in text] == []


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_no_text_of_a_sample_is_lost(path: Path) -> None:
    """Text is not lost around inline elements, in captions, tables, lists or back matter."""
    assert_nothing_is_lost(path)


def test_no_text_of_a_real_article_is_lost(shared_data: Path) -> None:
    """The same for every article we have."""
    for path in sorted((shared_data / "jats").iterdir()):
        assert_nothing_is_lost(path)


FUNDED = """<title-group><article-title>T</article-title></title-group><volume>3</volume><elocation-id>e7</elocation-id>
<permissions><copyright-statement>(c) 2012 Doe</copyright-statement><license><license-p>Free under
 <ext-link xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="https://cc/zero"/>CC0</license-p></license></permissions>
<related-article xmlns:xlink="http://www.w3.org/1999/xlink" related-article-type="retracted-article" ext-link-type="doi" xlink:href="10.1000/OLD"/>
<related-article xmlns:xlink="http://www.w3.org/1999/xlink" related-article-type="companion" xlink:href="info:doi/10.1000/two">Two</related-article>
<related-article xmlns:xlink="http://www.w3.org/1999/xlink" related-article-type="companion" xlink:href="nowhere"/>
<funding-group><award-group><funding-source><institution-wrap>
<institution-id institution-id-type="FundRef">http://dx.doi.org/10.13039/100000002</institution-id>
<institution>NIH</institution></institution-wrap></funding-source><award-id>R01</award-id><award-id>R02</award-id>
</award-group><funding-statement>Paid by NIH.</funding-statement></funding-group>
<funding-group><funding-source>Wellcome</funding-source></funding-group>"""


def test_funding_licence_and_related_articles() -> None:
    """Who paid is a fact with award and registry id; so is an article that this one retracts."""
    document = parse(article("<p>x</p>", meta=FUNDED))
    assert [(f.predicate, f.object.name, f.object.identifiers, f.evidence) for f in document.facts] == [
        ("funded_by", "NIH", ("doi:10.13039/100000002",), "NIH, award R01, R02"),
        ("funded_by", "Wellcome", (), "Wellcome"),
        ("retracts", "doi:10.1000/old", ("doi:10.1000/old",), "retracted_article: doi:10.1000/old"),
        ("related_to", "Two", ("doi:10.1000/two",), "companion: Two"),
    ]
    found = document.metadata
    assert (found["license"], found["license_text"]) == ("https://cc/zero", "Free under CC0")
    assert (found["copyright"], found["funding"]) == ("(c) 2012 Doe", "Paid by NIH.")
    assert found["awards"] == [{"funder": "NIH", "ids": ["R01", "R02"]}]
    assert (found["volume"], found["elocation"]) == ("3", "e7")


def test_every_block_points_at_an_element_that_holds_its_words(shared_data: Path) -> None:
    """In real articles each block's XPath leads to one element, in which every word of the block stands."""
    for name in ("PMC3289602.xml", "PMC7417471.nxml", "10.1186-jbiol10.nxml", "10.7554-eLife.00240.xml"):
        content = (shared_data / "jats" / name).read_bytes()
        record = records(content.decode())[0]
        assert isinstance(record, RawRecord)
        root = parse_record(record.content)
        document = parse(record.content)
        assert findings(document) == []
        for block in document.blocks:
            (element,) = root.xpath(block.pointer)
            inside = "".join(str(text) for text in element.itertext())
            words = [word for word in document.text_of(block).replace("^", "").split() if word.isalpha()]
            assert [word for word in words if word not in inside] in ([], ["Abstract"], ["Acknowledgements"]), block
