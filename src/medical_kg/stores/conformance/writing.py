"""What an index keeps, replaces, refuses and forgets."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest

from medical_kg import ContractError
from medical_kg.stores.conformance.samples import (
    BATCH,
    EMPTY,
    IDENTITY,
    WORKS,
    documents_of,
    joined,
    records,
    vector_of,
)
from medical_kg.stores.contract import EmbedderMismatch, Removed, Written

if TYPE_CHECKING:
    from collections.abc import Callable

    from medical_kg.stores.contract import IndexStore, Store


class WritingRules:
    """Rules of ``replace``, ``remove``, ``erase`` and of what they leave."""

    def test_an_empty_index_answers(self, index: IndexStore) -> None:
        """Before the first write nothing is found, counted, removed or erased, and nothing fails."""
        assert index.counts() == index.kept("root:a") == index.erase("root:a") == EMPTY
        assert index.search("x", vector_of("x"), limit=3) == []
        assert documents_of(index, "x") == []
        assert (index.document("a"), index.chunks("a"), index.embedder()) == (None, [], None)
        assert index.same_work(["a"]) == {"a": ("a",)}
        assert index.remove([], version=1) == index.remove(["root:a"], version=1) == Removed(0, ())

    def test_what_was_written_is_found_and_counted(self, index: IndexStore) -> None:
        """A write gives its rows, all of them can be counted, and a hit tells where its words stand."""
        assert index.replace(*BATCH, version=1) == Written({"documents": 3, "chunks": 3, "vectors": 3}, 0, ())
        assert index.counts() == {"documents": 3, "chunks": 3, "vectors": 3}
        [hit] = index.search("glucose", vector_of("insulin lowers glucose in diabetes"), limit=1)
        assert (hit.chunk, hit.document, hit.root) == ("pmid:2#0", "pmid:2", "root:pmid:2")
        assert (hit.title, hit.section, hit.text) == ("About pmid:2", "Results", "insulin lowers glucose in diabetes")
        assert (hit.start, hit.end) == (0, 34)
        assert hit.ranks == {"text": 1, "vector": 1}
        assert hit.score == pytest.approx(1)

    def test_an_equal_write_changes_nothing(self, index: IndexStore) -> None:
        """It counts as a replacement, and all is as it was; also after the root was another in between."""
        index.replace(*BATCH, version=1)
        before = index.search("aspirin effect", vector_of("aspirin"), limit=9)
        for between in ((), records("pmid:2", "something else", "entirely")):
            if between:
                index.replace(*between, version=3)
                assert index.counts()["chunks"] == 4
            assert index.replace(*BATCH, version=3) == Written({"documents": 3, "chunks": 3, "vectors": 3}, 3, ())
            assert index.search("aspirin effect", vector_of("aspirin"), limit=9) == before

    def test_the_order_of_writes_does_not_matter(self, new_store: Callable[[], Store]) -> None:
        """Indexes given the same documents, one by one in any order or at once, answer alike."""
        parts = [records(f"d{number}", f"text {number}", "shared") for number in range(4)]
        found = []
        for order in (parts, parts[::-1], [joined(*parts)]):
            with closing(new_store().index()) as index:
                for part in order:
                    index.replace(*part, version=1)
                hits = index.search("ignored", vector_of("shared"), limit=9, kind="vector")
                found.append(([hit.chunk for hit in hits], index.counts(), sorted(documents_of(index, "shared"))))
        assert found[0] == found[1] == found[2]

    def test_a_root_is_replaced_whole(self, index: IndexStore) -> None:
        """What a root no longer has is gone, also when nothing is left of its chunks; other roots stay."""
        index.replace(*BATCH, version=1)
        documents, _, _ = records("pmid:1")
        assert index.replace(documents, [], [], version=2) == Written(
            {"documents": 1, "chunks": 0, "vectors": 0}, 1, ()
        )
        assert documents_of(index, "aspirin insulin") == ["pmid:2"]
        assert index.counts() == {"documents": 3, "chunks": 1, "vectors": 1}
        assert index.document("doi:10/x") is None

    def test_an_older_version_is_refused_for_its_root_alone(self, index: IndexStore) -> None:
        """A late write of an older submission leaves the newer rows and writes the rest."""
        index.replace(*records("a", "new"), version=5)
        written = index.replace(*joined(records("a", "old"), records("b", "old")), version=4)
        assert written == Written({"documents": 1, "chunks": 1, "vectors": 1}, 0, ("root:a",))
        assert documents_of(index, "old") == ["b"]
        assert documents_of(index, "new") == ["a"]

    def test_removed_roots_are_gone(self, index: IndexStore) -> None:
        """Removing tells how many had rows; what is removed twice, or never was there, does not count."""
        index.replace(*BATCH, version=5)
        assert index.remove(["root:pmid:1", "root:pmid:2", "root:pmid:3", "root:nobody"], version=5) == Removed(3, ())
        assert index.remove(["root:pmid:1"], version=5) == Removed(0, ())
        assert index.counts() == EMPTY
        assert documents_of(index, "aspirin") == []

    def test_an_older_removal_is_refused_for_its_root_alone(self, index: IndexStore) -> None:
        """A root that a newer submission wrote is not removed by an older one; the others named with it are."""
        index.replace(*records("a", "new"), version=5)
        index.replace(*records("b", "old"), version=3)
        assert index.remove(["root:a", "root:b"], version=4) == Removed(1, ("root:a",))
        assert documents_of(index, "new old") == ["a"]

    def test_an_older_write_does_not_bring_a_removed_root_back(self, index: IndexStore) -> None:
        """Removal leaves the root's version behind, also of a root that had no rows; an equal or newer write is taken."""
        index.replace(*records("a", "here"), version=2)
        index.remove(["root:a", "root:b"], version=4)
        written = index.replace(*joined(records("a", "here"), records("b", "here")), version=3)
        assert written.refused == ("root:a", "root:b")
        assert index.remove(["root:a"], version=3) == Removed(0, ("root:a",))
        assert index.counts() == EMPTY
        # The same content as before the removal: it must not pass for an equal write that can be skipped.
        assert index.replace(*records("a", "here"), version=4).refused == ()
        assert index.replace(*records("b", "here"), version=5).refused == ()
        assert sorted(documents_of(index, "here")) == ["a", "b"]

    def test_documents_are_found_by_any_identifier(self, index: IndexStore) -> None:
        """By its id or an identifier; a document whose own id it is comes before one that only mentions it."""
        index.replace(*joined(BATCH, records("a", identifiers=("a", "pmid:2", "it's"))), version=1)
        assert index.document("doi:10/x") == BATCH[0][0]
        assert index.document("pmid:2") == BATCH[0][1]
        assert index.document("it's") is not None
        assert index.document("pmid:404") is None
        assert index.chunks("pmid:1") == BATCH[1][:2]
        assert index.chunks("pmid:404") == []

    def test_two_roots_may_bring_the_same_document(self, index: IndexStore) -> None:
        """Rows of a root are its own: another root with the same document neither fails nor takes them away."""
        index.replace(*records("a", "aspirin", root="one"), version=1)
        index.replace(*records("a", "aspirin", root="two"), version=1)
        assert {hit.root for hit in index.search("aspirin", None, limit=10, kind="text")} == {"one", "two"}
        index.remove(["one"], version=1)
        assert index.document("a") is not None

    def test_of_records_with_one_id_the_last_counts(self, index: IndexStore) -> None:
        """A batch that brings a document twice is written once."""
        written = index.replace(*joined(records("a", "first"), records("a", "second")), version=1)
        assert written.rows == {"documents": 1, "chunks": 1, "vectors": 1}
        assert index.search("second", None, limit=9, kind="text")[0].text == "second"

    def test_stray_records_are_refused(self, index: IndexStore) -> None:
        """A chunk without its document, or an embedding without its chunk, is a broken contract, and nothing is written."""
        documents, chunks, embeddings = records("a", "text")
        with pytest.raises(ContractError, match=r"chunk 'a#0' of root 'root:a' without document 'a'"):
            index.replace([], chunks, [], version=1)
        with pytest.raises(ContractError, match=r"embedding 'a#0' of root 'root:a' without the chunk"):
            index.replace(documents, [], embeddings, version=1)
        assert index.counts() == EMPTY

    def test_vectors_of_two_embedders_are_never_mixed(self, index: IndexStore) -> None:
        """Neither in one write nor over two; the refused write leaves nothing, and the message names both."""
        other = IDENTITY.model_copy(update={"max_tokens": 9})
        with pytest.raises(EmbedderMismatch, match=r" 9 tokens\) and .* 99 tokens|99 tokens\) and .* 9 tokens"):
            index.replace(*joined(records("a", "x"), records("b", "x", identity=other)), version=1)
        assert index.embedder() is None
        index.replace(*records("a", "x"), version=1)
        with pytest.raises(EmbedderMismatch, match="cannot stand in one index"):
            index.replace(*records("b", "x", identity=other), version=1)
        assert index.embedder() == IDENTITY
        assert index.counts()["documents"] == 1

    def test_an_index_whose_last_vectors_are_gone_takes_a_new_embedder(self, index: IndexStore) -> None:
        """Removed, or replaced altogether by the new ones: then nothing is mixed."""
        other = IDENTITY.model_copy(update={"dimension": 24})
        index.replace(*records("a", "x"), version=1)
        index.replace(*records("a", "x", identity=other), version=2)
        assert index.embedder() == other
        index.remove(["root:a"], version=9)
        assert index.embedder() is None
        index.replace(*records("b", "x"), version=1)
        assert index.embedder() == IDENTITY
        index.erase("root:b")
        assert index.embedder() is None

    def test_a_vector_must_have_the_dimension_its_maker_says(self, index: IndexStore) -> None:
        """A vector of another length is refused, in a write and in a query."""
        documents, chunks, embeddings = records("a", "x")
        short = embeddings[0].model_copy(update={"vector": np.zeros(3, np.float32)})
        with pytest.raises(EmbedderMismatch, match=r"'a#0' has shape \(3,\), its embedder says 16"):
            index.replace(documents, chunks, [short], version=1)
        index.replace(documents, chunks, embeddings, version=1)
        with pytest.raises(EmbedderMismatch, match=r"query's vector has shape \(3,\)"):
            index.search("x", np.zeros(3, np.float32), limit=1)

    def test_an_index_opens_again_and_beside_another(self, store: Store) -> None:
        """What one has written the other reads, also while both are open."""
        with closing(store.index()) as first, closing(store.index()) as second:
            first.replace(*BATCH, version=1)
            assert second.search("aspirin", vector_of("aspirin for stroke"), limit=1)[0].chunk == "pmid:1#0"
            first.replace(*records("pmid:9", "aspirin"), version=1)
            hits = second.search("", vector_of("aspirin"), limit=1, kind="vector")
            assert [hit.document for hit in hits] == ["pmid:9"]

    def test_a_nul_is_kept_as_well_as_the_store_can(self, index: IndexStore) -> None:
        """In a chunk another sign may stand in its place; the document itself comes back as it was."""
        given = records("a", "one\0two", title="A\0B")
        index.replace(*given, version=1)
        [chunk] = index.chunks("a")
        assert chunk.text in ("one\0two", "one\ufffdtwo")
        assert documents_of(index, "two") == ["a"]
        assert index.document("a") == given[0][0]

    def test_what_is_kept_of_a_root_is_counted_and_erased(self, index: IndexStore) -> None:
        """Rows, words and the root's version go, those of others stay; erasing again finds nothing."""
        one, two = records("one", "the zyxomma hums", "twice"), records("two", "the zyxomma rests")
        for given in (one, two):
            index.replace(*given, version=7)
        assert index.kept("root:one") == {"documents": 1, "chunks": 2, "vectors": 2}
        assert index.erase("root:one") == {"documents": 1, "chunks": 2, "vectors": 2}
        assert index.erase("root:one") == index.kept("root:one") == EMPTY
        assert documents_of(index, "zyxomma") == ["two"]
        # Nothing remembers it: even an older version may come again. The other's is remembered.
        assert index.replace(*one, version=1).refused == ()
        assert index.replace(*two, version=1).refused == ("root:two",)

    def test_records_that_share_identifiers_are_one_work(self, index: IndexStore) -> None:
        """Directly or by way of a third, whatever case a DOI has; a trial and the article that reports on it stay two."""
        index.replace(*WORKS, version=1)
        assert index.same_work(["openalex:W1", "nct:NCT1", "pmid:2"]) == {
            "openalex:W1": ("pmid:1", "pmcid:PMC7", "openalex:W1"),
            "nct:NCT1": ("nct:NCT1",),
            "pmid:2": ("pmid:2",),
        }
        assert index.same_work(["pmid:404"]) == {"pmid:404": ("pmid:404",)}
        assert index.same_work([]) == {}

    def test_a_work_comes_apart_with_the_record_that_joined_it(self, index: IndexStore) -> None:
        """What a removed or replaced record said of identifiers no longer counts."""
        index.replace(*WORKS, version=1)
        index.remove(["root:openalex:W1"], version=2)
        assert index.same_work(["pmid:1"]) == {"pmid:1": ("pmid:1",)}
        index.replace(*records("pmcid:PMC7", identifiers=("pmcid:PMC7", "doi:10.1/abc")), version=2)
        assert index.same_work(["pmid:1"]) == {"pmid:1": ("pmid:1", "pmcid:PMC7")}
