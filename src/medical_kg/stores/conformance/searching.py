"""What an index finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from medical_kg import InputError
from medical_kg.stores.conformance.samples import (
    FILTERS,
    MIXED,
    ODD_QUERIES,
    documents_of,
    joined,
    records,
    vector_of,
)
from medical_kg.stores.contract import Filters

if TYPE_CHECKING:
    from medical_kg.stores.contract import IndexStore


class SearchingRules:
    """Rules of ``search``."""

    def test_words_are_stemmed_and_accents_do_not_matter(self, index: IndexStore) -> None:
        """Other forms of a word find it; titles and section titles are searched too."""
        index.replace(*records("a", "patients with Ménière syndromes", title="A title"), version=1)
        assert documents_of(index, "patient") == documents_of(index, "MENIERE syndrome") == ["a"]
        assert documents_of(index, "titled") == documents_of(index, "result") == ["a"]
        assert documents_of(index, "glucose") == []

    def test_vector_search_is_exact_and_sees_later_writes(self, index: IndexStore) -> None:
        """The nearest by cosine come first, over all vectors, also after the index has changed."""
        texts = [f"word{number} word{number % 7} common" for number in range(150)]
        index.replace(*records("a", *texts), version=1)
        query = vector_of("word3 common")
        near = sorted((float(vector_of(text) @ query) for text in texts), reverse=True)
        hits = index.search("ignored", query, limit=120, kind="vector")
        assert [float(vector_of(hit.text) @ query) for hit in hits] == pytest.approx(near[:120], abs=1e-6)
        assert [hit.ranks for hit in hits[:2]] == [{"vector": 1}, {"vector": 2}]
        index.replace(*records("b", "word3 common"), version=1)
        assert index.search("", query, limit=1, kind="vector")[0].document == "b"
        index.remove(["root:a", "root:b"], version=9)
        assert index.search("", query, limit=1, kind="vector") == []

    def test_a_search_needs_what_its_kind_needs(self, index: IndexStore) -> None:
        """A kind that uses vectors never falls back to words in silence."""
        with pytest.raises(InputError, match="hybrid search needs the query's vector"):
            index.search("x", None, limit=1)
        with pytest.raises(InputError, match="'fuzzy' is unknown; choose hybrid, text, vector"):
            index.search("x", None, limit=1, kind="fuzzy")

    @pytest.mark.parametrize("kind", ["text", "vector", "hybrid"])
    def test_filters_leave_what_they_name(self, index: IndexStore, kind: str) -> None:
        """Sources and formats, kinds, years (a date without a year is in no range) and roots, alone and together."""
        index.replace(*MIXED, version=1)
        for filters, expected in FILTERS:
            hits = index.search("aspirin", vector_of("aspirin"), limit=9, kind=kind, filters=filters)
            assert "".join(sorted(hit.document for hit in hits)) == expected, filters

    def test_filters_are_applied_before_the_best_are_taken(self, index: IndexStore) -> None:
        """However many better chunks there are outside of the filter; the order of those inside stays."""
        index.replace(
            *joined(records("a", *["aspirin aspirin"] * 150), records("b", "aspirin in the long run", "no", "aspirin")),
            version=1,
        )
        query, only = vector_of("aspirin"), Filters(roots=frozenset({"root:b"}))
        for kind in ("text", "vector"):
            hits = index.search("aspirin", query, limit=500, kind=kind)
            within = index.search("aspirin", query, limit=2, kind=kind, filters=only)
            assert [hit.chunk for hit in within] == [hit.chunk for hit in hits if hit.document == "b"][:2]
            assert len(within) == 2

    def test_a_hit_says_where_words_of_the_query_stand(self, index: IndexStore) -> None:
        """In its text, as the index sees words: other forms and accents count, words that tell nothing do not."""
        text = "Le syndrome de Ménière\0 of patients,\x02 of whom one (a patient) had two."
        index.replace(*records("a", text, "nothing of the kind"), version=1)
        [hit] = index.search("what of the patients with MENIERE", None, limit=9, kind="text")
        assert [hit.text[start:end] for start, end in hit.matches] == ["Ménière", "patients", "patient"]
        assert index.search("?", vector_of("nothing of the kind"), limit=1)[0].matches == ()

    def test_no_text_is_an_error(self, index: IndexStore) -> None:
        """Whatever a user types is words to look for, never an operator and never a syntax error."""
        index.replace(*records("a", "x and near title _"), version=1)
        for query in ODD_QUERIES:
            assert len(index.search(query, vector_of("x"), limit=5)) == 1, query
