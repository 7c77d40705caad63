"""What is shown of a hit: the best part of its text, and where that stands in the document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.text import Text

    from medical_kg.documents.ir import Document
    from medical_kg.stores.contract import Hit, IndexStore

SIZE = 240
"""How many characters of a passage are shown."""
BEFORE = 60
"""How many of them may stand before the first match."""
SPACES = re.compile(r"\s+")
WORD = re.compile(r"\S+")


class Snippet(NamedTuple):
    """A part of a text: ``text[start:end]``, and where matches stand in it (both counted in the whole text)."""

    text: str
    start: int
    end: int
    matches: tuple[tuple[int, int], ...]

    def styled(self) -> Text:
        """Return it on one line, with matches in bold and signs where something is left out."""
        from rich.text import Text

        line = Text("… " if self.text[: self.start].strip() else "")
        at = self.start
        for start, end in self.matches:
            line.append(_flat(self.text[at:start])).append(_flat(self.text[start:end]), "bold")
            at = end
        return line.append(_flat(self.text[at : self.end])).append(" …" if self.text[self.end :].strip() else "")


class Place(NamedTuple):
    """Where a snippet stands: its section, its characters in the document, its block and that block's pointer."""

    section: str
    start: int
    end: int
    block: str
    pointer: str

    def __str__(self) -> str:
        """Return it for people."""
        parts = (self.section, f"characters {self.start}-{self.end}", self.pointer)
        return ", ".join(part for part in parts if part)


class Passage(NamedTuple):
    """A hit, where what is shown of it stands, that part, and the ids of other records of the same work."""

    hit: Hit
    place: Place
    snippet: Snippet
    others: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Return it for programs; the snippet's matches are counted in the snippet."""
        shown = self.snippet
        found = [[start - shown.start, end - shown.start] for start, end in shown.matches]
        text = shown.text[shown.start : shown.end]
        about = {**self.hit.model_dump(), "same_work": self.others}
        return {**about, "snippet": {"text": text, "matches": found, **self.place._asdict()}}


def passage_of(index: IndexStore, hit: Hit) -> Passage:
    """Return what is shown of a hit; the block it stands in is looked up in the document."""
    shown = snippet(hit.text, hit.matches)
    start, end = hit.start + shown.start, hit.start + shown.end
    document = index.document(hit.document)
    mine = document is not None and document.root == hit.root
    block, pointer = _around(document, start) if document and mine else ("", "")
    return Passage(hit, Place(hit.section, start, end, block, pointer), shown, other_records(index, hit.document))


def other_records(index: IndexStore, document: str) -> tuple[str, ...]:
    """Return the ids of the other records of the work that a document is a record of."""
    return tuple(one for one in index.same_work([document])[document] if one != document)


def snippet(text: str, matches: tuple[tuple[int, int], ...], size: int = SIZE) -> Snippet:
    """Return the part of a text with most different matched words in it, the first such part, cut between words."""
    first = max((start for start, _ in matches), key=lambda at: _worth(text, matches, at, size), default=0)
    ends = [word.end() for word in WORD.finditer(text)] or [0]
    if ends[-1] <= size:
        return _part(text, 0, ends[-1], matches)
    begin = max(0, min(first - min(BEFORE, size // 4), ends[-1] - size))
    starts = [word.start() for word in WORD.finditer(text)]
    start = next((at for at in starts if begin <= at <= first), first) if begin else starts[0]
    end = max((at for at in ends if start < at <= start + size), default=min(len(text), start + size))
    return _part(text, start, end, matches)


def _part(text: str, start: int, end: int, matches: tuple[tuple[int, int], ...]) -> Snippet:
    return Snippet(text, start, end, tuple(one for one in matches if start <= one[0] and one[1] <= end))


def _worth(text: str, matches: tuple[tuple[int, int], ...], at: int, size: int) -> int:
    last = at + size - min(BEFORE, size // 4)
    return len({text[start:end].casefold() for start, end in matches if at <= start and end <= last})


def _around(document: Document, at: int) -> tuple[str, str]:
    """Return id and pointer of the block that holds this character, or comes next."""
    return next(((block.id, block.pointer) for block in document.blocks if at < block.end), ("", ""))


def _flat(text: str) -> str:
    return SPACES.sub(" ", text)
