"""Web pages: headings as sections, paragraphs, lists and tables as blocks, without what is only around the text.

Read with lxml's HTML parser (libxml2), which mends broken markup as browsers do. Scripts are not run and nothing is
fetched. Source: https://html.spec.whatwg.org/; for the meta names of articles, Google Scholar's inclusion guidelines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder, squeeze
from medical_kg.formats.base import refusals_name
from medical_kg.formats.contract import Format, RawRecord, file_id, read_all
from medical_kg.formats.identifiers import doi_id, nct_id, pmcid_id, pmid_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree

    from medical_kg.documents.build import BlockKind
    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import BadRecord, Readable

SUFFIXES = (".html", ".htm", ".xhtml")
MAX_HTML_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 200
"""Elements deeper than this are taken as running text of the one above."""
MARK = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
ANY_TAG = re.compile(r"<[a-z!]", re.IGNORECASE)
CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
CHARSET_BYTES = 4096
BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

LEFT_OUT = frozenset(
    (  # noqa: SIM905  # words read best as words
        "script style noscript template nav footer aside form svg canvas iframe object embed audio video button select "
        "textarea input dialog menu head math-annotation"
    ).split()
)
ROLES_LEFT_OUT = frozenset({"navigation", "banner", "contentinfo", "search", "complementary", "dialog", "menu"})
HEADINGS = {f"h{level}": level for level in range(1, 7)}
KINDS: dict[str, BlockKind] = {"li": "list_item", "dd": "list_item", "figcaption": "caption", "caption": "caption"}
BLOCKS = frozenset(
    (  # noqa: SIM905
        "address article blockquote body caption center dd details div dl dt fieldset figcaption figure header hgroup "
        "hr html legend li main ol p pre section summary table tbody td tfoot th thead tr ul"
    ).split()
) | frozenset(HEADINGS)
DATES = ("citation_publication_date", "citation_date", "dc.date", "dcterms.date", "article:published_time")
DATE = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?")
SEPARATORS = "-|–—·:"  # noqa: RUF001  # a true en dash stands in titles


class HtmlFormat(Format):
    """One document per file; its title is the page's, its ids those that the page names in its meta elements."""

    name: ClassVar[str] = "html"
    media_types: ClassVar[tuple[str, ...]] = ("text/html", "application/xhtml+xml")

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether it is a page, and is not named as something else: a log-in page stored as ``paper.pdf`` is no paper."""
        name = filename.lower().removesuffix(".gz").rsplit("/", 1)[-1]
        text = _decode(head)
        if name.endswith(SUFFIXES):
            return bool(ANY_TAG.search(text)) and "\x00" not in text
        return "." not in name and bool(MARK.match(text))

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give the file as one record."""
        content, broken = read_all(stream, MAX_HTML_BYTES)
        if broken is not None:
            raise broken
        yield RawRecord(file_id(name), content)

    def parse(self, payload: Payload) -> Document:
        """Read the page; one without text is refused."""
        with refusals_name(payload):
            return _document(_root(payload.content), payload)


def _decode(content: bytes) -> str:
    """Return the page as text: by its mark, what it declares, as UTF-8, else as browsers do, as Windows-1252."""
    for mark, encoding in BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    declared = CHARSET.search(content[:CHARSET_BYTES])
    candidates = [declared[1].decode()] if declared else []
    for encoding in [*candidates, "utf-8"]:
        try:
            return content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return content.decode("cp1252", "replace")


def _root(content: bytes) -> etree._Element:
    from lxml import etree, html

    text = _decode(content).replace("\x00", "")
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    if not text.strip():
        raise ItemRejected("the file holds no text")
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=False)
    try:
        page = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise ItemRejected(f"not HTML: {squeeze(str(error))}") from None
    # At its own limits (depth 256, 10 MB of one text) the parser stops without raising: the rest would be lost in silence.
    if stopped := next(iter(parser.error_log.filter_from_fatals()), None):
        why = squeeze(stopped.message).split(", ")[0]
        raise ItemRejected(f"the page cannot be read beyond line {stopped.line}: {why}")
    return page


def _document(root: etree._Element, payload: Payload) -> Document:
    meta = _meta(root)
    title, pointer = _title(root, meta)
    builder = DocumentBuilder()
    writer = _Writer(builder, title)
    if title:
        builder.block(title, "title", pointer)
    writer.write(_content(root))
    if not writer.written:
        raise ItemRejected("the page holds no text, only scripts, menus or forms")
    return builder.build(
        id=payload.id,
        root=payload.id,
        kind="text",
        title=title or payload.provenance.uri.rsplit("/", 1)[-1],
        identifiers=_identifiers(meta),
        language=(root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or "").strip(),
        published=next((date for name in DATES for value in meta.get(name, ()) if (date := _date(value))), ""),
        metadata=_metadata(meta),
        provenance=payload.provenance,
    )


def _meta(root: etree._Element) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in root.iter("meta"):
        name = (node.get("name") or node.get("property") or "").strip().lower()
        content = squeeze(node.get("content") or "")
        if name and content:
            found.setdefault(name, []).append(content)
    return found


def _title(root: etree._Element, meta: dict[str, list[str]]) -> tuple[str, str]:
    """Return the title and where it stands: the article's own, the page's, else its first heading."""
    tree = root.getroottree()
    own = next((values[0] for name in ("citation_title", "dc.title", "og:title") if (values := meta.get(name))), "")
    for node in [*root.iter("title"), *root.iter("h1")]:
        if text := squeeze("".join(map(str, node.itertext()))):
            return own or text, str(tree.getpath(node))
    return own, "/html/head" if own else ""


def _identifiers(meta: dict[str, list[str]]) -> list[str]:
    makers = {
        "citation_doi": doi_id,
        "dc.identifier": doi_id,
        "prism.doi": doi_id,
        "citation_pmid": pmid_id,
        "citation_pmcid": pmcid_id,
        "citation_nct": nct_id,
    }
    return [ident for name, maker in makers.items() for value in meta.get(name, ()) if (ident := maker(value))]


def _date(text: str) -> str:
    found = DATE.match(text)
    return "-".join(part.zfill(2) for part in found.groups() if part) if found else ""


def _metadata(meta: dict[str, list[str]]) -> dict[str, object]:
    found: dict[str, object] = {
        "authors": meta.get("citation_author") or meta.get("dc.creator") or meta.get("author") or [],
        "journal": (meta.get("citation_journal_title") or [""])[0],
        "description": (meta.get("description") or [""])[0],
        "license": next((value for name in ("dc.rights", "dcterms.license") for value in meta.get(name, ())), ""),
    }
    return {name: value for name, value in found.items() if value}


def _content(root: etree._Element) -> etree._Element:
    """Return the element that holds the text: the only main or article element, else the body."""
    for name in ("main", "article"):
        found = list(root.iter(name))
        if len(found) == 1 and squeeze("".join(map(str, found[0].itertext()))):
            return found[0]
    body = root.find("body")
    return root if body is None else body


class _Writer:
    """Writes elements as sections and blocks, in the order of the page."""

    def __init__(self, builder: DocumentBuilder, title: str) -> None:
        self._builder, self._title = builder, title
        self._above: list[tuple[int, str]] = []
        self.written = 0

    def write(self, element: etree._Element, kind: BlockKind = "paragraph", depth: int = 0) -> None:
        """Write mixed content: runs of inline text as blocks, block elements where they stand."""
        parts = [element.text or ""]
        for child in element:
            if _is_left_out(child):
                parts.append(" " + (child.tail or ""))
            elif depth < MAX_DEPTH and _holds_blocks(child):
                self._block("".join(parts), kind, element)
                self._element(child, kind, depth + 1)
                parts = [child.tail or ""]
            else:
                parts += [_inline(child), child.tail or ""]
        self._block("".join(parts), kind, element)

    def _element(self, child: etree._Element, kind: BlockKind, depth: int) -> None:
        name = str(child.tag)
        if name in HEADINGS:
            self._heading(child, HEADINGS[name])
        elif name == "table":
            self._table(child, depth)
        elif name == "dt":
            self._block(_inline(child), "list_item", child)
        else:
            self.write(child, KINDS.get(name, kind), depth)

    def _heading(self, element: etree._Element, level: int) -> None:
        text = squeeze(_inline(element))
        if not text or (not self.written and _same(text, self._title)):
            return
        self._above = [(above, title) for above, title in self._above if above < level]
        self._builder.section(text, [title for _, title in self._above], pointer=_path(element))
        self._above.append((level, text))
        self.written += 1

    def _table(self, table: etree._Element, depth: int) -> None:
        rows = [row for row in table.iter("tr") if next(row.iterancestors("table")) is table]
        is_layout = any(cell.find(".//table") is not None or cell.find(".//p") is not None for cell in rows)
        for caption in table.iterchildren("caption"):
            self._block(_inline(caption), "caption", caption)
        if is_layout:
            for row in rows:
                for cell in row.iterchildren("td", "th"):
                    self.write(cell, depth=depth + 1)
            return
        lines = (" | ".join(squeeze(_inline(cell)) for cell in row.iterchildren("td", "th")) for row in rows)
        self._block("\n".join(line for line in lines if line.strip(" |")), "table", table)

    def _block(self, text: str, kind: BlockKind, element: etree._Element) -> None:
        text = text if kind == "table" else squeeze(text)
        if text:
            self._builder.block(text, kind, _path(element))
            self.written += 1


def _path(element: etree._Element) -> str:
    return str(element.getroottree().getpath(element))


def _is_left_out(element: etree._Element) -> bool:
    if not isinstance(element.tag, str) or element.tag in LEFT_OUT:
        return True
    is_hidden = element.get("hidden") is not None or element.get("aria-hidden") == "true"
    return is_hidden or (element.get("role") or "").lower() in ROLES_LEFT_OUT


def _holds_blocks(element: etree._Element) -> bool:
    return element.tag in BLOCKS or any(inner.tag in BLOCKS for inner in element.iterdescendants())


def _inline(element: etree._Element) -> str:
    """Return the text of an element on one line, without what is left out."""
    if _is_left_out(element):
        return ""
    if element.tag == "br":
        return " "
    if element.tag == "sup" and (element.text or "")[:1].isdigit() and not len(element):
        return f"^{element.text}" if _behind_digit(element) else element.text or ""
    parts = [element.text or ""]
    for child in element:
        apart = " " if child.tag in BLOCKS else ""
        parts += [apart, _inline(child), apart, child.tail or ""]
    return "".join(parts)


def _behind_digit(element: etree._Element) -> bool:
    previous, parent = element.getprevious(), element.getparent()
    before = previous.tail if previous is not None else parent.text if parent is not None else ""
    return (before or "")[-1:].isdigit()


def _same(heading: str, title: str) -> bool:
    """Whether a heading says what the title says, to which pages like to add the site's name."""
    return title == heading or (title.startswith(heading) and title[len(heading) :].strip()[:1] in SEPARATORS)
