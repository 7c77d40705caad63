"""The conformance suite, held against every built-in format, and against formats that break its rules."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from handmade_pdfs import lines, pdf

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Document
from medical_kg.documents.records import Payload
from medical_kg.formats.clinicaltrials import ClinicalTrialsFormat
from medical_kg.formats.conformance import FormatCase, FormatConformance
from medical_kg.formats.contract import BadRecord, Format, RawRecord, Readable, file_id, read_all
from medical_kg.formats.html import HtmlFormat
from medical_kg.formats.jats import JatsFormat
from medical_kg.formats.markdown import MarkdownFormat
from medical_kg.formats.openalex import OpenAlexFormat
from medical_kg.formats.pdf import PdfFormat
from medical_kg.formats.pubmed import PubMedFormat
from medical_kg.formats.pubtator import PubTatorFormat
from medical_kg.formats.text import TextFormat

STUDY = {"protocolSection": {"identificationModule": {"nctId": "NCT00000001", "briefTitle": "A trial"}}}
WORK = {"id": "https://openalex.org/W1", "title": "A work", "abstract_inverted_index": {"Found.": [0]}}
CITATION = b"""<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>7</PMID><Article><ArticleTitle>T</ArticleTitle>
<Abstract><AbstractText>Found.</AbstractText></Abstract></Article></MedlineCitation></PubmedArticle></PubmedArticleSet>"""
ARTICLE = b"""<article><front><article-meta><article-id pub-id-type="pmid">7</article-id><title-group><article-title>T
</article-title></title-group></article-meta></front><body><sec><title>S</title><p>Found.</p></sec></body></article>"""


class TestClinicalTrials(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        good = json.dumps([STUDY, STUDY]).encode()
        return FormatCase(ClinicalTrialsFormat(), {"a.json": good}, bad={"b.json": b'[{"protocolSection": {}}]'})


class TestOpenAlex(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        bad = json.dumps({"id": "https://openalex.org/A1", "abstract_inverted_index": {}})
        return FormatCase(OpenAlexFormat(), {"a.json": json.dumps(WORK).encode()}, bad={"b.json": bad.encode()})


class TestPubMed(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        bad = CITATION.replace(b"<PMID>7</PMID>", b"")
        return FormatCase(PubMedFormat(), {"a.xml": CITATION}, bad={"b.xml": bad, "c.xml": CITATION[:-30]})


class TestJats(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        return FormatCase(JatsFormat(), {"a.nxml": ARTICLE}, bad={"b.nxml": b"<article><p>&nbsp;</p></article>"})


class TestPubTator(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        good = b"7|t|Gout.\n7|a| An attack.\n7\t0\t4\tGout\tDisease\tD006073\n\n8|t|Fever\n8|a|\n"
        return FormatCase(PubTatorFormat(), {"a.txt": good}, bad={"b.txt": b"7|t|\n7|a|\n", "c.txt": b"7|t|T\xff"})


class TestText(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        return FormatCase(TextFormat(), {"a.txt": b"Title\n\nFound."}, bad={"b.txt": b" \n", "c.txt": b"a\xff"})


class TestMarkdown(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        good = b"# Title\n\nFound *it*.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n* one\n* two\n"
        return FormatCase(MarkdownFormat(), {"a.md": good}, bad={"b.md": b"", "c.md": b"<!-- nothing -->"})


class TestHtml(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        good = b"<!doctype html><title>T</title><h1>T</h1><p>Found.</p><table><tr><td>1<td>2</table>"
        return FormatCase(HtmlFormat(), {"a.html": good}, bad={"b.html": b"<html><script>1</script></html>"})


class TestPdf(FormatConformance):
    @pytest.fixture
    def case(self) -> FormatCase:
        return FormatCase(PdfFormat(), {"a.pdf": pdf(lines("Found."))}, bad={"b.pdf": b"%PDF-1.7", "c.pdf": pdf(b"")})


class Careless(Format):
    """A format that keeps no rule: counts across calls, forgets places and fails with what comes."""

    name = "careless"
    calls = 0

    def sniff(self, head: bytes, filename: str) -> bool:
        """Takes everything."""
        del filename
        return head is not None

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Gives another id each time."""
        content, _ = read_all(stream, 1000)
        Careless.calls += 1
        yield RawRecord(f"{file_id(name)}{Careless.calls}", content)

    def parse(self, payload: Payload) -> Document:
        """Divides by what some texts give as zero."""
        if payload.content == b"":
            raise ItemRejected("bad")
        text = payload.content.decode()
        assert 1 / (len(text) - 5)
        builder = DocumentBuilder()
        builder.block(text)
        Careless.calls += 1
        title = f"{text} {Careless.calls}"
        return builder.build(id="x", root="y", kind="text", title=title, provenance=payload.provenance)


HAPPENS_TO_KEEP = {
    "test_it_is_made_without_arguments_and_has_a_name",
    "test_it_recognises_its_files_by_their_head",
    "test_ids_are_prefixed",
    "test_documents_survive_storage",
}
RULES = sorted({name for name in vars(FormatConformance) if name.startswith("test_")} - HAPPENS_TO_KEEP)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_broken(rule: str) -> None:
    """A format that keeps no rule fails by each, but those that it happens to keep."""
    case = FormatCase(Careless(), {"a.x": b"Some words."}, bad={"b.x": b"words"})
    check = getattr(FormatConformance(), rule)
    arguments = {"head": b""} if rule == "test_it_does_not_take_what_is_nothing" else {}
    with pytest.raises((AssertionError, UnicodeDecodeError, ZeroDivisionError)):
        check(case, **arguments)


def test_without_a_case_the_suite_says_what_is_missing() -> None:
    """Whoever subclasses it learns of the fixture."""
    with pytest.raises(pytest.fail.Exception, match="needs a fixture named case that returns a FormatCase"):
        FormatConformance.case.__wrapped__(FormatConformance())  # type: ignore[attr-defined]  # pytest wraps it
