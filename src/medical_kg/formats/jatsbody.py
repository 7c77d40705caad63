"""The running text of a JATS article: its nested, mixed content laid out as flat sections and blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medical_kg.documents.build import squeeze
from medical_kg.formats.xmltext import append_inline, path_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lxml import etree

    from medical_kg.documents.build import BlockKind, DocumentBuilder

SECTIONS: Mapping[str, str] = {
    "sec": "",
    "treatment-sec": "",
    "taxon-treatment": "",
    "app": "",
    "notes": "",
    "ack": "Acknowledgements",
    "glossary": "",
    "bio": "",
    "fn-group": "",
}
"""Elements that open a section when they have a title, and the title where the article gives none."""

FLOWS = frozenset(
    [
        "p",
        "disp-quote",
        "boxed-text",
        "list-item",
        "def",
        "fn",
        "table-wrap-foot",
        "attrib",
        "verse-group",
        "verse-line",
        "statement",
        "speech",
        "caption",
        "sec-meta",
        "app-group",
        "supplementary-material",
        "media",
        "fig-group",
        "table-wrap-group",
        "body",
        "back",
        "floats-group",
        "disp-formula-group",
        "preformat",
        "question",
        "answer",
        "array",
        "nomenclature",
        "treatment-meta",
        "chem-struct-wrap",
        "code",
    ]
)
"""Elements whose content is a paragraph of its own, or several."""

LEFT_OUT = frozenset({"ref-list", "front-stub", "front", "sub-article", "response", "sec-meta"})
"""References become facts, replies follow the article; the rest is not running text."""


class BodyWriter:
    """Writes parts of an article to a document builder; text is neither lost nor written twice."""

    def __init__(self, builder: DocumentBuilder) -> None:
        """Write to ``builder``; the writer keeps the place in the section tree."""
        self._builder = builder
        self._here: tuple[object, str, tuple[str, ...]] = (None, "", ())
        self._pointer = ""
        self._open: object = None
        self._seen: set[object] = set()
        self._blocks: Mapping[str, Callable[[etree._Element], None]] = {
            **dict.fromkeys(SECTIONS, self._section),
            **dict.fromkeys(FLOWS, self._flow),
            **dict.fromkeys(LEFT_OUT, lambda _: None),
            "title": self._line,
            "label": self._line,
            "disp-formula": self._line,
            "list": self._list,
            "def-list": self._definitions,
            "fig": self._figure,
            "table-wrap": self._figure,
            "table": self._table,
        }

    def part(self, element: etree._Element | None) -> None:
        """Write the content of body, back or floats-group, outside any section."""
        if element is not None:
            self._here = (element, "", ())
            self._flow(element)

    def titled(self, element: etree._Element, default: str) -> None:
        """Write an abstract or a reply as a section, under its own title or the one given."""
        self._here = (None, "", ())
        self._section(element, default)

    def _section(self, element: etree._Element, default: str = "") -> None:
        title_node = element.find("title")
        title = text_of(title_node) or default or SECTIONS.get(str(element.tag), "")
        outer = self._here
        above = (*outer[2], outer[1]) if outer[1] else outer[2]
        label_node = None
        if title:
            label_node = element.find("label")
            label = text_of(label_node)
            self._here = (element, f"{label} {title}" if label else title, above)
            self._pointer = path_of(element if title_node is None else title_node)
            self._enter()
        for child in element:
            if child is not title_node and child is not label_node:
                self._child(child)
        self._here = outer

    def _enter(self) -> None:
        # A section is opened again, without its heading, when text follows the sections inside it.
        owner, title, path = self._here
        if self._open is not owner:
            self._builder.section(title, path, heading=owner not in self._seen, pointer=self._pointer)
            self._seen.add(owner)
            self._open = owner

    def _write(self, text: str, element: etree._Element, kind: BlockKind = "paragraph") -> None:
        if text:
            self._enter()
            self._builder.block(text, kind, path_of(element))

    def _child(self, child: etree._Element) -> None:
        handle = self._blocks.get(str(child.tag))
        if handle is not None:
            handle(child)
        elif len(child) and any(str(inner.tag) in self._blocks for inner in child.iterdescendants()):
            self._flow(child)
        else:
            self._write(text_of(child), child)

    def _flow(self, element: etree._Element, kind: BlockKind = "paragraph") -> None:
        """Write mixed content: runs of inline text as blocks, block elements where they stand."""
        parts = [element.text or ""]
        for child in element:
            if self._is_block(child):
                self._write(squeeze("".join(parts)), element, kind)
                self._child(child)
                parts = [child.tail or ""]
            else:
                append_inline(parts, child)
        self._write(squeeze("".join(parts)), element, kind)

    def _is_block(self, child: etree._Element) -> bool:
        # A formula inside a sentence stays in it, even a displayed one.
        name, parent = str(child.tag), child.getparent()
        if name == "disp-formula":
            return parent is None or parent.tag != "p"
        if name in self._blocks:
            return True
        return any(str(inner.tag) in ("p", "fig", "table-wrap", "list") for inner in child.iterdescendants())

    def _line(self, element: etree._Element) -> None:
        self._write(text_of(element), element)

    def _list(self, element: etree._Element) -> None:
        for child in element:
            if child.tag == "list-item":
                self._item(child)
            else:
                self._child(child)

    def _item(self, item: etree._Element) -> None:
        simple = [child for child in item if child.tag in ("label", "p", "title")]
        if len(simple) == len(item) and not any(self._has_blocks(child) for child in simple):
            self._write(squeeze(" ".join([item.text or "", *map(text_of, simple)])), item, "list_item")
        else:
            self._flow(item, "list_item")

    def _has_blocks(self, element: etree._Element) -> bool:
        return any(self._is_block(inner) for inner in element.iterdescendants())

    def _definitions(self, element: etree._Element) -> None:
        for child in element:
            if child.tag == "def-item":
                term = text_of(child.find("term"))
                meanings = " ".join(text_of(node) for node in child.iterchildren() if node.tag != "term")
                self._write(f"{term}: {meanings}" if term and meanings else term or meanings, child, "list_item")
            else:
                self._child(child)

    def _figure(self, element: etree._Element) -> None:
        """Write a figure or table: label and caption together, then what else it holds."""
        caption = element.find("caption")
        inner = [] if caption is None else [text_of(child) for child in caption]
        label = text_of(element.find("label"))
        lead = "" if caption is None else squeeze(caption.text or "")
        self._write(" ".join(part for part in (label, lead, *inner) if part), element, "caption")
        for child in element:
            if child.tag not in ("label", "caption"):
                self._figure_part(child)

    def _figure_part(self, child: etree._Element) -> None:
        if child.tag == "alternatives":
            # A table and a picture of it: what has text counts, once.
            texts = [one for one in child if text_of(one)]
            for one in texts[:1]:
                self._child(one)
        else:
            self._child(child)

    def _table(self, element: etree._Element) -> None:
        rows = (" | ".join(text_of(cell) for cell in row if cell.tag in ("td", "th")) for row in element.iter("tr"))
        self._write("\n".join(row for row in rows if row.strip(" |")), element, "table")
