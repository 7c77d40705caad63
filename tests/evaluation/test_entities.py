"""Scoring: figures worked out by hand."""

from __future__ import annotations

import pytest

from medical_kg.documents.pubtator import Annotation, Record
from medical_kg.documents.records import Entity, Mention
from medical_kg.evaluation.entities import ConceptCounts, Counts, SpanError, normal_id, score

TEXT = "Gout and fever with lithium."
GOLD = Record(
    "1",
    TEXT,
    "",
    (
        Annotation(0, 4, "Gout", "Disease", ("D006073",)),
        Annotation(9, 14, "fever", "Disease", ("D005334", "D1")),
        Annotation(20, 27, "lithium", "Chemical", ()),
        Annotation(5, 8, "and", "Variant", ()),
    ),
)


def entity(node: str, kind: str, *places: tuple[int, int], root: str = "pmid:1", also: tuple[str, ...] = ()) -> Entity:
    mentions = tuple(Mention(start=start, end=end, text=TEXT[start:end]) for start, end in places)
    identifiers = (node, *also)
    return Entity(id=node, root=root, node=node, kind=kind, name=node, identifiers=identifiers, mentions=mentions)


FOUND = [
    entity("mesh:D006073", "condition", (0, 4), (0, 8)),
    entity("doid:1", "condition", (10, 14), also=("mesh:D005334",)),
    entity("condition:x", "condition"),
    entity("mesh:D006073", "condition", (0, 4), root="pmid:2"),
    entity("pmid:1", "article", (0, 28)),
]


def test_strict_spans() -> None:
    """One of two conditions stands exactly; two were made up; other kinds and other documents do not count."""
    scores = score([GOLD], FOUND)
    assert scores.spans == {"chemical": Counts(0, 0, 1), "condition": Counts(1, 2, 1)}
    counts = scores.spans["condition"]
    assert (counts.precision, counts.recall, counts.f1) == (pytest.approx(1 / 3), 0.5, pytest.approx(0.4))
    assert (scores.spans["chemical"].precision, scores.spans["chemical"].f1) == (0, 0)
    assert (scores.documents, scores.left_out) == (1, {"Variant": 1})


def test_concepts_of_documents() -> None:
    """A concept is right by any of its identifiers; a composite asks for each id; an annotation without id asks nothing."""
    scores = score([GOLD], FOUND)
    assert scores.concepts == {
        "chemical": ConceptCounts(),
        "condition": ConceptCounts(right=2, found=3, met=2, asked=3),
    }
    counts = scores.concepts["condition"]
    assert (counts.precision, counts.recall, counts.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert ConceptCounts().f1 == 0


def test_errors_with_context() -> None:
    """Each error says what, where, and what stands around it."""
    errors = score([GOLD], FOUND).errors
    assert [(one.error, one.kind, one.start, one.end) for one in errors] == [
        ("false positive", "condition", 0, 8),
        ("false negative", "condition", 9, 14),
        ("false positive", "condition", 10, 14),
        ("false negative", "chemical", 20, 27),
    ]
    assert errors[3] == SpanError(
        "false negative", "pmid:1", "chemical", 20, 27, "lithium", "Gout and fever with [lithium]."
    )


def test_types_may_be_measured_otherwise() -> None:
    """What a type is measured as is the caller's choice; an unmeasured type asks for nothing."""
    scores = score([GOLD], FOUND, {"Variant": "article"})
    assert scores.spans == {"article": Counts(0, 1, 1)}
    assert scores.left_out == {"Disease": 2, "Chemical": 1}


@pytest.mark.parametrize(
    ("ident", "kind", "normal"),
    [
        ("D003920", "condition", "mesh:D003920"),
        ("MESH:D003920", "condition", "mesh:D003920"),
        ("OMIM:114480", "condition", "omim:114480"),
        ("6528", "gene", "ncbigene:6528"),
        ("9606", "species", "9606"),
    ],
)
def test_ids_are_compared_as_the_graph_writes_them(ident: str, kind: str, normal: str) -> None:
    """A bare id takes its kind's prefix; a prefix is written in lower case."""
    assert normal_id(ident, kind) == normal
