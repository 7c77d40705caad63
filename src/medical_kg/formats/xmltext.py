"""Reading XML that nobody vouches for: closed parser, records one at a time, inline text without losses.

lxml may not reach the network, load a DTD or expand an entity here; libxml2's own limits (depth 256, text nodes of
10 MB) stay on. A DOCTYPE is accepted, as every PubMed and JATS file has one; an entity that is left in the tree is an
error, since its text would be lost in silence.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from lxml import etree

from medical_kg import ItemRejected
from medical_kg.documents.build import squeeze
from medical_kg.formats.mathml import math_text, tex_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from medical_kg.formats.contract import Readable

CLOSED: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}

MAX_RECORD_BYTES = 32 * 1024 * 1024
"""The most XML that may pass without a record's end; more would fill the memory with a tree."""

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL)
ROOT = re.compile(r"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)[\s/>]")
EXPONENT = re.compile(r"[-−–+]?\d")  # noqa: RUF001  # a true minus and an en dash do stand in exponents
APART = frozenset(
    {"p", "title", "label", "list-item", "td", "th", "def", "term", "fn", "caption", "disp-formula", "def-item"}
)
"""Elements that stand apart from what is beside them, even where no white space says so."""
SILENT = frozenset({"graphic", "inline-graphic", "object-id", "annotation", "annotation-xml"})


def root_name(head: bytes) -> str:
    """Return the local name of the root element of an XML file from its first bytes; "" where there is none."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = head.decode(encoding, errors="ignore").lstrip("\ufeff \t\r\n")
    if not text.startswith("<"):
        return ""
    found = ROOT.search(DOCTYPE.sub("", COMMENT.sub("", text)))
    return found.group(1) if found else ""


def elements(stream: Readable, names: Collection[str]) -> Iterator[etree._Element]:
    """Give each element with one of these local names as its end is read; it is emptied when the next is asked for.

    Raises:
        ItemRejected: the rest is not well-formed XML, or too large.
    """
    parser = etree.XMLPullParser(events=("end",), tag=[f"{{*}}{name}" for name in names], **CLOSED)
    since = 0
    try:
        while chunk := stream.read(65_536):
            since += len(chunk)
            parser.feed(chunk)
            for element in _ended(parser):
                since = 0
                yield element
            if since > MAX_RECORD_BYTES:
                raise ItemRejected(f"a record is larger than {MAX_RECORD_BYTES:,} bytes of XML")
        parser.close()
    except etree.XMLSyntaxError as error:
        yield from _ended(parser)
        raise ItemRejected(f"not well-formed XML: {squeeze(str(error.msg))}") from None


def _ended(parser: etree.XMLPullParser) -> Iterator[etree._Element]:
    for _, element in cast("Any", parser.read_events()):
        yield element
        parent = element.getparent()
        element.clear()
        if parent is not None:
            del parent[: parent.index(element)]


def record_bytes(element: etree._Element) -> bytes:
    """Return one element as an XML document of its own, in UTF-8.

    Raises:
        ItemRejected: an entity in it is not resolved.
    """
    _refuse_entities(element)
    return etree.tostring(element, encoding="utf-8", with_tail=False)


def parse_record(content: bytes) -> etree._Element:
    """Return the root of a record, its element names without namespaces.

    Raises:
        ItemRejected: it is not well-formed, or an entity in it is not resolved.
    """
    try:
        root = etree.fromstring(content, etree.XMLParser(**CLOSED))
    except etree.XMLSyntaxError as error:
        raise ItemRejected(f"not well-formed XML: {squeeze(str(error.msg))}") from None
    _refuse_entities(root)
    for element in root.iter():
        element.tag = local_name(element)
    return root


def _refuse_entities(element: etree._Element) -> None:
    entity = next(iter(element.iter(etree.Entity)), None)
    if entity is not None:
        raise ItemRejected(f"entity {entity.text} on line {entity.sourceline} is not resolved: entities are not loaded")


def local_name(element: etree._Element) -> str:
    """Return an element's name without its namespace."""
    return str(etree.QName(element).localname)


def path_of(element: etree._Element) -> str:
    """Return the XPath of an element inside its record."""
    return str(element.getroottree().getpath(element))


def text_of(element: etree._Element | None) -> str:
    """Return an element's whole text on one line; "" for None."""
    return "" if element is None else squeeze(inline_text(element))


def inline_text(element: etree._Element) -> str:
    """Return the text of an element and all in it, with formulas made readable and pictures left out."""
    name = str(element.tag)
    if name == "math":
        return math_text(element)
    if name == "tex-math":
        return tex_text(element.text or "")
    if name == "alternatives":
        return _first_text(element)
    if name == "break":
        return " "
    if name in SILENT:
        return ""
    parts = [element.text or ""]
    for child in element:
        append_inline(parts, child)
    text = "".join(parts)
    return f" {text} " if name in APART else text


def append_inline(parts: list[str], child: etree._Element) -> None:
    """Append a child's text and what follows it; an exponent behind a digit gets its ``^`` (10^5, not 105)."""
    text = inline_text(child)
    is_power = child.tag == "sup" and EXPONENT.match(text) and child.find(".//xref") is None
    before = "".join(parts[-2:])[-1:]
    parts += ["^" if is_power and before.isdigit() else "", text, child.tail or ""]


def _first_text(alternatives: etree._Element) -> str:
    # The same formula in several notations: MathML reads best, else the first that has any text.
    ranked = sorted(alternatives, key=lambda child: child.tag != "math")
    return next((text for child in ranked if (text := inline_text(child)).strip()), "")
