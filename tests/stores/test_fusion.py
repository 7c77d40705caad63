"""Results by words and by vectors in one ranking."""

from __future__ import annotations

import pytest

from medical_kg.stores.fusion import WEIGHTS, Fused, Scored, fuse

TEXT, VECTOR = WEIGHTS["text"], WEIGHTS["vector"]


def test_scores_are_shares_of_the_best_by_weight() -> None:
    """A score is the weighted sum of its share of each list's best, above the lowest there can be; ranks come with it."""
    fused = fuse({"text": [Scored(7, 8.0), Scored(8, 4.0)], "vector": [Scored(8, 0.6), Scored(9, 0.2)]})
    assert [(one.key, one.ranks) for one in fused] == [
        (8, {"text": 2, "vector": 1}),
        (9, {"vector": 2}),
        (7, {"text": 1}),
    ]
    assert [one.score for one in fused] == pytest.approx([TEXT / 2 + VECTOR, VECTOR * 1.2 / 1.6, TEXT])


def test_the_best_of_every_list_scores_one() -> None:
    """Whatever the lists are, the highest score is 1; equal ones go by key."""
    assert fuse({"text": [Scored(3, 2.5)], "vector": [Scored(3, -0.1)]}) == [Fused(3, 1.0, {"text": 1, "vector": 1})]
    assert [(one.key, one.score) for one in fuse({"text": [Scored(5, 2.0), Scored(4, 2.0)]})] == [(4, 1.0), (5, 1.0)]
    assert fuse({"text": []}) == fuse({}) == []


def test_what_a_cut_list_does_not_show_counts_as_its_last() -> None:
    """A list that goes on unseen says at most its last score of what it lacks; one that ends says nothing."""
    lists = {"text": [Scored(1, 4.0)], "vector": [Scored(2, 1.0), Scored(3, 0.0)]}
    assert {one.key: one.score for one in fuse(lists, size=3)} == pytest.approx({1: TEXT, 2: VECTOR, 3: VECTOR / 2})
    cut = {one.key: one.score for one in fuse(lists, size=2)}
    assert cut == pytest.approx({1: TEXT + VECTOR / 2, 2: VECTOR, 3: VECTOR / 2})


def test_scores_of_nothing_are_nothing() -> None:
    """Words that tell nothing, and vectors that all point away, give scores of 0."""
    assert [one.score for one in fuse({"text": [Scored(1, 0.0)]})] == [0.0]
    assert [one.score for one in fuse({"vector": [Scored(1, -1.0)]})] == [0.0]
