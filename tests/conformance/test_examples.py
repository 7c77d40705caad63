"""The example packages keep the rules, and so does a decorated function."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medical_kg import ItemRejected, Model, StageContext, StageMetadata, StateKey, stage
from medical_kg.testing import StageCase
from medical_kg.testing.conformance import StageConformance

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("medical-kg-*")), ids=lambda path: path.name)
def test_the_suites_of_the_examples_pass(example: Path, tmp_path: Path) -> None:
    """Each example package holds its stage type to the rules in its own tests, and they pass."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), example / "tests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(example / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert "StageConformance" in "".join(path.read_text(encoding="utf-8") for path in (example / "tests").glob("*.py"))


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
