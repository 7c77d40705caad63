"""One ranking from several: by words, and by vectors.

A convex combination of scores, each divided by the best of its list above the lowest possible one: TM2C2 of Bruch, Gai and
Ingber, *An Analysis of Fusion Functions for Hybrid Retrieval* (ACM TOIS 42, 2023), who find it better than reciprocal ranks,
within a collection and on new ones, with a weight of .8 or more for what understands the question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POOL = 100
"""How many results of each list are fused, at least."""
WEIGHTS = {"text": 0.1, "vector": 0.9}
"""Of a list. On the 500 questions of PubMedQA both together lead with every weight of vectors from .8 to .95."""
LOWEST = {"text": 0.0, "vector": -1.0}
"""The lowest score of a list: BM25 of a text without a word of the query, the cosine of opposite vectors."""


class Scored(NamedTuple):
    """A result: its key and its score, the higher the better."""

    key: int
    score: float


class Fused(NamedTuple):
    """A result of all lists: its score (1: the best of every list) and its rank in each that has it (from 1)."""

    key: int
    score: float
    ranks: dict[str, int]


def fuse(lists: Mapping[str, Sequence[Scored]], size: int = POOL) -> list[Fused]:
    """Return everything in the lists, best first, equal ones by key.

    A list (best first) of ``size`` results goes on unseen, so what is not in it scores as its last at most; of a shorter one
    nothing was left out, so that scores nothing.
    """
    whole = sum(WEIGHTS[name] for name in lists)
    ranks: dict[int, dict[str, int]] = {}
    scores: dict[int, float] = {}
    for name, found in lists.items():
        for rank, (key, _) in enumerate(found, 1):
            ranks.setdefault(key, {})[name] = rank
    for name, found in lists.items():
        shares = _shares(name, found)
        unseen = min(shares.values(), default=0.0) if len(found) >= size else 0.0
        for key in ranks:
            scores[key] = scores.get(key, 0.0) + WEIGHTS[name] / whole * shares.get(key, unseen)
    fused = [Fused(key, scores[key], found) for key, found in ranks.items()]
    return sorted(fused, key=lambda one: (-one.score, one.key))


def _shares(name: str, found: Sequence[Scored]) -> dict[int, float]:
    """Return how near each result is to the best one, from 0 to 1."""
    if not found:
        return {}
    lowest = LOWEST[name]
    reach = found[0].score - lowest
    return {key: (score - lowest) / reach if reach > 0 else 0.0 for key, score in found}
