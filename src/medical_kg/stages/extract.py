"""``extract``: a document's structured facts and text as nodes and edges of the graph, with the words that carry each."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from medical_kg import ItemRejected, Model, PluginName, PluginOptions, Stage, StageContext, StageMetadata
from medical_kg.documents.keys import CLAIMS, DOCUMENTS, ENTITIES
from medical_kg.documents.records import Claim, Entity, Mention
from medical_kg.extraction.cache import lexicon_of
from medical_kg.extraction.mentions import Finder
from medical_kg.extraction.naming import digest, node_of, normal_identifier
from medical_kg.extraction.statements import statements
from medical_kg.vocabularies.contract import DOOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from medical_kg.documents.ir import Block, Document, Fact

CONFIDENCE = {"structured": 1.0, "dictionary": 0.8, "pattern": 0.5}
"""How far to trust each way of finding: a document's own data wholly; a concept in a text by the precision measured on
annotated sets (.73 to .93), rounded; a relation of two such concepts, which was not measured, by what two of them leave."""


class VocabularyChoice(Model):
    """A vocabulary whose concepts are looked for in the text, and its own options."""

    vocabulary: Annotated[str, PluginName(DOOR)] = Field(description="a vocabulary or a reader of vocabulary files")
    options: Annotated[dict[str, Any], PluginOptions("vocabulary")] = Field(
        default_factory=dict, description="the vocabulary's own options"
    )


class ExtractConfig(Model):
    """Config of ``extract``: which concepts are looked for in the text besides the structured facts."""

    vocabularies: tuple[Annotated[str, PluginName(DOOR)] | VocabularyChoice, ...] = Field(
        default=(), description="whose concepts are looked for; of equal names the first vocabulary's counts"
    )

    @property
    def chosen(self) -> tuple[VocabularyChoice, ...]:
        """The vocabularies; one that is only a name has no options."""
        named = ({"vocabulary": one} if isinstance(one, str) else one for one in self.vocabularies)
        return tuple(map(VocabularyChoice.model_validate, named))


class ExtractStage(Stage[ExtractConfig]):
    """Turns facts, and what the text says of the concepts of vocabularies, into entities and claims.

    It knows no format, only ``Fact`` and ``Concept``. Structured facts come first: a node that both give takes its kind
    and name from them. A fact that names its object without an identifier takes those of the vocabulary's concept of this
    kind with this very name, so that a trial's own ``Type 2 Diabetes`` is the node that texts mention.
    """

    metadata = StageMetadata(
        stage_type="extract",
        version="2.3.0",
        description="Turns the structured facts and the text of documents into entities and claims with their evidence.",
        reads=(DOCUMENTS,),
        writes=(ENTITIES, CLAIMS),
        mode="item",
        flat=True,
        config_model=ExtractConfig,
        output_counter=lambda output: {"entities": len(output[ENTITIES]), "claims": len(output[CLAIMS])},
        needs=("plugins", "workspace"),
    )

    _finder: Finder | None = None

    def open(self, ctx: StageContext) -> None:
        """Load the vocabularies, compiled if the process or the workspace has them so.

        Raises:
            InputError: a vocabulary cannot be read, or its options are wrong.
        """
        if self.config.vocabularies:
            chosen = [ctx.plugins.get(DOOR, one.vocabulary)(one.options) for one in self.config.chosen]
            self._finder = Finder(lexicon_of(chosen, ctx.workspace.root, ctx.logger))

    def process(self, ctx: StageContext, item: Document, **reads: Any) -> Mapping[Any, Any]:
        """Return the entities and claims of one document."""
        del ctx, reads
        spans = Spans(item)
        facts = map(self._identified, item.facts)
        found = [(fact, _node_of(fact, item), spans.mention(fact.evidence, fact.pointer)) for fact in facts]
        entities = [_document_entity(item, spans), *(_concept_entity(item, *one) for one in found)]
        claims = [_claim(item, *one) for one in found]
        if self._finder is not None:
            in_text = statements(item, self._finder)
            entities += in_text.entities
            claims += in_text.claims
        return {ENTITIES: _merged(entities), CLAIMS: [self._supported(claim, item) for claim in _first_by_id(claims)]}

    def _identified(self, fact: Fact) -> Fact:
        """Give the object of a fact identifiers where it has none and a vocabulary knows its name."""
        if self._finder is None or any(map(normal_identifier, fact.object.identifiers)):
            return fact
        concept = self._finder.named(fact.object.name, fact.object.kind)
        if concept is None:
            return fact
        identified = fact.object.model_copy(update={"identifiers": concept.identifiers})
        return fact.model_copy(update={"object": identified})

    def _supported(self, claim: Claim, document: Document) -> Claim:
        """Say who states a claim, what found it, and how far to trust that."""
        stage = f"{self.metadata.stage_type} {self.metadata.version}"
        support = {"document": document.id, "stage": stage, "confidence": CONFIDENCE[claim.method]}
        return claim.model_copy(update=support)


def _node_of(fact: Fact, document: Document) -> str:
    if node := node_of(fact.object):
        return node
    where = f"{document.id}: {fact.predicate} at {fact.pointer or 'an unnamed place'}"
    raise ItemRejected(f"{where} names a {fact.object.kind} without identifier and without name")


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
        id=digest(document, document.id),
        root=document.root,
        node=document.id,
        kind=document.kind,
        name=name,
        identifiers=tuple(dict.fromkeys([document.id, *map(normal_identifier, document.identifiers)])),
        mentions=(spans.mention(document.title.strip() or document.id),),
    )


def _concept_entity(document: Document, fact: Fact, node: str, mention: Mention) -> Entity:
    return Entity(
        id=digest(document, node),
        root=document.root,
        node=node,
        kind=fact.object.kind,
        name=" ".join(fact.object.name.split()) or node,
        identifiers=tuple(dict.fromkeys(filter(None, map(normal_identifier, fact.object.identifiers)))),
        mentions=(mention,),
    )


def _claim(document: Document, fact: Fact, node: str, mention: Mention) -> Claim:
    return Claim(
        id=digest(document, document.id, fact.predicate, node),
        root=document.root,
        subject=document.id,
        predicate=fact.predicate,
        object=node,
        evidence=mention,
        method="structured",
        provenance=document.provenance,
    )


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
