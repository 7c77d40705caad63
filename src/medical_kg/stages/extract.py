"""``extract``: a document's structured facts as nodes and edges of the graph, each with the words that carry it."""

from __future__ import annotations

import hashlib
import unicodedata
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from medical_kg import ItemRejected, NoConfig, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import CLAIMS, DOCUMENTS, ENTITIES
from medical_kg.documents.records import Claim, Entity, Mention

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medical_kg.documents.ir import Block, Concept, Document, Fact

EDGE_PUNCTUATION = " \t.,;:!?'\"`*_-\u2010\u2011\u2012\u2013\u2014\u2018\u2019\u201c\u201d"
"""Trimmed from both ends of a name; brackets stay, since they come in pairs."""


class ExtractStage(Stage[NoConfig]):
    """Turns facts into entities and claims; it knows no format, only ``Fact`` and ``Concept``."""

    metadata = StageMetadata(
        stage_type="extract",
        version="1.0.0",
        description="Turns the structured facts of documents into entities and claims, each with its evidence.",
        reads=(DOCUMENTS,),
        writes=(ENTITIES, CLAIMS),
        mode="item",
        flat=True,
        output_counter=lambda output: {"entities": len(output[ENTITIES]), "claims": len(output[CLAIMS])},
    )

    def process(self, ctx: StageContext, item: Document, **reads: Any) -> Mapping[Any, Any]:
        """Return the entities and claims of one document."""
        del ctx, reads
        spans = Spans(item)
        found = [(fact, _node_of(fact, item), spans.mention(fact.evidence, fact.pointer)) for fact in item.facts]
        entities = [_document_entity(item, spans), *(_concept_entity(item, *one) for one in found)]
        claims = [_claim(item, *one) for one in found]
        return {ENTITIES: _merged(entities), CLAIMS: list(_first_by_id(claims))}


def node_of(concept: Concept) -> str | None:
    """Return the id of the node a concept merges into; None for one without identifier and name.

    It is the first identifier with its prefix in lower case (``mesh:D003920``), or the kind and the normalised name
    (``condition:heart failure``) of a concept without identifiers.
    """
    for identifier in map(normal_identifier, concept.identifiers):
        if identifier:
            return identifier
    name = normal_name(concept.name)
    return f"{concept.kind}:{name}" if name else None


def _node_of(fact: Fact, document: Document) -> str:
    if node := node_of(fact.object):
        return node
    where = f"{document.id}: {fact.predicate} at {fact.pointer or 'an unnamed place'}"
    raise ItemRejected(f"{where} names a {fact.object.kind} without identifier and without name")


def normal_identifier(identifier: str) -> str:
    """Return a prefixed id with its prefix in lower case, so that ``MESH:D1`` and ``mesh:D1`` are one."""
    prefix, colon, rest = identifier.strip().partition(":")
    return f"{prefix.lower()}:{rest.strip()}" if colon else prefix


def normal_name(name: str) -> str:
    """Return a name by which equal things meet: NFKC, case folded, single spaces, no punctuation at the ends."""
    # Folding may take a composed letter apart, and composing may give one that folds: twice settles both.
    for _ in range(2):
        name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    folded = " ".join(name.split())
    return folded.strip(EDGE_PUNCTUATION) or folded


class Spans:
    """Finds where words stand in a document's text."""

    def __init__(self, document: Document) -> None:
        """Put the blocks in the order of the text."""
        self._text = document.text
        self._blocks = sorted(document.blocks, key=lambda block: block.start)
        self._starts = [block.start for block in self._blocks]

    def find(self, words: str) -> tuple[Block, int, int] | None:
        """Return the block, start and end where the words first stand, as whole words inside one block."""
        words = words.strip()
        start = self._text.find(words) if words else -1
        while start >= 0:
            end = start + len(words)
            block = self._block_around(start, end)
            if block and _is_whole(self._text, start, end):
                return block, start, end
            start = self._text.find(words, start + 1)
        return None

    def _block_around(self, start: int, end: int) -> Block | None:
        at = bisect_right(self._starts, start) - 1
        return self._blocks[at] if at >= 0 and end <= self._blocks[at].end else None

    def mention(self, words: str, pointer: str = "") -> Mention:
        """Return the words as a mention: with their span where they stand in the text."""
        found = self.find(words)
        if found is None:
            return Mention(pointer=pointer, text=words)
        block, start, end = found
        return Mention(pointer=pointer, block=block.id, start=start, end=end, text=self._text[start:end])


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no word is cut: never a word character on both sides of an end."""
    cut_before = start > 0 and _is_word(text[start - 1]) and _is_word(text[start])
    cut_after = end < len(text) and _is_word(text[end - 1]) and _is_word(text[end])
    return not (cut_before or cut_after)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _document_entity(document: Document, spans: Spans) -> Entity:
    name = " ".join(document.title.split()) or document.id
    return Entity(
        id=_digest(document, document.id),
        root=document.root,
        node=document.id,
        kind=document.kind,
        name=name,
        identifiers=tuple(dict.fromkeys([document.id, *map(normal_identifier, document.identifiers)])),
        mentions=(spans.mention(document.title.strip() or document.id),),
    )


def _concept_entity(document: Document, fact: Fact, node: str, mention: Mention) -> Entity:
    return Entity(
        id=_digest(document, node),
        root=document.root,
        node=node,
        kind=fact.object.kind,
        name=" ".join(fact.object.name.split()) or node,
        identifiers=tuple(dict.fromkeys(filter(None, map(normal_identifier, fact.object.identifiers)))),
        mentions=(mention,),
    )


def _claim(document: Document, fact: Fact, node: str, mention: Mention) -> Claim:
    return Claim(
        id=_digest(document, document.id, fact.predicate, node),
        root=document.root,
        subject=document.id,
        predicate=fact.predicate,
        object=node,
        evidence=mention,
        method="structured",
        provenance=document.provenance,
    )


def _digest(document: Document, *parts: str) -> str:
    """Name a record by what makes it one: 96 bits are unique beyond any batch."""
    return hashlib.sha256("\0".join([document.root, document.id, *parts]).encode()).hexdigest()[:24]


def _merged(entities: Iterable[Entity]) -> list[Entity]:
    """Join entities of one node: the first gives kind and name, all give identifiers and mentions."""
    by_id: dict[str, list[Entity]] = {}
    for entity in entities:
        by_id.setdefault(entity.id, []).append(entity)
    return [_joined(same) for same in by_id.values()]


def _joined(same: list[Entity]) -> Entity:
    if len(same) == 1:
        return same[0]
    identifiers = dict.fromkeys(identifier for entity in same for identifier in entity.identifiers)
    mentions = dict.fromkeys(mention for entity in same for mention in entity.mentions)
    return same[0].model_copy(update={"identifiers": tuple(identifiers), "mentions": tuple(mentions)})


def _first_by_id(claims: Iterable[Claim]) -> Iterable[Claim]:
    seen: dict[str, Claim] = {}
    for claim in claims:
        seen.setdefault(claim.id, claim)
    return seen.values()
