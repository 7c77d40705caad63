"""A hashing embedder: deterministic and without a model, for tests and for measuring overhead. It is not semantic.

Texts that share words and spellings are near each other, texts that mean the same in other words are not. The method
is signed feature hashing (Weinberger et al., *Feature Hashing for Large Scale Multitask Learning*, ICML 2009) of words
and their character trigrams, with BLAKE2b as the hash.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from medical_kg.documents.records import EmbedderIdentity
from medical_kg.embedders.contract import Embedder, Options

if TYPE_CHECKING:
    from collections.abc import Sequence

METHOD = "blake2b-8, words 1.0, trigrams of <word> 0.5, signed, square root of counts, version 1"
"""Everything the vectors depend on besides the dimension; its digest stands for a model's."""
TOKEN = re.compile(r"\w+|[^\w\s]")
WORD = re.compile(r"\w+")
TRIGRAM_WEIGHT = 0.5


class HashingOptions(Options):
    """Options of ``hashing``."""

    dimension: int = Field(default=256, ge=8, le=4096, description="how long the vectors are")
    max_tokens: int = Field(default=8192, ge=1, description="the longest text it takes in, in words and signs")


class HashingEmbedder(Embedder):
    """Feature hashing of words and character trigrams: fast, repeatable, not semantic."""

    options_model = HashingOptions

    @property
    def identity(self) -> EmbedderIdentity:
        """Return the method's digest in place of a model's."""
        return EmbedderIdentity(
            model="feature-hashing (not semantic)",
            sha256=sha256(METHOD.encode()).hexdigest(),
            dimension=self.options.dimension,
            max_tokens=self.options.max_tokens,
            pooling="sum",
            normalized=True,
        )

    @property
    def max_tokens(self) -> int:
        """Return the longest text it takes, in words and punctuation marks."""
        return int(self.options.max_tokens)

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return one vector per text; a text without words gives zeros."""
        vectors = np.zeros((len(texts), self.options.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[:] = self._vector(text)
        return vectors

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return where its words and punctuation marks stand."""
        return [match.span() for match in TOKEN.finditer(text)]

    def _vector(self, text: str) -> np.ndarray[Any, Any]:
        vector = np.zeros(self.options.dimension)
        for word, count in sorted(Counter(self._words(text)).items()):
            places, weights = _features(word, self.options.dimension)
            np.add.at(vector, places, weights * count**0.5)
        length = np.linalg.norm(vector)
        return vector / length if length else vector

    def _words(self, text: str) -> list[str]:
        tokens = [match.group() for match, _ in zip(TOKEN.finditer(text), range(self.max_tokens), strict=False)]
        return [token.casefold() for token in tokens if WORD.match(token)]


@lru_cache(maxsize=8192)
def _features(word: str, dimension: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    padded = f"<{word}>"
    names = [f"w {word}", *(f"c {padded[at : at + 3]}" for at in range(len(padded) - 2))]
    hashes = np.array([int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) for name in names], np.uint64)
    weights = np.full(len(names), TRIGRAM_WEIGHT)
    weights[0] = 1.0
    signs = np.where(hashes & np.uint64(1), 1.0, -1.0)
    return (hashes >> np.uint64(1)) % np.uint64(dimension), weights * signs
