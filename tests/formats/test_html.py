"""``html``: the text of web pages."""

from __future__ import annotations

import io

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.html import HtmlFormat

FORMAT = HtmlFormat()


def parse(content: str | bytes) -> Document:
    data = content.encode() if isinstance(content, str) else content
    provenance = Provenance(source="test", uri="pages/a.html")
    document = FORMAT.parse(Payload(id="file:pages/a.html", format="html", content=data, provenance=provenance))
    assert findings(document) == []
    return document


def blocks(content: str) -> list[tuple[str, str]]:
    document = parse(content)
    return [(block.kind, document.text_of(block)) for block in document.blocks]


PAGE = """<!DOCTYPE html><html lang="en"><head><title>On rest | J Rest</title>
<meta name="citation_doi" content="10.1000/ABC"><meta name="citation_pmid" content="7">
<meta name="citation_author" content="Doe, J"><meta name="citation_author" content="Roe, R">
<meta name="citation_journal_title" content="J Rest"><meta name="citation_publication_date" content="2020/5/6">
<style>p {}</style></head><body><nav><a>Home</a></nav><div role="banner">Log in</div>
<main><h1>On rest</h1><p>We <b>rest</b>ed 10<sup>5</sup> mice<sup>2</sup>.<br>Twice.</p>
<h2>Methods</h2><div>Bare words <p>Inner.</p> tail</div><h3>Mice</h3><ul><li>one<li>two <p>more</ul>
<h2>Results</h2><table><caption>Table 1</caption><tr><th>a<th>b<tr><td>1<td>2</table>
<figure><img alt="x"><figcaption>Figure 1</figcaption></figure><dl><dt>Rest</dt><dd>sleep</dd></dl>
<p hidden>unseen</p><script>var x = "<p>no</p>"</script><!-- no --></main><footer>(c)</footer></body></html>"""


def test_a_page_becomes_sections_and_blocks() -> None:
    """Headings open sections; menus, scripts and what is hidden are no text; broken markup is mended."""
    document = parse(PAGE)
    assert [(section.path, section.title) for section in document.sections] == [
        ((), ""),
        ((), "Methods"),
        (("Methods",), "Mice"),
        ((), "Results"),
    ]
    assert blocks(PAGE) == [
        ("title", "On rest | J Rest"),
        ("paragraph", "We rested 10^5 mice2. Twice."),
        ("title", "Methods"),
        ("paragraph", "Bare words"),
        ("paragraph", "Inner."),
        ("paragraph", "tail"),
        ("title", "Mice"),
        ("list_item", "one"),
        ("list_item", "two"),
        ("list_item", "more"),
        ("title", "Results"),
        ("caption", "Table 1"),
        ("table", "a | b\n1 | 2"),
        ("caption", "Figure 1"),
        ("list_item", "Rest"),
        ("list_item", "sleep"),
    ]
    assert document.blocks[1].pointer == "/html/body/main/p[1]"


def test_the_page_names_itself() -> None:
    """Ids, date, authors and language come from the head."""
    document = parse(PAGE)
    assert document.identifiers == ("file:pages/a.html", "doi:10.1000/abc", "pmid:7")
    assert (document.title, document.published, document.language) == ("On rest | J Rest", "2020-05-06", "en")
    assert document.metadata == {"authors": ["Doe, J", "Roe, R"], "journal": "J Rest"}


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ('<meta name="citation_title" content="Own"><title>Site</title><p>x', "Own"),
        ("<h1>Head</h1><p>x", "Head"),
        ("<p>x", "a.html"),
        ('<meta property="og:title" content="Shared"><p>x', "Shared"),
    ],
)
def test_the_title_is_the_best_there_is(page: str, title: str) -> None:
    """The article's own, the page's, the first heading, else the file's name."""
    assert parse(page).title == title


@pytest.mark.parametrize(
    "content",
    [
        "naïve β".encode(),
        b"\xef\xbb\xbf" + "naïve β".encode(),
        b"\xff\xfe" + "<p>naïve β".encode("utf-16-le"),
        b'<meta charset="iso-8859-7"><p>' + "naive β".encode("iso-8859-7"),
        '<meta charset="no-such"><p>naïve β'.encode(),
    ],
)
def test_encodings(content: bytes) -> None:
    """A mark, a declaration, or UTF-8."""
    assert parse(content).text.endswith("ve β")


def test_old_pages_are_read_as_browsers_do() -> None:
    """Bytes that are no UTF-8 are Windows-1252."""
    assert parse(b"<p>na\xefve").text == "naïve"


def test_a_table_that_lays_the_page_out_is_no_table() -> None:
    """Where cells hold paragraphs or tables, these are the blocks."""
    page = "<table><tr><td><p>Left.</p></td><td><table><tr><td>1<td>2</table></td></tr></table>"
    assert blocks(page) == [("paragraph", "Left."), ("table", "1 | 2")]


def test_an_article_among_others_is_not_the_page() -> None:
    """Only a main or article element that is the only one holds the text."""
    assert blocks("<p>a</p><article>b</article><article>c</article>") == [("paragraph", word) for word in "abc"]
    assert blocks("<p>a</p><article>b</article>") == [("paragraph", "b")]


def test_deep_markup_is_read_to_the_end() -> None:
    """Hundreds of nested elements are neither an error nor a loss."""
    assert "deep" in parse("<div>" * 240 + "deep" + "</div>" * 240).text


@pytest.mark.parametrize("content", ["", " \n", "<html></html>", "<nav>Menu</nav>", "<script>1</script>", "<!-- a -->"])
def test_a_page_without_text_is_refused(content: str) -> None:
    """Menus and scripts are no text."""
    with pytest.raises(ItemRejected, match=r"file:pages/a.html \(pages/a.html\): (the|not)"):
        parse(content)


@pytest.mark.parametrize(
    ("head", "name", "recognised"),
    [
        (b"<!DOCTYPE html><p>", "a.html", True),
        (b"<p>x", "a.HTM.gz", True),
        (b"plain words", "a.html", False),
        (b"<!-- c -->\n<html>", "page", True),
        (b"<html>Log in", "paper.pdf", False),
        (b"<html>Error", "pubmed.xml", False),
        (b"<article>", "page", False),
    ],
)
def test_sniff(head: bytes, name: str, recognised: bool) -> None:  # noqa: FBT001  # the expected verdict
    """A page by its ending or, without one, by its first element; one stored under another name is an error page."""
    assert FORMAT.sniff(head, name) is recognised


@pytest.mark.parametrize(
    ("middle", "why"),
    [
        ("<div>" * 300, "Excessive depth"),
        ("<div>" * 100_000 + "</div>" * 100_000, "Excessive depth"),
        (f'<p title="{"x" * 10_100_000}">', "limit"),
    ],
    ids=["depth", "great depth", "attribute"],
)
def test_a_page_that_cannot_be_read_to_its_end_is_refused(middle: str, why: str) -> None:
    """Where the parser stops at a limit, what it has read so far is not taken for the page."""
    with pytest.raises(ItemRejected, match=f"the page cannot be read beyond line 2: .*{why}"):
        parse(f"<html><body><p>Before</p>\n{middle}<p>Behind</p>")


def test_a_file_is_one_record() -> None:
    """Named after the file; half a page is none."""
    (record,) = FORMAT.records(io.BytesIO(b"<p>x"), "a/b.html")
    assert record[:2] == ("file:a/b.html", b"<p>x")

    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ItemRejected("cut off")

    with pytest.raises(ItemRejected, match="cut off"):
        list(FORMAT.records(Broken(), "a.html"))
