"""What a document's text says, as entities and claims: which concepts it names, denies or supposes, and how they relate."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from medical_kg.documents.records import Claim, Entity, Mention
from medical_kg.documents.sentences import sentences
from medical_kg.extraction.forms import CONDITIONS
from medical_kg.extraction.naming import digest, node_of
from medical_kg.extraction.relations import relations
from medical_kg.extraction.scope import polarities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.ir import Block, Document
    from medical_kg.extraction.mentions import Finder, Found
    from medical_kg.extraction.scope import Polarity

METHOD = "dictionary"
PATTERN_METHOD = "pattern"
MENTIONS: dict[Polarity, str] = {
    "affirmed": "mentions",
    "negated": "mentions_as_absent",
    "hypothetical": "mentions_as_possible",
}
"""The predicate says it too, so that a reader of edges alone is not told the opposite."""


class Said(NamedTuple):
    """A concept where it stands, its sentence, and what the sentence says of it."""

    found: Found
    node: str
    mention: Mention
    sentence: Mention
    polarity: Polarity


class TextStatements(NamedTuple):
    """The entities (one per node, with every mention) and claims (one per statement, with its first evidence)."""

    entities: list[Entity]
    claims: list[Claim]


def statements(document: Document, finder: Finder) -> TextStatements:
    """Return what a document's text says."""
    blocks = sorted((block for block in document.blocks if block.end > block.start), key=lambda block: block.start)
    found = finder.find(document.text, [(block.start, block.end) for block in blocks])
    by_node: dict[str, list[Said]] = {}
    claims: dict[tuple[str, str, str], Claim] = {}
    for span, block, inside in _by_sentence(document, blocks, found):
        said = list(_said(document, span, block, inside))
        for one in said:
            by_node.setdefault(one.node, []).append(one)
            parts = (document.id, MENTIONS[one.polarity], one.node)
            if parts not in claims:
                claims[parts] = _claim(document, parts, one, one.mention, METHOD)
        for parts, one in _related(document, span, said):
            if parts not in claims:
                claims[parts] = _claim(document, parts, one, one.sentence, PATTERN_METHOD)
    return TextStatements([_entity(document, same) for same in by_node.values()], list(claims.values()))


def _by_sentence(
    document: Document, blocks: list[Block], found: list[Found]
) -> Iterator[tuple[tuple[int, int], Block, list[Found]]]:
    """Give the sentences that hold something, with it; a name over the end of a sentence belongs to where it begins."""
    starts = [block.start for block in blocks]
    by_block: dict[int, list[Found]] = {}
    for one in found:
        by_block.setdefault(bisect_right(starts, one.start) - 1, []).append(one)
    for number, inside in by_block.items():
        block = blocks[number]
        spans = list(sentences(document.text, block.start, block.end))
        begins = [start for start, _ in spans]
        grouped: dict[int, list[Found]] = {}
        for one in inside:
            grouped.setdefault(max(bisect_right(begins, one.start) - 1, 0), []).append(one)
        for at, group in grouped.items():
            start, end = spans[at]
            yield (start, max(end, group[-1].end)), block, group


def _said(document: Document, span: tuple[int, int], block: Block, inside: list[Found]) -> Iterator[Said]:
    def mention(start: int, end: int) -> Mention:
        return Mention(block=block.id, start=start, end=end, text=document.text[start:end])

    sentence = mention(*span)
    polarity = polarities(document.text, span, [(one.start, one.end) for one in inside])
    for one, said in zip(inside, polarity, strict=True):
        if node := node_of(one.concept):
            # Findings are supposed; a drug in such a sentence is there all the same.
            supposed = said == "hypothetical" and one.concept.kind not in CONDITIONS
            yield Said(one, node, mention(one.start, one.end), sentence, "affirmed" if supposed else said)


def _related(
    document: Document, span: tuple[int, int], said: list[Said]
) -> Iterator[tuple[tuple[str, str, str], Said]]:
    """Give what is said of two concepts; nothing where either is denied or only supposed."""
    affirmed = {one.found: one for one in said if one.polarity == "affirmed"}
    for agent, predicate, condition in relations(document.text, span, [one.found for one in said]):
        if agent in affirmed and condition in affirmed:
            yield (affirmed[agent].node, predicate, affirmed[condition].node), affirmed[condition]


def _entity(document: Document, same: list[Said]) -> Entity:
    concept = same[0].found.concept
    return Entity(
        id=digest(document, same[0].node),
        root=document.root,
        node=same[0].node,
        kind=concept.kind,
        name=concept.name,
        identifiers=concept.identifiers,
        mentions=tuple(one.mention for one in same),
    )


def _claim(document: Document, parts: tuple[str, str, str], said: Said, evidence: Mention, method: str) -> Claim:
    subject, predicate, object_ = parts
    return Claim(
        id=digest(document, *parts),
        root=document.root,
        subject=subject,
        predicate=predicate,
        object=object_,
        evidence=evidence,
        sentence=said.sentence,
        polarity=said.polarity,
        method=method,
        provenance=document.provenance,
    )
