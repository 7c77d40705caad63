"""``DocumentBuilder``: offsets are right whatever is laid."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medical_kg.documents.build import BlockKind, DocumentBuilder, numbered_paragraphs, squeeze
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.validate import findings

PROVENANCE = Provenance(source="test", uri="a.txt")
KINDS: tuple[BlockKind, ...] = ("title", "paragraph", "list_item", "table", "caption")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
BLOCKS = st.lists(st.tuples(TEXTS, st.sampled_from(KINDS)), max_size=5)
LAID = st.lists(st.tuples(TEXTS, st.booleans(), BLOCKS), max_size=5)


def finish(builder: DocumentBuilder, title: str = "T") -> Document:
    return builder.build(id="file:a", root="file:a", kind="text", title=title, provenance=PROVENANCE)


@given(LAID)
def test_every_block_is_found_at_its_offsets(laid: list[tuple[str, bool, list[tuple[str, BlockKind]]]]) -> None:
    """Each laid text that is not blank is a block whose offsets give it back, in order, and the document is valid."""
    builder = DocumentBuilder()
    expected: list[tuple[str, str]] = []
    for title, heading, blocks in laid:
        builder.section(title, heading=heading)
        expected += [(squeeze(title), "title")] if heading else []
        for text, kind in blocks:
            builder.block(text, kind)
            expected.append((text.strip(), kind))
    document = finish(builder)
    found = [(document.text_of(block), block.kind) for block in document.blocks]
    assert found == [(text, kind) for text, kind in expected if text]
    assert findings(document) == []


@given(LAID)
def test_the_same_input_gives_the_same_document(laid: list[tuple[str, bool, list[tuple[str, BlockKind]]]]) -> None:
    """Ids count up in reading order, so building twice gives equal documents."""

    def build() -> Document:
        builder = DocumentBuilder()
        for title, heading, blocks in laid:
            builder.section(title, ("above",), heading=heading)
            for text, kind in blocks:
                builder.block(text, kind)
        return finish(builder)

    assert build() == build()


def test_sections_without_text_are_left_out() -> None:
    """A section that stays empty leaves no trace, and one without a heading keeps its title."""
    builder = DocumentBuilder()
    builder.section("", ("a",))
    builder.section("Results", ("a",), heading=False)
    builder.block("Found.")
    (section,) = finish(builder).sections
    assert (section.id, section.title, section.path, len(section.blocks)) == ("s1", "Results", ("a",), 1)


def test_the_own_id_leads_the_identifiers() -> None:
    """A document is known by its own id first, and by no id twice."""
    builder = DocumentBuilder()
    document = builder.build(
        id="pmid:1", root="r", kind="article", title="T", provenance=PROVENANCE, identifiers=["doi:10.1/x", "pmid:1"]
    )
    assert document.identifiers == ("pmid:1", "doi:10.1/x")


def test_blank_lines_part_paragraphs() -> None:
    """Paragraphs are runs of lines with more than white space; lines inside one stay lines."""
    assert numbered_paragraphs("\n a \nb\n \t\n\nc\r\n") == [(2, " a\nb"), (6, "c")]
