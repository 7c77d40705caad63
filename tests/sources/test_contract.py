"""Options of a source are validated by its own model."""

from __future__ import annotations

import pytest

from medical_kg import InputError
from medical_kg.sources.contract import Source, SourceOptions


class WithPath(SourceOptions):
    path: str
    depth: int = 1


class Tree(Source):
    name = "tree"
    options_model = WithPath


def test_good_options_are_kept() -> None:
    """The options become the model the source declares."""
    assert Tree({"path": "a"}).options == WithPath(path="a")
    Tree({"path": "a"}).close()


def test_bad_options_are_all_named() -> None:
    """Every wrong option is named, and the known ones are listed."""
    with pytest.raises(InputError) as caught:
        Tree({"depht": 2, "depth": "x"})
    message = str(caught.value)
    assert "options of source 'tree' are refused" in message
    assert all(name in message for name in ("path: ", "depth: ", "depht: ", "known options: depth, path"))
    with pytest.raises(InputError, match="known options: none"):
        Source.__new__(type("Bare", (Source,), {"name": "bare"})).__init__({"x": 1})
