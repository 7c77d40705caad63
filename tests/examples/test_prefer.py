"""The example that takes a built-in type's place: refused unless it was chosen, by a setting or by the pipeline."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "medical-kg-paragraph-chunks"
PARAGRAPH = (
    "A paragraph of this text has a few words more than the least that is asked for by default, but not many more."
)
TEXT = f"On paragraphs\n\n{PARAGRAPH}\n\n{PARAGRAPH}\n\n{PARAGRAPH}\n"


@pytest.fixture(scope="module")
def fresh(make_fresh: Callable[..., Any]) -> Any:
    """An environment with the example, its pipelines and a text; no settings yet."""
    fresh = make_fresh()
    fresh.install(str(EXAMPLE))
    shutil.copytree(EXAMPLE / "pipelines", fresh.folder / "pipelines")
    (fresh.folder / "documents").mkdir()
    (fresh.folder / "documents" / "text.txt").write_text(TEXT, encoding="utf-8")
    return fresh


@pytest.fixture
def preferred(fresh: Any) -> Any:
    """The example's settings, for one test."""
    shutil.copy(EXAMPLE / "medical_kg.toml", fresh.folder)
    yield
    (fresh.folder / "medical_kg.toml").unlink()


def chunked(fresh: Any, name: str) -> Any:
    """Run a pipeline and return its stage ``chunk``, as the ledger has it; its origin is the example."""
    path = f"pipelines/{name}.yaml"
    fresh.run("medical-kg", "run", path, "--input", "documents", "--engine", "plain")
    (submission,) = [one for one in fresh.json("submissions", "list") if one["pipeline"] == name]
    shown = fresh.json("submissions", "show", submission["id"])
    (stage,) = [stage for stage in shown["stages"] if stage["stage"] == "chunk"]
    assert shown["provenance"]["chunk"].startswith("medical-kg-paragraph-chunks 0.1.0")
    return stage


def test_without_a_choice_the_check_names_both(fresh: Any) -> None:
    """Neither wins by itself; the message names both distributions and how to choose."""
    said = " ".join(fresh.run("medical-kg", "pipelines", "check", "pipelines/paragraphs.yaml", code=2).split())
    assert "medical-kg 0.1.0" in said
    assert "medical-kg-paragraph-chunks 0.1.0" in said
    assert "plugins.prefer" in said


@pytest.mark.usefixtures("preferred")
def test_preferred_it_takes_the_place(fresh: Any) -> None:
    """With the example's settings the pipeline runs with it, a chunk per paragraph, and the result says whose it is."""
    fresh.run("medical-kg", "pipelines", "check", "pipelines/paragraphs.yaml")
    assert chunked(fresh, "paragraphs")["counts"] == {"chunks": 3}


def test_named_by_its_distribution_it_needs_no_setting(fresh: Any) -> None:
    """``distribution:name`` in the pipeline chooses for that pipeline."""
    assert chunked(fresh, "by-distribution")["counts"] == {"chunks": 3}
