"""The intermediate representation: what every format becomes, and what every later stage reads.

A document holds its text once. Sections and blocks point into it by character offsets (Unicode code points, end
exclusive), so a span quoted anywhere later can be found again in the document.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from medical_kg.orchestration.contract.model import Model


class Record(Model):
    """Base of the pack's records: frozen, unknown fields refused, bytes as base64 in JSON."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class Provenance(Record):
    """Where a document came from.

    ``source`` is the source's name, ``uri`` the file or address, ``record`` the record inside a dump, ``sha256`` the
    digest of the record's bytes as parsed.
    """

    source: str
    uri: str
    record: str = ""
    format: str = ""
    sha256: str = ""


class Block(Record):
    """A paragraph, list item, table …: ``document.text[start:end]``.

    ``pointer`` says where in the record it stands: an XPath, a JSON pointer, ``page=3`` of a PDF, ``line=12`` of a text
    (both counted from 1); "" where the format cannot tell.
    """

    id: str
    kind: Literal["title", "paragraph", "list_item", "table", "caption"] = "paragraph"
    start: int
    end: int
    pointer: str = ""


class Section(Record):
    """A titled run of blocks, in reading order; sections are flat, ``path`` holds the titles above."""

    id: str
    title: str = ""
    path: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


class Concept(Record):
    """A thing a document speaks of, as its own structured data name it.

    ``kind`` is one of the graph's node kinds (``condition``, ``intervention``, ``chemical``, ``descriptor``, ``trial``,
    ``article`` …); ``identifiers`` are prefixed ids such as ``mesh:D003920`` or ``pmid:123``; the first one decides
    which node it merges into, the name does where there is none.
    """

    kind: str
    name: str
    identifiers: tuple[str, ...] = ()


class Fact(Record):
    """One structured statement of a document about a concept: ``document predicate object``.

    ``pointer`` says where in the record it stands (a JSON pointer or an XPath), ``evidence`` the words found there.
    """

    predicate: str
    object: Concept
    pointer: str
    evidence: str


class Document(Record):
    """One document: its text, structure, structured facts and origin.

    ``id`` is stable and prefixed: ``nct:NCT01234567``, ``pmid:123``, ``pmcid:PMC123``, ``doi:10.…``, ``file:…``.
    ``root`` is the id of the payload it was parsed from. ``identifiers`` are all prefixed ids it is known by, its own
    first. ``kind`` is ``trial``, ``article`` or ``text``.
    """

    id: str
    root: str
    kind: str
    title: str
    text: str
    sections: tuple[Section, ...]
    identifiers: tuple[str, ...] = ()
    language: str = ""
    published: str = ""
    facts: tuple[Fact, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks in reading order."""
        return tuple(block for section in self.sections for block in section.blocks)

    def text_of(self, block: Block) -> str:
        """Return the block's text."""
        return self.text[block.start : block.end]


PREFIXES = ("nct:", "pmid:", "pmcid:", "doi:")
"""Of identifiers, where people may leave them out."""


def identifiers_like(name: str) -> tuple[str, ...]:
    """Return the identifiers that somebody may mean by a name: itself, then with each prefix."""
    return (name, *(prefix + name for prefix in PREFIXES))
