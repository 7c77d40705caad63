"""Figures of rankings, computed by hand, and the files they come from."""

from __future__ import annotations

import math

import pytest

from medical_kg.evaluation.retrieval import WrongFile, parse_qrels, parse_queries, score


def test_figures_by_hand() -> None:
    """Means over the queries that have a relevant document; what is not judged is not relevant."""
    judged = {"q1": {"a": 1, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"e": 1}, "none": {"f": 0}}
    ranked = {"q1": ["c", "a", "x", "y", "z", "b"], "q2": ["d"], "q3": ["x"]}
    found = score(judged, ranked)
    assert found.first == {"q1": 2, "q2": 1, "q3": None}
    assert found.recall == pytest.approx({1: 1 / 3, 5: (0.5 + 1) / 3, 10: 2 / 3})
    assert found.mrr == pytest.approx((1 / 2 + 1) / 3)
    # q1: 1/log2(3) at rank 2 and 1/log2(7) at rank 6, of 1/log2(2) + 1/log2(3) at best.
    first = (1 / math.log2(3) + 1 / math.log2(7)) / (1 + 1 / math.log2(3))
    assert found.ndcg == pytest.approx((first + 1 + 0) / 3)


def test_grades_are_gains() -> None:
    """A grade of 2 gains twice as much; a ranking by grade is ideal, and only the first ten count."""
    judged = {"q": {"a": 2, "b": 1}}
    assert score(judged, {"q": ["a", "b"]}).ndcg == pytest.approx(1)
    assert score(judged, {"q": ["b", "a"]}).ndcg == pytest.approx((1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3)))
    late = [str(number) for number in range(10)]
    assert score(judged, {"q": [*late, "a"]}).ndcg == 0
    assert score(judged, {"q": [*late, "a"]}).mrr == pytest.approx(1 / 11)


def test_nothing_judged_is_nothing_measured() -> None:
    """Without a relevant document every figure is 0, not an error."""
    found = score({"q": {"a": 0}}, {"q": ["a"]})
    assert (found.mrr, found.ndcg, found.first) == (0, 0, {})


def test_queries_are_read() -> None:
    """JSON lines as BEIR has them, or an id, a tab and a text; empty lines are nothing."""
    assert parse_queries('{"_id": "1", "text": "one two"}\n\n{"id": 2, "text": "x"}\n') == {"1": "one two", "2": "x"}
    assert parse_queries("1\tone\ttwo\n") == {"1": "one\ttwo"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 one", "line 1 is neither"),
        ("1\tx\n{", "line 2 is no JSON object with _id and text"),
        ('{"_id": "1"}', "line 1 is no JSON object with _id and text: 'text'"),
        ("1\tx\n\n1\ty", "line 3: query '1' is there twice"),
    ],
)
def test_wrong_queries_are_told_by_line(text: str, says: str) -> None:
    """What is wrong, and where."""
    with pytest.raises(WrongFile, match=says):
        parse_queries(text)


def test_judgements_are_read() -> None:
    """BEIR's form with and without its head line, and TREC's."""
    expected = {"1": {"a": 1, "b": 0}, "2": {"a": 2}}
    assert parse_qrels("query-id\tcorpus-id\tscore\n1\ta\t1\n1\tb\t0\n2\ta\t2\n") == expected
    assert parse_qrels("1 a 1\n1 b 0\n\n2 a 2\n") == expected
    assert parse_qrels("1 0 a 1\n1 0 b 0\n2 0 a 2\n") == expected


@pytest.mark.parametrize(
    ("text", "says"), [("1 a", "line 1 has 2 fields"), ("1 a 1\n1 a x", "line 2: the grade 'x' is no whole number")]
)
def test_wrong_judgements_are_told_by_line(text: str, says: str) -> None:
    """What is wrong, and where; only the first line may be a head line."""
    with pytest.raises(WrongFile, match=says):
        parse_qrels(text)
