"""The strange graph, for each test."""

from __future__ import annotations

import pytest
from strange_graph import EVIL, edge

from medical_kg.stores.contract import Edge, Node


@pytest.fixture
def nodes() -> list[Node]:
    return [
        Node(id="mesh:D006333", kind="condition", name="Heart Failure", identifiers=("mesh:D006333",), roots=2),
        Node(id="pmid:1", kind="article", name=EVIL, identifiers=("pmid:1", "doi:10.1/a b"), roots=1),
        Node(id="drug:drug x", kind="drug", name="Drug X", roots=1),
    ]


@pytest.fixture
def edges() -> list[Edge]:
    return [
        edge("drug:drug x", "treats", "mesh:D006333"),
        edge("drug:drug x", "treats", "mesh:D006333", root="r2", document="pmid:2", uri="javascript:window.owned=3"),
        edge("mesh:D006333", "resembles", "mesh:D006333", sentence="", sentence_start=None, start=None, end=None),
        edge("pmid:1", "mentions_as_absent", "mesh:D006333", polarity="negated", sentence=EVIL, evidence="script"),
    ]
