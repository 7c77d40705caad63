"""Searching the SQL index: by words, by vectors, and both fused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medical_kg import InputError
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Chunk, Embedding
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.stores.contract import Filters
from medical_kg.stores.index_rows import chunk_key
from medical_kg.stores.index_words import telling_words
from medical_kg.stores.sql_index import SqlIndex

EMBEDDER = HashingEmbedder({"dimension": 16})


@pytest.fixture
def index(url: str) -> Iterator[SqlIndex]:
    with closing(SqlIndex(url)) as opened:
        yield opened


def write(index: SqlIndex, more: dict[str, Any] | None = None, **texts: list[str]) -> None:
    """Write documents of these ids, each with chunks of these texts; ``more`` are fields of the documents."""
    provenance = Provenance(source="test", uri="mem:")
    documents = [
        Document(
            **{
                "id": name,
                "root": f"root:{name}",
                "kind": "article",
                "title": "A title",
                "text": "",
                "sections": (),
                "provenance": provenance,
                **(more or {}),
            }
        )
        for name in texts
    ]
    chunks = [
        Chunk(
            id=f"{name}#{number}",
            root=f"root:{name}",
            document=name,
            ordinal=number,
            start=0,
            end=len(text),
            section="Results",
            text=text,
            tokens=3,
        )
        for name, parts in texts.items()
        for number, text in enumerate(parts)
    ]
    embeddings = [
        Embedding(id=one.id, root=one.root, embedder=EMBEDDER.identity, vector=EMBEDDER.embed_query(one.text))
        for one in chunks
    ]
    index.replace(documents, chunks, embeddings, version=1)


def documents_of(index: SqlIndex, words: str) -> list[str]:
    return [hit.document for hit in index.search(words, None, limit=10, kind="text")]


def test_words_are_stemmed_and_accents_do_not_matter(index: SqlIndex) -> None:
    """Other forms of a word find it; titles and section titles are searched too."""
    write(index, a=["patients with Ménière syndromes"])
    assert documents_of(index, "patient") == documents_of(index, "MENIERE syndrome") == ["a"]
    assert documents_of(index, "titled") == documents_of(index, "result") == ["a"]
    assert documents_of(index, "glucose") == []


def test_vector_search_is_exact_and_sees_later_writes(index: SqlIndex) -> None:
    """The nearest by cosine come first, over all vectors, also after the index has changed."""
    texts = [f"word{number} word{number % 7} common" for number in range(150)]
    write(index, a=texts)
    query = EMBEDDER.embed_query("word3 common")
    matrix = EMBEDDER.embed_documents(texts)
    expected = sorted(range(150), key=lambda at: (-float(matrix[at] @ query), chunk_key("root:a", f"a#{at}")))
    hits = index.search("ignored", query, limit=120, kind="vector")
    assert np.allclose(
        [matrix[int(hit.chunk[2:])] @ query for hit in hits], [matrix[at] @ query for at in expected[:120]]
    )
    assert [hit.ranks for hit in hits[:2]] == [{"vector": 1}, {"vector": 2}]
    write(index, b=["word3 common"])
    assert index.search("", query, limit=1, kind="vector")[0].document == "b"
    index.remove(["root:a", "root:b"], version=9)
    assert index.search("", query, limit=1, kind="vector") == []


def test_a_search_needs_what_its_kind_needs(index: SqlIndex) -> None:
    """A kind that uses vectors never falls back to words in silence."""
    with pytest.raises(InputError, match="hybrid search needs the query's vector"):
        index.search("x", None, limit=1)
    with pytest.raises(InputError, match="'fuzzy' is unknown; choose hybrid, text, vector"):
        index.search("x", None, limit=1, kind="fuzzy")


def origin(source: str, form: str) -> Provenance:
    return Provenance(source=source, uri="mem:", format=form)


@pytest.fixture
def mixed(index: SqlIndex) -> SqlIndex:
    """An index of three kinds of documents that all say the same."""
    write(index, {"kind": "trial", "published": "2019", "provenance": origin("auto", "ctgov")}, a=["aspirin early"])
    write(index, {"published": "2021-07-01", "provenance": origin("pubmed", "xml")}, b=["aspirin now"])
    write(index, {"published": "20210", "provenance": origin("pubmed", "xml")}, c=["aspirin late", "aspirin"])
    return index


@pytest.mark.parametrize("kind", ["text", "vector", "hybrid"])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), "abcc"),
        (Filters(sources=("pubmed",)), "bcc"),
        (Filters(sources=("ctgov", "xml")), "abcc"),
        (Filters(kinds=("trial",)), "a"),
        (Filters(kinds=("trial", "article"), since=2020), "b"),
        (Filters(since=2019, until=2019), "a"),
        (Filters(until=2021), "ab"),
        (Filters(roots=frozenset({"root:a", "root:c", "root:nobody"})), "acc"),
        (Filters(roots=frozenset({f"root:{number}" for number in range(70_000)} | {"root:b"})), "b"),
        (Filters(roots=frozenset()), ""),
        (Filters(sources=("pubmed",), roots=frozenset({"root:a"})), ""),
    ],
)
def test_filters_leave_what_they_name(mixed: SqlIndex, kind: str, filters: Filters, expected: str) -> None:
    """Sources and formats, kinds, years (a date without a year is in no range) and roots, alone and together."""
    hits = mixed.search("aspirin", EMBEDDER.embed_query("aspirin"), limit=9, kind=kind, filters=filters)
    assert "".join(sorted(hit.document for hit in hits)) == expected


def test_filters_are_applied_before_the_best_are_taken(index: SqlIndex) -> None:
    """However many better chunks there are outside of the filter; the order of those inside stays."""
    write(index, a=["aspirin aspirin"] * 150, b=["aspirin in the long run", "nothing", "aspirin"])
    query, only = EMBEDDER.embed_query("aspirin"), Filters(roots=frozenset({"root:b"}))
    for kind in ("text", "vector"):
        hits = index.search("aspirin", query, limit=500, kind=kind)
        within = index.search("aspirin", query, limit=2, kind=kind, filters=only)
        assert [hit.chunk for hit in within] == [hit.chunk for hit in hits if hit.document == "b"][:2]
        assert len(within) == 2


def test_a_hit_says_where_words_of_the_query_stand(index: SqlIndex) -> None:
    """In its text, as the index sees words: other forms and accents count, words that tell nothing do not."""
    text = "Le syndrome de Ménière\0 of patients,\x02 of whom one (a patient) had two."
    write(index, a=[text, "nothing of the kind"])
    [hit] = index.search("what of the patients with MENIERE", None, limit=9, kind="text")
    assert [hit.text[start:end] for start, end in hit.matches] == ["Ménière", "patients", "patient"]
    assert index.search("?", EMBEDDER.embed_query("kind"), limit=1)[0].matches == ()


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
        write(index, a=["x and near title _"])
    hits = index.search(query, EMBEDDER.embed_query("x"), limit=5)
    assert len(hits) == 1


def test_known_items_are_found(index: SqlIndex, shared_data: Path) -> None:
    """Each of PubMedQA's 500 questions finds its article among the first ten in 97 % of cases, by words alone."""
    known = json.loads((shared_data / "retrieval" / "pubmedqa-dev-500.json").read_text(encoding="utf-8"))
    write(index, **{pmid: one["CONTEXTS"] for pmid, one in known.items()})
    found = sum(
        pmid in {hit.document for hit in index.search(one["QUESTION"], None, limit=10, kind="text")}
        for pmid, one in known.items()
    )
    assert found >= 485
