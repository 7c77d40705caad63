"""Laying text, sections and blocks so that the offsets are right by construction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from medical_kg.documents.ir import Block, Document, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg.documents.ir import Fact, Provenance

BlockKind = Literal["title", "paragraph", "list_item", "table", "caption"]

SEPARATOR = "\n\n"
"""What stands between two blocks in a document's text."""


def squeeze(text: str) -> str:
    """Return the text on one line: every run of white space becomes one space, none at the ends."""
    return " ".join(text.split())


class DocumentBuilder:
    """Builds one document, front to back.

    ``block`` appends to the section that ``section`` opened last; before the first ``section`` there is one without a
    title. White space at a block's ends is dropped, a block without text is left out, and so is a section that stays
    empty. Ids count up in reading order (``s1``, ``b1`` …), so the same record always gives the same ids.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []
        self._title = ""
        self._path: tuple[str, ...] = ()
        self._blocks: list[Block] = []
        self._count = 0

    def section(self, title: str = "", path: Sequence[str] = (), *, heading: bool = True, pointer: str = "") -> None:
        """Open a section; its title, found at ``pointer``, becomes its first block unless ``heading`` is False."""
        self._close_section()
        self._title, self._path = squeeze(title), tuple(path)
        if heading:
            self.block(self._title, "title", pointer)

    def block(self, text: str, kind: BlockKind = "paragraph", pointer: str = "") -> None:
        """Append a block; ``pointer`` says where in the record it stands."""
        text = text.strip()
        if not text:
            return
        if self._parts:
            self._parts.append(SEPARATOR)
            self._length += len(SEPARATOR)
        self._count += 1
        start, end = self._length, self._length + len(text)
        self._blocks.append(Block(id=f"b{self._count}", kind=kind, start=start, end=end, pointer=pointer))
        self._parts.append(text)
        self._length = end

    def build(  # noqa: PLR0913  # one argument per field of a document
        self,
        *,
        id: str,  # noqa: A002  # the document's own word
        root: str,
        kind: str,
        title: str,
        provenance: Provenance,
        identifiers: Sequence[str] = (),
        language: str = "",
        published: str = "",
        facts: Sequence[Fact] = (),
        metadata: dict[str, Any] | None = None,
    ) -> Document:
        """Return the document; ``identifiers`` are put behind the id, without repetition."""
        self._close_section()
        return Document(
            id=id,
            root=root,
            kind=kind,
            title=squeeze(title),
            text="".join(self._parts),
            sections=tuple(self._sections),
            identifiers=tuple(dict.fromkeys([id, *identifiers])),
            language=language,
            published=published,
            facts=tuple(facts),
            metadata=metadata or {},
            provenance=provenance,
        )

    def _close_section(self) -> None:
        if self._blocks:
            ident = f"s{len(self._sections) + 1}"
            blocks = tuple(self._blocks)
            self._sections.append(Section(id=ident, title=self._title, path=self._path, blocks=blocks))
        self._blocks = []


def numbered_paragraphs(text: str) -> list[tuple[int, str]]:
    """Return the paragraphs of plain text, each with the number of its first line, from 1.

    A paragraph is a run of lines that have more than white space on them.
    """
    paragraphs: list[tuple[int, list[str]]] = []
    going_on = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            if not going_on:
                paragraphs.append((number, []))
            paragraphs[-1][1].append(line.rstrip())
        going_on = bool(line.strip())
    return [(number, "\n".join(lines)) for number, lines in paragraphs]
