from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.documents.records import Chunk
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stages.chunk import ChunkStage
from medical_kg.testing import run_stage

PROVENANCE = Provenance(source="test", uri="mem:")


def document(*sections: tuple[str, list[str]], between: str = "\n\n") -> Document:
    """A document of titled sections of paragraphs, with ``between`` after each paragraph."""
    text, made = "", []
    for number, (title, paragraphs) in enumerate(sections):
        blocks = []
        for place, paragraph in enumerate(paragraphs):
            blocks.append(Block(id=f"b{number}.{place}", start=len(text), end=len(text) + len(paragraph)))
            text += paragraph + between
        made.append(Section(id=f"s{number}", title=title, blocks=tuple(blocks)))
    return Document(
        id="doc:1", root="root:1", kind="text", title="T", text=text, sections=tuple(made), provenance=PROVENANCE
    )


def chunks_of(doc: Document, **config: Any) -> list[Chunk]:
    result = run_stage(ChunkStage, {"embedder": "hashing", "max_tokens": 16, **config}, documents=[doc])
    assert result.dead_letters == ()
    found: list[Chunk] = result.output["chunks"]
    return found


def test_chunks_reproduce_the_text_within_sections() -> None:
    """A chunk is the span it names, belongs to one section and carries its title; ids count up."""
    doc = document(("Background", ["One sentence here. And two."]), ("Methods", ["Short."]))
    chunks = chunks_of(doc)
    assert [(chunk.id, chunk.ordinal, chunk.section, chunk.text) for chunk in chunks] == [
        ("doc:1#0", 0, "Background", "One sentence here. And two."),
        ("doc:1#1", 1, "Methods", "Short."),
    ]
    assert all(doc.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert {(chunk.root, chunk.document) for chunk in chunks} == {("root:1", "doc:1")}
    assert [chunk.tokens for chunk in chunks] == [7, 2]


def test_section_titles_carry_the_path_above() -> None:
    """A sub-section is named with the titles it stands under."""
    doc = document(("Design", ["Text."]))
    section = doc.sections[0].model_copy(update={"path": ("Methods", "")})
    assert chunks_of(doc.model_copy(update={"sections": (section,)}))[0].section == "Methods > Design"


def test_cuts_fall_at_sentence_ends_not_at_decimals_or_abbreviations() -> None:
    """Where a sentence end fits it is the border; a decimal or an abbreviation is none."""
    sentence = "Dr. Fig. 2 vs. E. coli at 3.5 mg."
    assert [chunk.text for chunk in chunks_of(document(("", [f"{sentence} {sentence} End."])), max_tokens=18)] == [
        sentence,
        f"{sentence} End.",
    ]


def test_the_next_block_is_a_border_as_a_sentence_is() -> None:
    """List items without a full stop are not torn apart."""
    paragraphs = ["one two three four five six", "one two three four five six", "one two three four five"]
    assert [chunk.text.count("one") for chunk in chunks_of(document(("", paragraphs), between="\n"))] == [2, 1]


def test_text_outside_blocks_is_kept() -> None:
    """What stands between sections belongs to the one before; a document without sections is one region."""
    doc = document(("A", ["First."]), ("B", ["Second."]), between=" stray. ")
    assert [chunk.text for chunk in chunks_of(doc)] == ["First. stray.", "Second. stray."]
    bare = doc.model_copy(update={"sections": (Section(id="empty"),)})
    assert [(chunk.section, chunk.text) for chunk in chunks_of(bare)] == [("", doc.text.strip())]


def test_overlap_repeats_the_end_of_the_chunk_before() -> None:
    """With overlap a chunk begins inside the one before it, and still ends further on."""
    doc = document(("", [" ".join(f"w{number}" for number in range(40))]))
    chunks = chunks_of(doc, overlap=4)
    assert [chunk.text.split()[0] for chunk in chunks] == ["w0", "w12", "w24"]
    assert all(chunk.tokens <= 16 for chunk in chunks)


def test_a_document_without_text_gives_no_chunks() -> None:
    """Nothing is invented for an empty document."""
    assert chunks_of(document(("Empty", [" "]))) == []


def test_blocks_outside_the_text_are_a_dead_letter() -> None:
    """A broken document is told apart by its id; others are cut."""
    broken = document(("A", ["x"])).model_copy(update={"text": "", "id": "doc:2"})
    result = run_stage(ChunkStage, {"embedder": "hashing"}, documents=[broken, document(("A", ["fine"]))])
    assert [(letter.item_id, letter.message.split(":")[2]) for letter in result.dead_letters] == [
        ("doc:2", " a block lies outside its text of 0 characters; run ir-validation before")
    ]
    assert [chunk.text for chunk in result.output["chunks"]] == ["fine"]


def test_a_budget_above_the_embedder_s_is_refused() -> None:
    """Chunks whose ends the embedder would cut off are not made."""
    with pytest.raises(UsageError, match=r"max_tokens 300 is more than embedder 'minilm' takes in \(254\)"):
        run_stage(ChunkStage, {"max_tokens": 300}, documents=[])


@pytest.mark.parametrize("config", [{"max_tokens": 8}, {"overlap": 101}, {"overlap": -1}, {"surprise": 1}])
def test_wrong_configs_are_refused(config: dict[str, int]) -> None:
    """Too small a budget, more overlap than half of it and unknown fields are refused."""
    with pytest.raises(ValidationError):
        run_stage(ChunkStage, config, documents=[])


def test_work_grows_with_the_text_and_no_faster() -> None:
    """Eight times the text asks eight times the tokenizer's work: nothing is tokenised again and again."""
    seen: list[int] = []

    class Counting(HashingEmbedder):
        def token_offsets(self, text: str) -> list[tuple[int, int]]:
            seen.append(len(text))
            return super().token_offsets(text)

    class Plugins:
        def get(self, door: str, name: str) -> type[HashingEmbedder]:
            return Counting

    def work(words: int) -> int:
        seen.clear()
        doc = document(("", ["word " * words]))
        run_stage(ChunkStage, {"max_tokens": 16}, documents=[doc], services={"plugins": Plugins()})
        return sum(seen)

    assert work(8000) <= 8 * work(1000)


WORDS = st.sampled_from(["alpha", "Beta.", "3.5", "e.g.", "E. coli", "x-ray", "naïve", "\u200b", "pneumonoultramicro"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(
    st.lists(st.lists(st.lists(WORDS, max_size=30).map(" ".join), max_size=3), max_size=3),
    st.integers(16, 40),
    st.integers(0, 8),
    st.sampled_from(["hashing", "minilm"]),
)
def test_any_document_is_covered_within_the_budget(
    sections: list[list[str]], budget: int, overlap: int, embedder: str
) -> None:
    """For any document: spans reproduce the text, none is above the budget, nothing but white space is left out."""
    if embedder == "minilm":
        pytest.importorskip("tokenizers")
    doc = document(*((f"S{number}", paragraphs) for number, paragraphs in enumerate(sections)))
    chunks = chunks_of(doc, max_tokens=budget, overlap=overlap, embedder=embedder)
    assert all(doc.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert all(0 <= chunk.tokens <= budget for chunk in chunks)
    covered = {at for chunk in chunks for at in range(chunk.start, chunk.end)}
    assert all(at in covered or char.isspace() for at, char in enumerate(doc.text))
    assert [chunk.id for chunk in chunks] == [f"doc:1#{number}" for number in range(len(chunks))]
    assert chunks == chunks_of(doc, max_tokens=budget, overlap=overlap, embedder=embedder)
    if overlap == 0:
        assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(doc.text.split())
