"""``markdown``: headings, lists, tables and code of Markdown files."""

from __future__ import annotations

import io

import pytest

from medical_kg import ItemRejected
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.contract import RawRecord
from medical_kg.formats.markdown import MarkdownFormat

FORMAT = MarkdownFormat()


def parse(content: str) -> Document:
    provenance = Provenance(source="test", uri="notes/a.md")
    payload = Payload(id="file:notes/a.md", format="markdown", content=content.encode(), provenance=provenance)
    document = FORMAT.parse(payload)
    assert findings(document) == []
    return document


def blocks(content: str) -> list[tuple[str, str, str]]:
    document = parse(content)
    return [(block.kind, block.pointer, document.text_of(block)) for block in document.blocks]


def test_headings_are_sections_below_each_other() -> None:
    """The first heading is the title; each later one opens a section with the ones above it as its path."""
    document = parse("# Note\n\nintro\n\n## Methods\n\nwe did\n\n### Mice\n\nten\n\nResults\n---\n\nfound\n")
    assert document.title == "Note"
    assert [(section.path, section.title) for section in document.sections] == [
        ((), ""),
        ((), "Methods"),
        (("Methods",), "Mice"),
        ((), "Results"),
    ]


def test_each_kind_of_block_points_at_its_line() -> None:
    """Inline marks go, words stay; a number stands before an item's first paragraph."""
    text = (
        "A *very* [good](http://x) `drug`\nworks<br>.\n\n> quoted\n\n* one\n* two\n\n  more\n\n3. three\n\n"
        "| a | b |\n|---|---|\n| 1 | **2** |\n\n```\ncode\n```\n\n<div>seen</div>\n\n<!-- unseen -->\n\n![Figure 1](f.png)\n"
    )
    assert blocks(text) == [
        ("paragraph", "line=1", "A very good drug works."),
        ("paragraph", "line=4", "quoted"),
        ("list_item", "line=6", "one"),
        ("list_item", "line=7", "two"),
        ("list_item", "line=9", "more"),
        ("list_item", "line=11", "3. three"),
        ("table", "line=13", "a | b\n1 | 2"),
        ("paragraph", "line=17", "code"),
        ("paragraph", "line=21", "seen"),
        ("paragraph", "line=25", "Figure 1"),
    ]


def test_front_matter_names_the_document() -> None:
    """Its title, date and language count; its lines are counted but are no text."""
    document = parse('---\ntitle: "On rest"\ndate: 2020-05-06\nlang: en\n---\n# On rest\n\nText.\n')
    assert (document.title, document.published, document.language) == ("On rest", "2020-05-06", "en")
    assert [(document.text_of(block), block.pointer) for block in document.blocks] == [
        ("On rest", "line=1"),
        ("Text.", "line=8"),
    ]


def test_without_a_heading_the_file_names_it() -> None:
    """A heading behind text is a section, not the title."""
    document = parse("Text.\n\n# Later\n\nMore.")
    assert (document.title, [section.title for section in document.sections]) == ("a.md", ["", "Later"])


@pytest.mark.parametrize("content", ["<!-- nothing -->", "---\nname: x\n---\n", "# ", "| |\n|---|\n"])
def test_a_file_without_words_is_refused(content: str) -> None:
    """Markup alone is no text."""
    with pytest.raises(ItemRejected, match=r"file:notes/a.md \(notes/a.md\): the file holds no text, only comments"):
        parse(content)


def test_what_is_nested_too_deeply_is_refused_and_not_left_out() -> None:
    """Up to the limit every word is read; beyond it the file is refused, with the line, as its end would be missing."""

    def lists(depth: int) -> str:
        return "".join(f"{'  ' * level}- word{level}\n" for level in range(depth))

    assert [text for _, _, text in blocks(lists(19))] == [f"word{level}" for level in range(19)]
    assert blocks(f"{'>' * 39} word") == [("paragraph", "line=1", "word")]
    with pytest.raises(ItemRejected, match="line 20: quotes and lists are nested too deeply, more than 40 levels"):
        parse(lists(20))
    with pytest.raises(ItemRejected, match="line 3: quotes and lists are nested too deeply"):
        parse(f"Words.\n\n{'>' * 5000} word")


@pytest.mark.parametrize(("name", "recognised"), [("a.MD", True), ("b.markdown.gz", True), ("c.txt", False)])
def test_sniff_by_ending(name: str, recognised: bool) -> None:  # noqa: FBT001  # the expected verdict
    """Only the file's name tells Markdown; records are those of text files."""
    assert FORMAT.sniff(b"anything", name) is recognised
    assert list(FORMAT.records(io.BytesIO(b"x"), "a/b.md")) == [RawRecord("file:a/b.md", b"x")]
