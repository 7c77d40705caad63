"""What must hold for every document, as pure functions that return findings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from medical_kg.documents.texts import texts_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.ir import Block, Document, Fact

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that some store refuses: wherever one stands, the document is refused before it comes to any."""

WARNINGS = frozenset({"bad-identifier", "empty-fact"})
"""Codes of what can be left out of a document without touching its text; all others stop it."""


class Finding(NamedTuple):
    """One thing wrong with a document: a stable code, the place in the document, and a sentence."""

    code: str
    place: str
    message: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        """Whether it stops the document, or only costs what it names."""
        return "warning" if self.code in WARNINGS else "error"

    def __str__(self) -> str:
        """Return it as one line for people."""
        return f"{self.code} at {self.place}: {self.message}"


def usable(document: Document) -> Document:
    """Return the document without what warnings name: identifiers that are none, facts that say nothing.

    The same object where there is nothing to leave out.
    """
    identifiers = tuple(one for one in document.identifiers if _is_identifier(one))
    facts = tuple(one for one in document.facts if _says_something(one))
    if len(identifiers) == len(document.identifiers) and len(facts) == len(document.facts):
        return document
    return document.model_copy(update={"identifiers": identifiers, "facts": facts})


def _is_identifier(identifier: str) -> bool:
    prefix, _, value = identifier.partition(":")
    return bool(prefix.strip() and value.strip())


def _says_something(fact: Fact) -> bool:
    return bool(fact.predicate.strip() and (fact.object.name.strip() or fact.object.identifiers))


def findings(document: Document) -> list[Finding]:
    """Return everything that is wrong with the document; an empty list means it is valid.

    Codes: ``missing-id``, ``missing-root``, ``empty-document``, ``missing-section-id``, ``missing-block-id``,
    ``duplicate-section-id``, ``duplicate-block-id``, ``negative-offset``, ``empty-span``, ``offset-out-of-range``,
    ``overlapping-blocks``, ``blank-block``, ``uncovered-text``, ``bad-identifier``, ``empty-fact``,
    ``unstorable-text``.
    """
    checks = (_identity, _section_ids, _block_ids, _spans, _order, _coverage, _facts, _storable)
    return [finding for check in checks for finding in check(document)]


def _identity(document: Document) -> Iterator[Finding]:
    if not document.id.strip():
        yield Finding("missing-id", "id", "the document has no id")
    if not document.root.strip():
        yield Finding("missing-root", "root", "the document does not name the payload it came from")
    if not document.title.strip() and not document.text.strip():
        yield Finding("empty-document", "text", "the document has neither title nor text")
    for number, identifier in enumerate(document.identifiers):
        if not _is_identifier(identifier):
            yield Finding("bad-identifier", f"identifiers[{number}]", f"{identifier!r} is not like prefix:value")


def _section_ids(document: Document) -> Iterator[Finding]:
    yield from _ids("section", [(f"sections[{n}]", section.id) for n, section in enumerate(document.sections)])


def _block_ids(document: Document) -> Iterator[Finding]:
    yield from _ids("block", [(place, block.id) for place, block in _blocks(document)])


def _ids(what: str, places: list[tuple[str, str]]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for place, ident in places:
        if not ident.strip():
            yield Finding(f"missing-{what}-id", place, f"the {what} has no id")
        elif ident in first:
            yield Finding(f"duplicate-{what}-id", place, f"{ident!r} is already the id of {first[ident]}")
        first.setdefault(ident, place)


def _spans(document: Document) -> Iterator[Finding]:
    length = len(document.text)
    for place, block in _blocks(document):
        span = f"[{block.start}, {block.end})"
        if block.start < 0 or block.end < 0:
            yield Finding("negative-offset", place, f"{span} has a negative offset")
        elif block.end > length:
            yield Finding("offset-out-of-range", place, f"{span} ends beyond the text, which has {length} characters")
        elif block.start >= block.end:
            yield Finding("empty-span", place, f"{span} holds no character")
        elif not document.text_of(block).strip():
            yield Finding("blank-block", place, f"{span} holds only white space")


def _order(document: Document) -> Iterator[Finding]:
    reached, before = 0, ""
    for place, block in _blocks(document):
        if before and 0 <= block.start < reached:
            message = f"it starts at {block.start}, but {before} reaches to {reached}"
            yield Finding("overlapping-blocks", place, message)
        if block.end >= reached:
            reached, before = block.end, place


def _coverage(document: Document) -> Iterator[Finding]:
    # Text that no block holds would never be chunked, so nobody could find it.
    position = 0
    spans = sorted((block.start, block.end) for _, block in _blocks(document) if 0 <= block.start < block.end)
    for start, end in [*spans, (len(document.text), len(document.text))]:
        gap = document.text[position:start]
        if gap.strip():
            yield Finding("uncovered-text", f"text[{position}:{start}]", f"no block holds {gap.strip()[:40]!r}")
        position = max(position, end)


def _facts(document: Document) -> Iterator[Finding]:
    for number, fact in enumerate(document.facts):
        if not _says_something(fact):
            yield Finding("empty-fact", f"facts[{number}]", "a fact needs a predicate and a named object")


def _storable(document: Document) -> Iterator[Finding]:
    for place, text in _texts(document):
        if found := UNSTORABLE.search(text):
            what = (
                "a NUL character, which databases refuse"
                if found[0] == "\0"
                else "half of a surrogate pair, no Unicode text"
            )
            yield Finding("unstorable-text", place, f"it holds {what}")


def _texts(document: Document) -> Iterator[tuple[str, str]]:
    """Give every text of a document with its place; that of metadata is the field's."""
    for name, value in document:
        if name not in ("sections", "facts"):
            yield from ((name, text) for text in texts_in(value))
    for number, section in enumerate(document.sections):
        yield from ((f"sections[{number}]", text) for text in (section.id, section.title, *section.path))
    for place, block in _blocks(document):
        yield from ((place, text) for text in (block.id, block.pointer))
    for number, fact in enumerate(document.facts):
        concept = fact.object
        said = (fact.predicate, fact.pointer, fact.evidence, concept.kind, concept.name, *concept.identifiers)
        yield from ((f"facts[{number}]", text) for text in said)


def _blocks(document: Document) -> Iterator[tuple[str, Block]]:
    for number, section in enumerate(document.sections):
        for position, block in enumerate(section.blocks):
            yield f"sections[{number}].blocks[{position}]", block
