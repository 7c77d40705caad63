"""The rules that every embedder must keep, as a class to subclass with one fixture; needs pytest.

::

    class TestMyEmbedder(EmbedderConformance):
        @pytest.fixture
        def case(self) -> EmbedderCase:
            return EmbedderCase(MyEmbedder, {"model": "m"}, others=[{"model": "n"}], wrong=[{"model": 1}])

Each rule is a test; one that does not apply is skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from medical_kg.documents.records import EmbedderIdentity
from medical_kg.embedders.contract import Embedder
from medical_kg.orchestration.contract.errors import MedicalKGError, UsageError

if TYPE_CHECKING:
    from medical_kg.orchestration.contract import Http

    Array = np.ndarray[Any, Any]

PLAIN = "Metformin lowered HbA1c by 1.2% (95% CI 0.9-1.5) in 211 patients; p<0.001."
TEXTS = ("heart failure", PLAIN, "a", "", "Ménière's disease and IL-6")
ODD = (
    " \n\t",
    "\u200b\ufeff",
    "e\u0301 \ufb01n \u212b",  # a combining accent, a ligature, a compatibility sign
    "\U0001f9ec\U0001f468\u200d\u2695\ufe0f",
    "\u0627\u0644\u0633\u0643\u0631\u064a \u7cd6\u5c3f\u75c5",
    "\x00\x07",
    "x" * 3000,
    "\ud55c\uad6d\uc5b4 " * 400,
)
"""Texts that documents hold at times: only spaces, marks without width, letters that are composed, no spaces at all."""
TOLERANCE = 1e-4


@dataclass(frozen=True)
class EmbedderCase:
    """An embedder and what it is tried with; small limits keep it quick.

    Attributes:
        type: the embedder's class.
        options: options with which it can be used.
        others: options in their place under which vectors differ.
        same: options in their place that change no vector.
        wrong: options in their place that it must refuse when it is made.
        unusable: options in their place that it takes, and with which nothing can be embedded.
        http: the service, for an embedder that needs it.
        own_queries: set where a query's vector is not that of a document with its words.
        cuts: unset where somebody else cuts a text that is too long.
    """

    type: type[Embedder]
    options: Mapping[str, Any] = field(default_factory=dict)
    others: Sequence[Mapping[str, Any]] = ()
    same: Sequence[Mapping[str, Any]] = ()
    wrong: Sequence[Mapping[str, Any]] = ()
    unusable: Sequence[Mapping[str, Any]] = ()
    http: Http | None = None
    own_queries: bool = False
    cuts: bool = True

    def made(self, options: Mapping[str, Any] | None = None) -> Embedder:
        """Return the embedder as stages make it."""
        embedder = self.type({**self.options, **(options or {})})
        if self.http is not None:
            embedder.connect(self.http)
        return embedder


class EmbedderConformance:
    """The conformance suite: subclass it, and give the fixture ``case``."""

    @pytest.fixture
    def case(self) -> EmbedderCase:
        """Return the embedder and what it is tried with; each subclass gives its own."""
        pytest.fail(f"{type(self).__name__} needs a fixture named case that returns an EmbedderCase", pytrace=False)

    def test_unknown_and_wrong_options_are_refused(self, case: EmbedderCase) -> None:
        """When it is made, by ``UsageError``; an unknown option is named, since a slip must not pass for a default."""
        with pytest.raises(UsageError, match="no_such_option"):
            case.made({"no_such_option": 1})
        for options in case.wrong:
            with pytest.raises(UsageError):
                case.made(options)

    def test_its_identity_is_complete_and_stable(self, case: EmbedderCase) -> None:
        """It names a model, its digest and its sizes, is the same for equal options, and survives storage."""
        identity = case.made().identity
        assert identity.model.strip() == identity.model != ""
        assert len(identity.sha256) == 64  # noqa: PLR2004  # hexadecimal digits of 256 bits
        assert int(identity.sha256, 16) >= 0
        assert identity.dimension > 0
        assert identity.pooling
        assert identity == case.made().identity
        assert EmbedderIdentity.model_validate_json(identity.model_dump_json()) == identity

    def test_the_identity_changes_with_the_vectors_alone(self, case: EmbedderCase) -> None:
        """Vectors of one identity are compared with each other, and an index of another is refused."""
        if not case.others and not case.same:
            pytest.skip("no other options were given")
        first = case.made()
        for options in case.others:
            assert case.made(options).identity != first.identity, options
        for options in case.same:
            other = case.made(options)
            assert other.identity == first.identity, options
            assert np.array_equal(other.embed_documents(TEXTS[:2]), first.embed_documents(TEXTS[:2])), options

    def test_vectors_are_as_the_identity_says(self, case: EmbedderCase) -> None:
        """Rows of float32 of its dimension, finite, of length 1 if it says so; no texts give no rows."""
        embedder = case.made()
        _check(embedder, embedder.embed_documents(TEXTS), len(TEXTS))
        _check(embedder, embedder.embed_documents([]), 0)

    def test_a_vector_depends_on_its_text_alone(self, case: EmbedderCase) -> None:
        """Bit by bit the same from another instance, in any company and order, and again."""
        embedder = case.made()
        together = embedder.embed_documents(TEXTS)
        assert np.array_equal(together, case.made().embed_documents(TEXTS))
        assert np.array_equal(together[::-1], embedder.embed_documents(TEXTS[::-1]))
        alone = np.stack([embedder.embed_documents([text])[0] for text in TEXTS])
        assert np.array_equal(together, alone)
        assert not np.array_equal(together[0], together[1])

    def test_calls_at_the_same_time_do_not_mix(self, case: EmbedderCase) -> None:
        """Calls may run in threads."""
        embedder = case.made()
        expected = [embedder.embed_documents([text]) for text in TEXTS[:4]]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda text: embedder.embed_documents([text]), TEXTS[:4]))
        assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))

    def test_odd_texts_have_vectors_too(self, case: EmbedderCase) -> None:
        """Whatever a document holds: a text that cannot be embedded would be lost to the search."""
        embedder = case.made()
        _check(embedder, embedder.embed_documents(ODD), len(ODD))

    def test_a_query_has_a_vector_like_the_others(self, case: EmbedderCase) -> None:
        """One row of them; that of a document with the same words, unless the model takes queries in another way."""
        embedder = case.made()
        query, document = embedder.embed_query(TEXTS[0]), embedder.embed_documents([TEXTS[0]])[0]
        _check(embedder, query[np.newaxis], 1)
        assert np.array_equal(query, embedder.embed_query(TEXTS[0]))
        assert np.array_equal(query, document) != case.own_queries

    def test_tokens_stand_in_the_text_in_order(self, case: EmbedderCase) -> None:
        """Each has at least a character, none begins or ends before the one before it; the same each time."""
        embedder = case.made()
        for text in (*TEXTS, *ODD):
            offsets = embedder.token_offsets(text)
            assert offsets == embedder.token_offsets(text)
            assert all(0 <= start < end <= len(text) for start, end in offsets)
            assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)
            assert [end for _, end in offsets] == sorted(end for _, end in offsets)
        assert embedder.token_offsets("") == []

    def test_tokens_leave_no_word_out_and_join_none(self, case: EmbedderCase) -> None:
        """Chunks are cut between tokens: a letter outside would cost nothing, a token over two words could not be cut."""
        offsets = case.made().token_offsets(PLAIN)
        inside = {at for start, end in offsets for at in range(start, end)}
        assert [letter for at, letter in enumerate(PLAIN) if letter.isalnum() and at not in inside] == []
        assert [PLAIN[start:end] for start, end in offsets if " " in PLAIN[start:end].strip()] == []

    def test_what_it_takes_in_is_told(self, case: EmbedderCase) -> None:
        """A text of ``max_tokens`` tokens is taken in to the last of them; what comes after is cut off."""
        embedder = case.made()
        most = embedder.max_tokens
        assert 0 < most <= embedder.identity.max_tokens
        if not case.cuts:
            pytest.skip("somebody else cuts a text that is too long")
        words = " ".join(f"{letter}{letter}" for letter in "bcdfghjklmnpqrstvwxz") + " "
        text = words * (most // len(embedder.token_offsets(words)) + 2)
        ends = [end for _, end in embedder.token_offsets(text)]
        short, full, more = embedder.embed_documents([text[: ends[most - 2]], text[: ends[most - 1]], text])
        assert np.array_equal(full, more)
        assert not np.array_equal(short, full)

    def test_what_cannot_be_used_says_why(self, case: EmbedderCase) -> None:
        """By an error of ours, on one line, when something is embedded: no other tells a user what to do."""
        if not case.unusable:
            pytest.skip("no options were given with which nothing can be embedded")
        for options in case.unusable:
            embedder = case.made(options)
            with pytest.raises(MedicalKGError) as caught:
                embedder.embed_documents(["x"])
            assert str(caught.value).strip()
            assert "\n" not in str(caught.value)


def _check(embedder: Embedder, vectors: Array, count: int) -> None:
    """Check the form of vectors; a text without anything to embed may have zeros."""
    identity = embedder.identity
    assert vectors.dtype == np.float32
    assert vectors.shape == (count, identity.dimension)
    assert np.isfinite(vectors).all()
    lengths = np.linalg.norm(vectors, axis=1)
    assert not identity.normalized or (np.isclose(lengths, 1, atol=TOLERANCE) | (lengths == 0)).all()
