"""What a text says: claims with polarity, sentence and offsets, and how concepts relate."""

from __future__ import annotations

import pytest
from given_vocabulary import Given

from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Document, Provenance
from medical_kg.extraction.lexicon import build
from medical_kg.extraction.mentions import Finder
from medical_kg.extraction.statements import TextStatements, statements
from medical_kg.vocabularies.contract import Term

TERMS = [
    Term("D:1", "Hypertension", kind="condition"),
    Term("D:2", "Seizure", kind="condition"),
    Term("D:3", "acute renal failure", kind="condition"),
    Term("C:1", "Phenobarbital", kind="chemical"),
    Term("C:2", "Lithium", kind="chemical"),
]
FINDER = Finder(build([Given(TERMS)]))


def document(*paragraphs: str) -> Document:
    builder = DocumentBuilder()
    for paragraph in paragraphs:
        builder.block(paragraph)
    origin = Provenance(source="test", uri="t")
    return builder.build(id="pmid:1", root="r", kind="article", title="T", provenance=origin)


def said(*paragraphs: str) -> TextStatements:
    return statements(document(*paragraphs), FINDER)


def test_a_mention_with_its_sentence_and_offsets() -> None:
    """Entity and claim carry the very place, the block, and the whole sentence."""
    one = document("A first line. Hypertension was seen.", "It began late.")
    (entity,), (claim,) = statements(one, FINDER)
    assert (entity.node, entity.kind, entity.name, entity.identifiers) == ("d:1", "condition", "Hypertension", ("d:1",))
    assert (claim.subject, claim.predicate, claim.object) == ("pmid:1", "mentions", "d:1")
    assert (claim.polarity, claim.method, claim.provenance) == ("affirmed", "dictionary", one.provenance)
    assert entity.mentions == (claim.evidence,)
    assert (claim.evidence.block, claim.evidence.start, claim.evidence.text) == ("b1", 14, "Hypertension")
    assert claim.sentence is not None
    assert (claim.sentence.start, claim.sentence.end, claim.sentence.text) == (14, 36, "Hypertension was seen.")
    assert one.text[14:36] == claim.sentence.text


def test_each_polarity_is_a_statement_of_its_own() -> None:
    """One claim per concept and polarity, with its first evidence; the predicate says the polarity too."""
    found = said("No seizures. Possible seizure. Seizures came. Seizures went.")
    assert [(one.predicate, one.polarity, one.evidence.start) for one in found.claims] == [
        ("mentions_as_absent", "negated", 3),
        ("mentions_as_possible", "hypothetical", 22),
        ("mentions", "affirmed", 31),
    ]
    (entity,) = found.entities
    assert [one.text for one in entity.mentions] == ["seizures", "seizure", "Seizures", "Seizures"]
    assert len({one.id for one in found.claims}) == 3


def test_drugs_are_never_only_supposed() -> None:
    """In ``may`` sentences a finding is supposed, a drug is there; denied drugs are denied."""
    found = said("Lithium may help seizures. She never took phenobarbital.")
    assert [(one.object, one.polarity) for one in found.claims] == [
        ("c:2", "affirmed"),
        ("d:2", "hypothetical"),
        ("c:1", "negated"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Phenobarbital-induced seizures", ("c:1", "causes", "d:2")),
        ("Lithium-induced severe acute renal failure", ("c:2", "causes", "d:3")),
        ("Lithium causes hypertension", ("c:2", "causes", "d:1")),
        ("hypertension caused by high lithium", ("c:2", "causes", "d:1")),
        ("Seizures due to lithium", ("c:2", "causes", "d:2")),
        ("phenobarbital for the treatment of seizures", ("c:1", "treats", "d:2")),
        ("Phenobarbital is effective in the management of seizures", ("c:1", "treats", "d:2")),
        ("Treatment of neonatal seizures with phenobarbital", ("c:1", "treats", "d:2")),
        ("seizures treated with phenobarbital", ("c:1", "treats", "d:2")),
        ("Lithium and hypertension", None),
        ("seizures with phenobarbital", None),
        ("Lithium did not cause hypertension", None),
        ("No lithium-induced seizures", None),
        ("Lithium may cause hypertension", None),
        ("Lithium is used. Treatment of seizures.", None),
    ],
)
def test_relations(text: str, expected: tuple[str, str, str] | None) -> None:
    """What a sentence plainly says of two concepts is a claim with the sentence as evidence; nothing denied or supposed."""
    related = [one for one in said(text).claims if one.method == "pattern"]
    assert [(one.subject, one.predicate, one.object) for one in related] == ([expected] if expected else [])
    assert all(one.evidence == one.sentence and one.evidence.text == text for one in related)


def test_what_is_said_of_conditions_that_share_a_word_is_said_of_each() -> None:
    """Each has a mention at the place of both, and the relation and its denial go for both."""
    finder = Finder(build([Given([*TERMS, Term("D:4", "acute liver failure", kind="condition")])]))
    found = statements(document("Lithium causes acute liver and acute renal failure."), finder)
    assert [(one.subject, one.object) for one in found.claims if one.predicate == "causes"] == [
        ("c:2", "d:4"),
        ("c:2", "d:3"),
    ]
    places = [
        [(one.start, one.text) for one in entity.mentions] for entity in found.entities if entity.kind == "condition"
    ]
    assert places == [[(15, "acute liver and acute renal failure")]] * 2
    denied = statements(document("No acute liver or acute renal failure."), finder)
    assert [(one.object, one.polarity) for one in denied.claims] == [("d:4", "negated"), ("d:3", "negated")]


def test_a_name_over_what_looks_like_the_end_of_a_sentence() -> None:
    """A name whose full stop looks like a sentence's end belongs to the sentence in which it begins."""
    finder = Finder(build([Given([Term("X:1", "vitamin C. Deficiency", kind="condition")])]))
    (claim,) = statements(document("He had vitamin C. Deficiency then."), finder).claims
    assert claim.sentence is not None
    assert claim.sentence.start == 0
    assert claim.evidence.end is not None
    assert claim.sentence.end is not None
    assert claim.evidence.end <= claim.sentence.end


def test_nothing_found_is_nothing_said() -> None:
    """A text without concepts, and one without text, give nothing."""
    assert said("Nothing here.") == said() == ([], [])
