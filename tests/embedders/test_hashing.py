from __future__ import annotations

import pytest

from medical_kg.embedders.conformance import EmbedderCase, EmbedderConformance
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.orchestration.contract.errors import UsageError


class TestConformance(EmbedderConformance):
    @pytest.fixture
    def case(self) -> EmbedderCase:
        others = [{"dimension": 64}, {"max_tokens": 16}]
        return EmbedderCase(HashingEmbedder, {"max_tokens": 32}, others=others, wrong=[{"dimension": 1}])


def test_shared_words_and_spellings_are_near() -> None:
    """Texts that share words, or parts of words, are nearer than those that share nothing."""
    base, same, spelt, other = HashingEmbedder().embed_documents(
        ["diabetic patients", "Diabetic PATIENTS", "diabetes in a patient", "surgical outcomes"]
    )
    assert base @ same == pytest.approx(1)
    assert base @ spelt > base @ other + 0.2


def test_vectors_are_the_same_on_every_machine() -> None:
    """The first places of a known text's vector are pinned: neither process nor platform may change them."""
    vector = HashingEmbedder({"dimension": 8}).embed_query("aspirin for stroke")
    assert vector.round(3).tolist() == [
        -0.1889999955892563,
        0.1889999955892563,
        -0.5669999718666077,
        -0.5669999718666077,
        0.0,
        -0.3779999911785126,
        0.3779999911785126,
        0.0,
    ]


def test_text_without_words_gives_zeros() -> None:
    """There is nothing to hash in an empty text."""
    assert not HashingEmbedder().embed_documents(["", "... !"]).any()


def test_token_offsets_are_words_and_marks() -> None:
    """Every word and every mark is a token."""
    assert HashingEmbedder().token_offsets("É 3.5!") == [(0, 1), (2, 3), (3, 4), (4, 5), (5, 6)]


def test_identity_says_it_is_not_semantic() -> None:
    """Nobody may take it for a model."""
    assert "not semantic" in HashingEmbedder().identity.model


def test_wrong_options_are_named() -> None:
    """All wrong options are told at once, with the embedder's name."""
    with pytest.raises(UsageError, match=r"HashingEmbedder: dimension: .*; colour: Extra inputs"):
        HashingEmbedder({"dimension": 1, "colour": "red"})
