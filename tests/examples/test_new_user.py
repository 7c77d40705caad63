"""From ``plugins new`` to a green suite and a first run, as somebody does who is new to medical-kg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

TEXT = "Readers of this study will find short words and short sentences. " * 8


def test_from_nothing_to_a_tested_stage(make_fresh: Callable[..., Any], python: str) -> None:
    """The package installs, its suite is green, it is listed with its origin, and its pipeline runs."""
    fresh = make_fresh(python)
    ask = ("--mode", "item", "--reads", "documents", "--writes", "readability")
    said = fresh.run("medical-kg", "plugins", "new", "stage", "readability", *ask)
    assert "python -m pytest" in said
    package = fresh.folder / "medical-kg-readability"
    fresh.install("--editable", ".", cwd=package)
    tested = fresh.run("python", "-m", "pytest", "-p", "no:cacheprovider", cwd=package)
    assert " passed" in tested
    assert "failed" not in tested
    assert "medical-kg-readability 0.1.0" in fresh.run("medical-kg", "plugins", "show", "readability")

    (fresh.folder / "documents").mkdir()
    (fresh.folder / "documents" / "study.txt").write_text(TEXT, encoding="utf-8")
    pipeline = str(package / "pipelines" / "readability.yaml")
    fresh.run("medical-kg", "pipelines", "check", pipeline)
    fresh.run("medical-kg", "run", pipeline, "--input", "documents", "--engine", "plain")
    (submission,) = fresh.json("submissions", "list")
    shown = fresh.json("submissions", "show", submission["id"])
    assert {stage["stage"]: stage["counts"] for stage in shown["stages"]}["readability"] == {"readability": 1}
