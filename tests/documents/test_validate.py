"""``findings``: every rule of a document has its own code (scenario 20)."""

from __future__ import annotations

from typing import Any

import pytest

from medical_kg.documents.ir import Block, Concept, Document, Fact, Provenance, Section
from medical_kg.documents.validate import findings

TEXT = "Title\n\nBody text."


def document(*blocks: Block, **fields: Any) -> Document:
    given = blocks or (Block(id="b1", kind="title", start=0, end=5), Block(id="b2", start=7, end=17))
    values: dict[str, Any] = {
        "id": "file:a",
        "root": "file:a",
        "kind": "text",
        "title": "Title",
        "text": TEXT,
        "sections": (Section(id="s1", blocks=given),),
        "identifiers": ("file:a",),
        "provenance": Provenance(source="test", uri="a"),
    }
    return Document(**(values | fields))


def codes(document: Document) -> list[str]:
    return [finding.code for finding in findings(document)]


def test_a_valid_document_has_no_findings() -> None:
    """Nothing is found where nothing is wrong."""
    assert findings(document()) == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"id": " "}, "missing-id"),
        ({"root": ""}, "missing-root"),
        ({"title": " ", "text": "\n", "sections": ()}, "empty-document"),
        ({"identifiers": ("file:a", "nonsense")}, "bad-identifier"),
        ({"identifiers": ("pmid:",)}, "bad-identifier"),
        ({"sections": ()}, "uncovered-text"),
        ({"title": "a\x00b"}, "unstorable-text"),
        ({"language": "\x00"}, "unstorable-text"),
        ({"identifiers": ("pmid:1\x00",)}, "unstorable-text"),
        ({"metadata": {"a": [{"b": ("c", "\x00")}]}}, "unstorable-text"),
        ({"metadata": {"a": {"\x00": 1}}}, "unstorable-text"),
        ({"title": "half \ud83d"}, "unstorable-text"),
        ({"provenance": Provenance(source="test", uri="a\x00")}, "unstorable-text"),
        (
            {"facts": (Fact(predicate="p", object=Concept(kind="c", name="\x00"), pointer="/", evidence=""),)},
            "unstorable-text",
        ),
        ({"facts": (Fact(predicate="", object=Concept(kind="c", name="x"), pointer="/", evidence="x"),)}, "empty-fact"),
        ({"facts": (Fact(predicate="p", object=Concept(kind="c", name=" "), pointer="/", evidence=""),)}, "empty-fact"),
    ],
)
def test_each_fault_of_a_document_has_its_code(fields: dict[str, Any], code: str) -> None:
    """A fault gives exactly its own finding."""
    assert codes(document(**fields)) == [code]


@pytest.mark.parametrize(
    ("spans", "code"),
    [
        ([(-1, 5), (7, 17)], "negative-offset"),
        ([(0, 5), (7, 18)], "offset-out-of-range"),
        ([(0, 5), (5, 5), (7, 17)], "empty-span"),
        ([(0, 5), (17, 7), (7, 17)], "empty-span"),
        ([(0, 5), (5, 7), (7, 17)], "blank-block"),
        ([(0, 5), (4, 17)], "overlapping-blocks"),
        ([(7, 17), (0, 5)], "overlapping-blocks"),
        ([(0, 5), (7, 11)], "uncovered-text"),
        ([(0, 5), (12, 17)], "uncovered-text"),
    ],
)
def test_each_fault_of_offsets_has_its_code(spans: list[tuple[int, int]], code: str) -> None:
    """Bad offsets are told apart and name the block."""
    blocks = [Block(id=f"b{number}", start=start, end=end) for number, (start, end) in enumerate(spans)]
    found = findings(document(*blocks))
    assert code in [finding.code for finding in found]
    assert all(finding.place.startswith(("sections[0].blocks[", "text[")) for finding in found)


def test_ids_must_be_there_once() -> None:
    """Missing and repeated ids of sections and blocks are findings of their own."""
    block = Block(id="b", start=0, end=5)
    sections = (
        Section(id="s", blocks=(block,)),
        Section(id="s", blocks=(Block(id="b", start=7, end=11),)),
        Section(id="", blocks=(Block(id=" ", start=12, end=17),)),
    )
    expected = ["duplicate-section-id", "missing-section-id", "duplicate-block-id", "missing-block-id"]
    assert codes(document(sections=sections)) == expected


def test_all_findings_are_reported_at_once() -> None:
    """One look lists everything that is wrong, each as a line with code and place."""
    found = findings(document(Block(id="", start=-3, end=99), id="", root=""))
    assert [finding.code for finding in found] == [
        "missing-id",
        "missing-root",
        "missing-block-id",
        "negative-offset",
        "uncovered-text",
    ]
    assert str(found[0]) == "missing-id at id: the document has no id"
