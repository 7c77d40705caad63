"""Markdown files: CommonMark with tables; headings as sections, paragraphs, list items, tables and code as blocks.

Read with markdown-it-py. Source: https://spec.commonmark.org/; for tables, https://github.github.com/gfm/.
"""

from __future__ import annotations

import re
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder, squeeze
from medical_kg.formats.base import refusals_name
from medical_kg.formats.text import TextFormat, decode_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Payload

MAX_NESTING = 40
"""How deep quotes and lists may stand in each other; a list in a list takes two levels."""

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
FIELD = re.compile(r"^(\w+):[ \t]*(.+?)[ \t]*$", re.MULTILINE)
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
TAG = re.compile(r"</?[A-Za-z][^>]*>")


class MarkdownFormat(TextFormat):
    """One document per file; its title is that of the front matter, else the first heading, else the file's name."""

    name: ClassVar[str] = "markdown"
    media_types: ClassVar[tuple[str, ...]] = ("text/markdown",)
    suffixes: ClassVar[tuple[str, ...]] = (".md", ".markdown")
    max_bytes: ClassVar[int] = 16 * 1024 * 1024

    def parse(self, payload: Payload) -> Document:
        """Read the text; a file with nothing but comments or markup is refused."""
        with refusals_name(payload):
            return _document(decode_text(payload.content), payload)


def _document(text: str, payload: Payload) -> Document:
    from markdown_it import MarkdownIt

    text = text.replace("\r\n", "\n").replace("\x00", "\ufffd")
    front = FRONT_MATTER.match(text)
    fields = {name.lower(): value.strip("\"'") for name, value in FIELD.findall(front[1])} if front else {}
    skipped = text[: front.end()].count("\n") if front else 0
    reader = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING}).enable("table")
    tokens = reader.parse(text[front.end() :] if front else text)
    _refuse_depth(tokens, skipped)
    writer = _Writer(skipped, fields.get("title", ""))
    writer.write(tokens)
    if not writer.written:
        raise ItemRejected("the file holds no text, only comments or markup")
    return writer.builder.build(
        id=payload.id,
        root=payload.id,
        kind="text",
        title=writer.title or payload.provenance.uri.rsplit("/", 1)[-1],
        language=fields.get("lang", ""),
        published=fields.get("date", ""),
        provenance=payload.provenance,
    )


def _refuse_depth(tokens: Sequence[Any], skipped: int) -> None:
    # What stands deeper than its limit the reader leaves out, and says nothing.
    for token in tokens:
        if token.type in ("blockquote_open", "list_item_open") and token.level >= MAX_NESTING - 1:
            raise ItemRejected(
                f"line {token.map[0] + skipped + 1}: quotes and lists are nested too deeply, more than {MAX_NESTING} levels"
            )


class _Writer:
    """Writes markdown-it's tokens as sections and blocks."""

    def __init__(self, skipped: int, title: str) -> None:
        self.builder = DocumentBuilder()
        self.title = title
        self.written = 0
        self._skipped = skipped
        self._above: list[tuple[int, str]] = []
        self._marks: list[str] = []
        self._handlers: dict[str, Callable[[Any, Sequence[Any], int], None]] = {
            "heading_open": self._heading,
            "list_item_open": self._enter_item,
            "list_item_close": self._leave_item,
            "paragraph_open": self._paragraph,
            "fence": self._code,
            "code_block": self._code,
            "html_block": self._html,
            "table_open": self._table,
        }
        if title:
            self._put(title, "title", "line=1")

    def write(self, tokens: Sequence[Any]) -> None:
        """Write all tokens of a file."""
        for number, token in enumerate(tokens):
            handle = self._handlers.get(token.type)
            if handle is not None:
                handle(token, tokens, number)

    def _enter_item(self, token: Any, tokens: Sequence[Any], number: int) -> None:
        del tokens, number
        self._marks.append(f"{token.info}{token.markup} " if token.info else "")

    def _leave_item(self, token: Any, tokens: Sequence[Any], number: int) -> None:
        del token, tokens, number
        self._marks.pop()

    def _code(self, token: Any, tokens: Sequence[Any], number: int) -> None:
        del tokens, number
        self._put(token.content.strip("\n"), "paragraph", self._line(token))

    def _html(self, token: Any, tokens: Sequence[Any], number: int) -> None:
        del tokens, number
        words = squeeze(TAG.sub(" ", COMMENT.sub("", token.content)))
        self._put(words, "paragraph", self._line(token))

    def _table(self, token: Any, tokens: Sequence[Any], number: int) -> None:
        self._put("\n".join(row for row in _rows(tokens, number) if row.strip(" |")), "table", self._line(token))

    def _line(self, token: Any) -> str:
        return f"line={token.map[0] + self._skipped + 1}"

    def _heading(self, token: Any, tokens: Sequence[Any], number: int) -> None:
        level, text, place = int(token.tag[1]), _plain(tokens[number + 1]), self._line(token)
        if not text or (text == self.title and not self._above):
            return
        if not self.title and not self.written:
            self.title = text
            self._put(text, "title", place)
            return
        self._above = [(above, title) for above, title in self._above if above < level]
        self.builder.section(text, [title for _, title in self._above], pointer=place)
        self._above.append((level, text))
        self.written += 1

    def _paragraph(self, token: Any, tokens: Sequence[Any], number: int) -> None:
        # Only an item's first paragraph has its number.
        text = _plain(tokens[number + 1])
        mark = self._marks[-1] if self._marks else ""
        if self._marks:
            self._marks[-1] = ""
        self._put(f"{mark}{text}" if text else "", "list_item" if self._marks else "paragraph", self._line(token))

    def _put(self, text: str, kind: Any, place: str) -> None:
        if text.strip():
            self.builder.block(text, kind, place)
            self.written += 1


def _rows(tokens: Sequence[Any], number: int) -> Iterator[str]:
    """Give the rows of the table that opens here."""
    cells: list[str] = []
    for token in takewhile(lambda one: one.type != "table_close", islice(tokens, number, None)):
        if token.type == "inline":
            cells.append(_plain(token))
        elif token.type == "tr_close":
            yield " | ".join(cells)
            cells = []


def _plain(token: Any) -> str:
    """Return the words of inline markup: a link's text, a picture's description, code as it is."""
    parts: list[str] = []
    for child in token.children or ():
        if child.type in ("text", "code_inline", "image"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
    return squeeze("".join(parts))
