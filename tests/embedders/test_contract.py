from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from medical_kg.embedders.contract import Embedder


class Twos(Embedder):
    def embed_documents(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.array([[len(text), 2] for text in texts], np.float32)


def test_a_query_is_embedded_like_a_document_unless_said_otherwise() -> None:
    """``embed_query`` gives one vector, by default the document's."""
    assert Twos().embed_query("abc").tolist() == [3, 2]


def test_what_an_embedder_must_give_is_not_given_for_it() -> None:
    """There is no default for identity, limit, tokens and vectors."""
    bare = Embedder({})
    for ask in (lambda: bare.identity, lambda: bare.max_tokens, lambda: bare.token_offsets("x")):
        with pytest.raises(NotImplementedError):
            ask()
    with pytest.raises(NotImplementedError):
        bare.embed_documents(["x"])
