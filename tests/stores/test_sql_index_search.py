"""What the suite of stores does not ask of searches in the SQL index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medical_kg.stores.conformance.samples import joined, records, vector_of
from medical_kg.stores.index_words import telling_words
from medical_kg.stores.sql_index import SqlIndex


@pytest.fixture
def index(url: str) -> Iterator[SqlIndex]:
    with closing(SqlIndex(url)) as opened:
        yield opened


def test_function_words_count_only_where_there_are_no_others() -> None:
    """Words that match everything are left out of a query, unless it has no others; long queries are cut."""
    assert telling_words("What is the effect of AND?") == ["effect"]
    assert telling_words("to be or not to be") == ["not"]
    assert telling_words("the of") == ["the", "of"]
    assert telling_words(" * \"'( ") == []
    assert len(telling_words(" ".join(f"w{number}" for number in range(500)))) == 64


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                ['"', "'", "AND", "OR NOT", "NEAR(", "*", "^", "title:", "-", "{a b}:", "\0", "\ud800", "_", "²", "x"]
            )
        ).map(" ".join),
    )
)
def test_no_text_is_an_error(index: SqlIndex, query: str) -> None:
    """Whatever a user types is words to look for, never an operator and never a syntax error."""
    if not index.counts()["documents"]:
        index.replace(*records("a", "x and near title _"), version=1)
    hits = index.search(query, vector_of("x"), limit=5)
    assert len(hits) == 1


def test_known_items_are_found(index: SqlIndex, shared_data: Path) -> None:
    """Each of PubMedQA's 500 questions finds its article among the first ten in 97 % of cases, by words alone."""
    known = json.loads((shared_data / "retrieval" / "pubmedqa-dev-500.json").read_text(encoding="utf-8"))
    index.replace(*joined(*(records(pmid, *one["CONTEXTS"]) for pmid, one in known.items())), version=1)
    found = sum(
        pmid in {hit.document for hit in index.search(one["QUESTION"], None, limit=10, kind="text")}
        for pmid, one in known.items()
    )
    assert found >= 485
