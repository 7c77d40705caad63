from __future__ import annotations

import numpy as np
import pytest

from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.orchestration.contract.errors import UsageError


def test_vectors_have_length_one_and_do_not_depend_on_neighbours() -> None:
    """A text's vector is the same alone and in company, float32, of length 1."""
    texts = ["Metformin lowers glucose.", "Aspirin", "metformin"]
    together = HashingEmbedder().embed_documents(texts)
    alone = np.stack([HashingEmbedder().embed_query(text) for text in texts])
    assert together.dtype == np.float32
    assert together.shape == (3, 256)
    assert np.array_equal(together, alone)
    assert np.allclose(np.linalg.norm(together, axis=1), 1)


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
    assert HashingEmbedder().embed_documents([]).shape == (0, 256)


def test_tokens_after_the_limit_do_not_count() -> None:
    """What comes after max_tokens is cut off."""
    embedder = HashingEmbedder({"max_tokens": 2})
    assert np.array_equal(embedder.embed_query("a b c"), embedder.embed_query("a b"))
    assert embedder.max_tokens == 2


def test_token_offsets_are_words_and_marks() -> None:
    """Every word and every mark is a token."""
    assert HashingEmbedder().token_offsets("É 3.5!") == [(0, 1), (2, 3), (3, 4), (4, 5), (5, 6)]


def test_identity_says_it_is_not_semantic() -> None:
    """Nobody may take it for a model; options that change the vectors change the identity."""
    identity = HashingEmbedder().identity
    assert "not semantic" in identity.model
    assert identity.dimension == 256
    assert HashingEmbedder({"dimension": 64}).identity != identity
    assert HashingEmbedder().identity == identity


def test_wrong_options_are_named() -> None:
    """All wrong options are told at once, with the embedder's name."""
    with pytest.raises(UsageError, match=r"HashingEmbedder: dimension: .*; colour: Extra inputs"):
        HashingEmbedder({"dimension": 1, "colour": "red"})
