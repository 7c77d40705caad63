"""Entities against PubTator annotations: strict spans, and the concepts of whole documents. Pure.

A span counts when document, start, end and kind are the same, as in the BioCreative V CDR task; a concept when the document has
it, wherever it stands. An annotation with several ids (a composite) asks for each of them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from medical_kg.documents.pubtator import Record
    from medical_kg.documents.records import Entity

KINDS = {
    "Chemical": "chemical",
    "ChemicalEntity": "chemical",
    "CompositeMention": "condition",
    "Disease": "condition",
    "DiseaseClass": "condition",
    "DiseaseOrPhenotypicFeature": "condition",
    "Gene": "gene",
    "GeneOrGeneProduct": "gene",
    "Modifier": "condition",
    "SpecificDisease": "condition",
}
"""The annotated types of the usual corpora (BC5CDR, NCBI disease, BioRED), as the kinds of this package."""
PREFIXES = {"chemical": "mesh", "condition": "mesh", "gene": "ncbigene"}
"""What ids without a prefix belong to, by kind."""
CONTEXT = 40
"""How many characters are shown on either side of an error."""


class Counts(NamedTuple):
    """Right, made up and missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        """Of what was found, the share that is right; 0 where nothing was."""
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Of what is there, the share that was found; 0 where nothing is."""
        return _share(self.right, self.right + self.missed)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return _share(2 * self.right, 2 * self.right + self.wrong + self.missed)


class ConceptCounts(NamedTuple):
    """Concepts of documents: found ones that are right and all found; asked ones that were found and all asked."""

    right: int = 0
    found: int = 0
    met: int = 0
    asked: int = 0

    @property
    def precision(self) -> float:
        """Of the concepts that were found, the share that is annotated."""
        return _share(self.right, self.found)

    @property
    def recall(self) -> float:
        """Of the annotated ids, the share that was found."""
        return _share(self.met, self.asked)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


class SpanError(NamedTuple):
    """A stretch that was made up (``false positive``) or missed (``false negative``), with the text around it."""

    error: str
    document: str
    kind: str
    start: int
    end: int
    text: str
    context: str


class Scores(NamedTuple):
    """Figures by kind, every error, and the annotated types that were not measured, with how often they stand there."""

    documents: int
    spans: Mapping[str, Counts]
    concepts: Mapping[str, ConceptCounts]
    errors: Sequence[SpanError]
    left_out: Mapping[str, int]


def score(gold: Sequence[Record], found: Iterable[Entity], kinds: Mapping[str, str] = KINDS) -> Scores:
    """Measure what was found against annotations; ``kinds`` says what kind an annotated type is."""
    by_root: defaultdict[str, list[Entity]] = defaultdict(list)
    for entity in found:
        by_root[entity.root].append(entity)
    measured = sorted({kinds[one.type] for record in gold for one in record.annotations if one.type in kinds})
    spans = dict.fromkeys(measured, Counts())
    concepts = dict.fromkeys(measured, ConceptCounts())
    errors: list[SpanError] = []
    left_out: defaultdict[str, int] = defaultdict(int)
    for record in gold:
        entities = by_root[f"pmid:{record.pmid}"]
        for one in record.annotations:
            left_out[one.type] += one.type not in kinds
        for kind in measured:
            asked = {(one.start, one.end) for one in record.annotations if kinds.get(one.type) == kind}
            given = set(_places(entities, kind))
            spans[kind] = _added(spans[kind], (len(asked & given), len(given - asked), len(asked - given)))
            concepts[kind] = _with_concepts(concepts[kind], record, entities, kind, kinds)
            errors += _errors(record, kind, given - asked, "false positive")
            errors += _errors(record, kind, asked - given, "false negative")
    others = {name: count for name, count in left_out.items() if count}
    return Scores(len(gold), spans, concepts, sorted(errors, key=lambda one: (one.document, one.start)), others)


def _places(entities: Iterable[Entity], kind: str) -> Iterator[tuple[int, int]]:
    for entity in entities:
        for mention in entity.mentions if entity.kind == kind else ():
            if mention.start is not None and mention.end is not None:
                yield mention.start, mention.end


def _added(counts: Counts, more: tuple[int, int, int]) -> Counts:
    return Counts(*(one + other for one, other in zip(counts, more, strict=True)))


def _with_concepts(
    counts: ConceptCounts, record: Record, entities: Iterable[Entity], kind: str, kinds: Mapping[str, str]
) -> ConceptCounts:
    asked = {normal_id(ident, kind) for one in record.annotations if kinds.get(one.type) == kind for ident in one.ids}
    given = {entity.node: {entity.node, *entity.identifiers} for entity in entities if entity.kind == kind}
    right = sum(bool(known & asked) for known in given.values())
    met = len(asked & {ident for known in given.values() for ident in known})
    return ConceptCounts(counts.right + right, counts.found + len(given), counts.met + met, counts.asked + len(asked))


def normal_id(ident: str, kind: str) -> str:
    """Return an annotated id as the graph writes it: ``mesh:D003920`` for ``D003920`` and ``MESH:D003920``."""
    prefix, colon, rest = ident.partition(":")
    if colon:
        return f"{prefix.lower()}:{rest}"
    return f"{PREFIXES[kind]}:{ident}" if kind in PREFIXES else ident


def _errors(record: Record, kind: str, places: Iterable[tuple[int, int]], error: str) -> Iterator[SpanError]:
    text = record.text
    for start, end in places:
        before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
        context = " ".join(f"{before}[{text[start:end]}]{after}".split())
        yield SpanError(error, f"pmid:{record.pmid}", kind, start, end, text[start:end], context)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
