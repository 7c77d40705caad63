from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.documents.records import Chunk
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.embedders.minilm import MiniLmEmbedder
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stages.chunk import ChunkStage
from medical_kg.testing import FakeHttp, run_stage

PROVENANCE = Provenance(source="test", uri="mem:")
HTTP = {"http": FakeHttp()}


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
    config = {"embedder": "hashing", "max_tokens": 16, "context": "none", **config}
    result = run_stage(ChunkStage, config, services=HTTP, documents=[doc])
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


def test_headings_are_context() -> None:
    """The title and the headings above that a chunk does not begin with are given beside it, and counted."""
    doc = document(("Design", ["One two three four five six seven.", "Eight nine ten eleven twelve."]))
    section = doc.sections[0].model_copy(update={"path": ("Methods",)})
    doc = doc.model_copy(update={"sections": (section,), "title": "On rest"})
    chunks = chunks_of(doc, context="headings", max_tokens=32)
    assert [(chunk.context, chunk.tokens) for chunk in chunks] == [("On rest > Methods > Design", 20)]
    assert chunks[0].in_context == f"On rest > Methods > Design\n{chunks[0].text}"
    # A quarter of the chunk at most: the headings between go first, then the nearest.
    assert {chunk.context for chunk in chunks_of(doc, context="headings", max_tokens=20)} == {"On rest > Design"}
    assert {chunk.context for chunk in chunks_of(doc, context="headings", max_tokens=16)} == {"On rest > Design"}


def test_a_heading_in_the_text_is_not_said_twice() -> None:
    """The first chunk of a section begins with its heading; the others need it told."""
    doc = document(("Design", ["Design", "One two three four five six seven eight nine.", "One two three four five."]))
    chunks = chunks_of(doc, context="headings")
    assert [(chunk.text[:6], chunk.context) for chunk in chunks] == [("Design", "T"), ("One tw", "T > Design")]


TABLE = "a | 1\nb | 2\nc | 3"


def with_table(before: str, table: str, after: str) -> Document:
    doc = document(("", [before, table, after]))
    first, middle, last = doc.sections[0].blocks
    section = doc.sections[0].model_copy(update={"blocks": (first, middle.model_copy(update={"kind": "table"}), last)})
    return doc.model_copy(update={"sections": (section,)})


@pytest.mark.parametrize("strategy", ["sentence", "section"])
@pytest.mark.parametrize("overlap", [0, 8])
def test_a_table_is_kept_whole_where_it_fits(strategy: str, overlap: int) -> None:
    """It goes to the next chunk rather than being torn, whatever the chunks share."""
    before = "One two three. Four five six seven. Eight nine ten."
    chunks = chunks_of(with_table(before, TABLE, "End."), strategy=strategy, overlap=overlap)
    assert sum(TABLE in chunk.text for chunk in chunks) == 1
    assert not any("a | 1" in chunk.text and "c | 3" not in chunk.text for chunk in chunks)


def test_a_long_table_is_cut_between_rows() -> None:
    """A row is torn only where it alone is too long."""
    rows = [f"row{number} | {number} | {number}" for number in range(9)]
    chunks = chunks_of(with_table("Before it.", "\n".join(rows), "End."))
    found = [line for chunk in chunks for line in chunk.text.splitlines() if line.startswith("row")]
    assert found == rows


def test_sections_are_kept_whole_then_paragraphs() -> None:
    """By section, a chunk ends at the end of a paragraph; by sentence, wherever one more sentence fits."""
    doc = document(
        ("A", ["One two. Three four.", "Five six seven. Eight nine. Ten eleven. Twelve."]), ("B", ["Short."])
    )
    by_section = [chunk.text for chunk in chunks_of(doc, strategy="section")]
    assert by_section == ["One two. Three four.", "Five six seven. Eight nine. Ten eleven. Twelve.", "Short."]
    assert chunks_of(doc)[0].text == "One two. Three four.\n\nFive six seven. Eight nine. Ten eleven."
    assert len(chunks_of(doc, strategy="section", max_tokens=64)) == 2


def test_fixed_chunks_are_equally_long() -> None:
    """Sections and sentences are no borders; each chunk is named after the section it begins in."""
    doc = document(("A", [" ".join(["word."] * 10)]), ("B", [" ".join(["word."] * 10)]))
    chunks = chunks_of(doc, strategy="fixed")
    assert [(chunk.section, chunk.tokens) for chunk in chunks] == [("A", 16), ("A", 16), ("B", 8)]


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
    result = run_stage(
        ChunkStage, {"embedder": "hashing"}, services=HTTP, documents=[broken, document(("A", ["fine"]))]
    )
    assert [(letter.item_id, letter.message.split(":")[2]) for letter in result.dead_letters] == [
        ("doc:2", " a block lies outside its text of 0 characters; run ir-validation before")
    ]
    assert [chunk.text for chunk in result.output["chunks"]] == ["fine"]


def test_the_embedder_may_fetch_its_tokenizer() -> None:
    """It is given the service http before its limit and tokens are asked for."""

    class Fetching(HashingEmbedder):
        http: Any = None

        def connect(self, http: Any) -> None:
            self.http = http

        @property
        def max_tokens(self) -> int:
            assert self.http is HTTP["http"]
            return super().max_tokens

    class Plugins:
        def get(self, door: str, name: str) -> type[HashingEmbedder]:
            return Fetching

    services = {**HTTP, "plugins": Plugins()}
    assert run_stage(ChunkStage, services=services, documents=[document(("", ["one"]))]).output["chunks"]


def test_a_budget_above_the_embedder_s_is_refused() -> None:
    """Chunks whose ends the embedder would cut off are not made."""
    with pytest.raises(UsageError, match=r"max_tokens 300 is more than embedder 'minilm' takes in \(254\)"):
        run_stage(ChunkStage, {"max_tokens": 300}, services=HTTP, documents=[])


@pytest.mark.parametrize("config", [{"max_tokens": 8}, {"overlap": 101}, {"overlap": -1}, {"surprise": 1}])
def test_wrong_configs_are_refused(config: dict[str, int]) -> None:
    """Too small a budget, more overlap than half of it and unknown fields are refused."""
    with pytest.raises(ValidationError):
        run_stage(ChunkStage, config, services=HTTP, documents=[])


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
        run_stage(ChunkStage, {"max_tokens": 16}, documents=[doc], services={**HTTP, "plugins": Plugins()})
        return sum(seen)

    assert work(8000) <= 8 * work(1000)


TOKENIZERS = {"hashing": HashingEmbedder, "minilm": MiniLmEmbedder}
WORDS = st.sampled_from(["alpha", "Beta.", "3.5", "e.g.", "E. coli", "x-ray", "naïve", "\u200b", "pneumonoultramicro"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(
    st.lists(st.lists(st.lists(WORDS, max_size=30).map(" ".join), max_size=3), max_size=3),
    st.integers(16, 40),
    st.integers(0, 8),
    st.sampled_from(["hashing", "minilm"]),
    st.sampled_from(["sentence", "section", "fixed"]),
    st.sampled_from(["none", "headings"]),
)
def test_any_document_is_covered_within_the_budget(  # one argument per thing that varies
    sections: list[list[str]], budget: int, overlap: int, embedder: str, strategy: str, context: str
) -> None:
    """For any document: spans reproduce the text, none is above the budget, nothing but white space is left out."""
    if embedder == "minilm":
        pytest.importorskip("tokenizers")
    doc = document(*((f"S{number}", paragraphs) for number, paragraphs in enumerate(sections)))
    config = {"max_tokens": budget, "overlap": overlap, "embedder": embedder, "strategy": strategy, "context": context}
    chunks = chunks_of(doc, **config)
    assert all(doc.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert all(0 <= chunk.tokens <= budget for chunk in chunks)
    covered = {at for chunk in chunks for at in range(chunk.start, chunk.end)}
    assert all(at in covered or char.isspace() for at, char in enumerate(doc.text))
    assert [chunk.id for chunk in chunks] == [f"doc:1#{number}" for number in range(len(chunks))]
    assert chunks == chunks_of(doc, **config)
    count = TOKENIZERS[embedder]().token_offsets
    assert [len(count(chunk.in_context)) for chunk in chunks] == [chunk.tokens for chunk in chunks]
    if overlap == 0:
        assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(doc.text.split())
