"""XML that nobody vouches for."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from lxml import etree

from medical_kg import ItemRejected
from medical_kg.formats import xmltext
from medical_kg.formats.xmltext import elements, parse_record, record_bytes, root_name, text_of


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"<article/>", "article"),
        (
            b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- <html> -->\n<!DOCTYPE article SYSTEM "x.dtd">\n<article x="1">',
            "article",
        ),
        (b'<!DOCTYPE a [<!ENTITY e "<article>"> ]><set>', "set"),
        (b"<j:article xmlns:j='u'>", "article"),
        ("<article/>".encode("utf-16"), "article"),
        (b"", ""),
        (b"article <article>", ""),
        (b"<!DOCTYPE html>", ""),
    ],
)
def test_root_name(head: bytes, name: str) -> None:
    """The root element is told from the first bytes, whatever stands before it."""
    assert root_name(head) == name


def texts(content: bytes) -> list[str]:
    return [text_of(element) for element in elements(io.BytesIO(content), ["r"])]


def test_elements_come_one_at_a_time() -> None:
    """Each record is given as its end is read, then emptied, so that memory does not grow with the file."""
    content = b"<s>" + b"".join(b"<r>%d</r>x<o/>" % number for number in range(50)) + b"</s>"
    seen = []
    for element in elements(io.BytesIO(content), ["r"]):
        parent = element.getparent()
        assert parent is not None
        seen.append((element.text, parent.index(element)))
    assert [text for text, _ in seen] == [str(number) for number in range(50)]
    assert max(place for _, place in seen) <= 2


def test_records_before_a_break_are_given() -> None:
    """A file that ends early loses no record that was whole."""
    found: list[str] = []
    with pytest.raises(ItemRejected, match=r"not well-formed XML: .*line 1"):
        found.extend(text for text in texts_into(found, b"<s><r>1</r><r>2</r><r>3"))
    assert found == ["1", "2"]


def texts_into(found: list[str], content: bytes) -> list[str]:
    for element in elements(io.BytesIO(content), ["r"]):
        found.append(text_of(element))  # noqa: PERF401  # kept one by one, so that they are there when the break comes
    return []


def test_an_external_entity_is_never_read(tmp_path: Path) -> None:
    """An entity stays unread and is an error, since its text would be missing."""
    secret = tmp_path / "secret"
    secret.write_text("secret words")
    content = f'<!DOCTYPE s [<!ENTITY x SYSTEM "{secret.as_uri()}">]>\n<s><r>a &x;</r></s>'.encode()
    for element in elements(io.BytesIO(content), ["r"]):
        assert "secret" not in etree.tostring(element, encoding="unicode")
        with pytest.raises(ItemRejected, match="entity &x; on line 2 is not resolved"):
            record_bytes(element)


def test_an_internal_entity_is_no_text_either() -> None:
    """Entities are not expanded at all, so no bomb goes off; numeric references are read."""
    with pytest.raises(ItemRejected, match="entity &e;"):
        parse_record(b'<!DOCTYPE r [<!ENTITY e "x">]><r>&e;</r>')
    assert text_of(parse_record(b"<r>&#946;&amp;</r>")) == "β&"


@pytest.mark.parametrize("content", [b"", b"<r>", b"<r>\x00</r>", b"<r>\xff</r>", b"<r>" * 300])
def test_malformed_records_are_refused(content: bytes) -> None:
    """Malformed, undecodable and too deep XML is rejected with the parser's words on one line."""
    with pytest.raises(ItemRejected, match=r"not well-formed XML: [^\n]+$"):
        parse_record(content)


def test_too_large_a_record_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """XML without the end of a record cannot fill the memory."""
    monkeypatch.setattr(xmltext, "MAX_RECORD_BYTES", 100_000)
    with pytest.raises(ItemRejected, match="a record is larger than 100,000 bytes"):
        texts(b"<s>" + b"<x/>" * 50_000 + b"</s>")
    assert len(texts(b"<s>" + b"<r/>" * 50_000 + b"</s>")) == 50_000


def test_comments_and_namespaces_do_not_part_words() -> None:
    """A comment inside a word leaves it whole; names lose their namespaces."""
    root = parse_record(b'<r xmlns="urn:a"><p>wo<!-- c -->rd<?pi?>s</p></r>')
    assert text_of(root.find("p")) == "words"


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("H<sub>2</sub>O and <italic>E. <bold>coli</bold></italic>.", "H2O and E. coli."),
        ("10<sup>5</sup> at 10 <sup>-5</sup> ", "10^5 at 10 -5"),
        ("Ca<sup>2+</sup>, m<sup>2</sup>, 2004<sup><xref>1</xref></sup>", "Ca2+, m2, 20041"),
        ("<td>a</td><td>b</td>", "a b"),
        ("a<break/>b<inline-graphic>x</inline-graphic>", "a b"),
        ("<alternatives><tex-math>$y$</tex-math><math><mi>x</mi></math></alternatives>", "x"),
        ("<alternatives><graphic/><tex-math>$y$</tex-math></alternatives>", "y"),
        ("see <xref>Fig. 1</xref>", "see Fig. 1"),
    ],
)
def test_inline_text_keeps_every_word(inner: str, expected: str) -> None:
    """Text around and inside inline elements stays, exponents stay exponents, formulas are said once."""
    assert text_of(parse_record(f"<p>{inner}</p>".encode())) == expected
    assert text_of(None) == ""
