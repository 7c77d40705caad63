"""The example packages keep the rules, and so does a decorated function."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medical_kg import ItemRejected, Model, StageContext, StageMetadata, StateKey, stage
from medical_kg.documents.build import DocumentBuilder
from medical_kg.documents.ir import Document, Provenance
from medical_kg.testing import StageCase
from medical_kg.testing.conformance import StageConformance

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The modules of the examples can be imported."""
    for source in EXAMPLES.glob("*/src"):
        monkeypatch.syspath_prepend(str(source))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("medical_kg_"):
            del sys.modules[name]


def document(ident: str, text: str) -> Document:
    builder = DocumentBuilder()
    builder.block(text)
    return builder.build(
        id=ident, root=f"root-{ident}", kind="text", title="", provenance=Provenance(source="test", uri="memory:")
    )


class TestReadability(StageConformance):
    @pytest.fixture
    def case(self, examples: None) -> StageCase:
        from medical_kg_readability import ReadabilityStage

        given = [document("a", "The cat sat on the mat."), document("b", "It was a sunny day again.")]
        return StageCase(ReadabilityStage, {"min_words": 5}, {"documents": given}, bad_item=document("c", "Too short."))


class Word(Model):
    """A record."""

    id: str
    text: str


WORDS: StateKey[list[Word]] = StateKey("words", list[Word], id="id")
PARTS: StateKey[list[Word]] = StateKey("parts", list[Word], id="id")


class SplitConfig(Model):
    """The config of a decorated function."""

    by: str = " "


@stage(
    StageMetadata(
        stage_type="split",
        version="1.0.0",
        description="Splits texts.",
        reads=(WORDS,),
        writes=(PARTS,),
        mode="item",
        flat=True,
        cacheable=True,
        config_model=SplitConfig,
    )
)
def split(ctx: StageContext, item: Word, **reads: Any) -> Iterator[Word]:
    """Split a text."""
    if not item.text:
        raise ItemRejected(f"{item.id} is empty")
    for number, part in enumerate(item.text.split(ctx.config.by)):
        yield Word(id=f"{item.id}#{number}", text=part)


class TestSplit(StageConformance):
    @pytest.fixture
    def case(self) -> StageCase:
        words = [Word(id="a", text="b,c"), Word(id="d", text="e")]
        return StageCase(split, {"by": ","}, {"words": words}, bad_item=Word(id="f", text=""))
