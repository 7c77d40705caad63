"""``ir-validation``: a valid document passes unchanged, any other stops with all its findings (scenario 20)."""

from __future__ import annotations

from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Block, Concept, Document, Fact, Provenance, Section
from medical_kg.stages.ir_validation import IrValidationStage
from medical_kg.testing import run_stage


def document(ident: str = "file:a") -> Document:
    builder = DocumentBuilder()
    builder.section("Heading")
    builder.block("Text.")
    provenance = Provenance(source="test", uri="a")
    return builder.build(id=ident, root=ident, kind="text", title="T", provenance=provenance)


def test_a_valid_document_passes_unchanged() -> None:
    """The very same document goes on."""
    given = document()
    run = run_stage(IrValidationStage, documents=[given])
    assert run.output["documents"][0] is given
    assert run.dead_letters == ()
    assert run.counts == {"documents": 1}


def test_a_faulty_document_stops_with_all_findings() -> None:
    """Every finding is listed with its code and place; documents beside it go on."""
    blocks = (Block(id="b1", start=0, end=7), Block(id="b1", start=3, end=99))
    faulty = document("file:b").model_copy(update={"sections": (Section(id="s1", blocks=blocks),), "root": "file:r"})
    run = run_stage(IrValidationStage, documents=[faulty, document()])
    assert [one.id for one in run.output["documents"]] == ["file:a"]
    (letter,) = run.dead_letters
    assert (letter.item_id, letter.root) == ("file:b", "file:r")
    assert letter.message.startswith("document 'file:b' of 'file:r' is not valid, 3 findings: ")
    for words in (
        "duplicate-block-id at sections[0].blocks[1]: 'b1' is already the id of sections[0].blocks[0]",
        "offset-out-of-range at sections[0].blocks[1]: [3, 99) ends beyond the text, which has 14 characters",
        "overlapping-blocks at sections[0].blocks[1]: it starts at 3, but sections[0].blocks[0] reaches to 7",
    ):
        assert words in letter.message


def test_warnings_cost_only_what_they_name() -> None:
    """A document goes on without identifiers and facts that say nothing, and its metadata tell what was found."""
    nothing = Fact(predicate="has_keyword", object=Concept(kind="keyword", name=" "), pointer="/k", evidence="")
    something = nothing.model_copy(update={"object": Concept(kind="keyword", name="rest")})
    given = document().model_copy(update={"identifiers": ("file:a", "doi:"), "facts": (nothing, something)})
    run = run_stage(IrValidationStage, documents=[given])
    (passed,) = run.output["documents"]
    assert (passed.identifiers, passed.facts, passed.text) == (("file:a",), (something,), given.text)
    assert [(one["severity"], one["code"], one["place"]) for one in passed.metadata["findings"]] == [
        ("warning", "bad-identifier", "identifiers[1]"),
        ("warning", "empty-fact", "facts[0]"),
    ]
    assert run.dead_letters == ()


def test_an_error_stops_a_document_with_its_warnings_too() -> None:
    """Who mends it learns of everything at once."""
    given = document().model_copy(update={"identifiers": ("doi:",), "root": " "})
    (letter,) = run_stage(IrValidationStage, documents=[given]).dead_letters
    assert "2 findings: missing-root at root: " in letter.message
    assert "bad-identifier at identifiers[0]" in letter.message
