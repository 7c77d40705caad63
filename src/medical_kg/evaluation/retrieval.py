"""Search results against judged queries: recall, reciprocal rank and nDCG of ranked documents. Pure.

Figures are means over the queries that have a relevant document, as ``trec_eval`` takes them. nDCG is that of Järvelin and
Kekäläinen (*Cumulated Gain-Based Evaluation of IR Techniques*, TOIS 2002) with the judgement itself as gain and a
discount of log2(rank + 1); the ideal ranking is of all judged documents.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple

from medical_kg import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CUTS = (1, 5, 10)
"""Recall is told at these ranks."""
NDCG_AT = 10
QUERY_FIELDS = 2
BEIR_FIELDS = 3
TREC_FIELDS = 4


class WrongFile(InputError):
    """A file of queries or judgements cannot be read; the message says which line and why."""


class Figures(NamedTuple):
    """How good one way of searching is: recall by rank, mean reciprocal rank, nDCG at 10, and each query's first rank.

    ``first`` holds, by query, the rank of the first relevant document (from 1), or None where none was found.
    """

    recall: Mapping[int, float]
    mrr: float
    ndcg: float
    first: Mapping[str, int | None]


def parse_queries(text: str) -> dict[str, str]:
    """Return the text of queries by id: JSON lines with ``_id`` (or ``id``) and ``text``, or ``id<TAB>text``.

    Raises:
        WrongFile: a line is neither, or an id stands twice.
    """
    queries: dict[str, str] = {}
    for number, line in _lines(text):
        ident, query = _query(line, number)
        if ident in queries:
            raise WrongFile(f"line {number}: query {ident!r} is there twice")
        queries[ident] = query
    return queries


def _query(line: str, number: int) -> tuple[str, str]:
    if not line.startswith("{"):
        parts = line.split("\t", 1)
        if len(parts) != QUERY_FIELDS:
            raise WrongFile(f"line {number} is neither a JSON object nor an id, a tab and a text")
        return parts[0].strip(), parts[1].strip()
    try:
        found = json.loads(line)
        return str(found["_id"] if "_id" in found else found["id"]), str(found["text"])
    except (ValueError, KeyError) as error:
        raise WrongFile(f"line {number} is no JSON object with _id and text: {error}") from None


def parse_qrels(text: str) -> dict[str, dict[str, int]]:
    """Return grades by query and document; a grade above 0 says relevant.

    Lines are ``query document grade`` (BEIR, with or without a head line) or TREC's ``query 0 document grade``, with tabs
    or spaces between.

    Raises:
        WrongFile: a line is neither.
    """
    judged: dict[str, dict[str, int]] = {}
    for number, line in _lines(text):
        fields = line.split()
        if len(fields) not in {BEIR_FIELDS, TREC_FIELDS}:
            raise WrongFile(f"line {number} has {len(fields)} fields; expected: query document grade")
        try:
            grade = int(fields[-1])
        except ValueError:
            if number == 1:
                continue  # the head line
            raise WrongFile(f"line {number}: the grade {fields[-1]!r} is no whole number") from None
        judged.setdefault(fields[0], {})[fields[-2]] = grade
    return judged


def _lines(text: str) -> Iterable[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())


def score(judged: Mapping[str, Mapping[str, int]], ranked: Mapping[str, Sequence[str]]) -> Figures:
    """Measure rankings (document ids, best first, by query) against judgements; queries without a relevant one are left out."""
    asked = {query: _relevant(grades) for query, grades in judged.items() if _relevant(grades)}
    found = {query: list(ranked.get(query, ())) for query in asked}
    first = {
        query: next((rank for rank, one in enumerate(found[query], 1) if one in relevant), None)
        for query, relevant in asked.items()
    }
    recall = {
        cut: _mean(len(relevant.keys() & set(found[query][:cut])) / len(relevant) for query, relevant in asked.items())
        for cut in CUTS
    }
    mrr = _mean(1 / rank if rank else 0.0 for rank in first.values())
    ndcg = _mean(_ndcg(relevant, found[query]) for query, relevant in asked.items())
    return Figures(recall, mrr, ndcg, first)


def _relevant(grades: Mapping[str, int]) -> dict[str, int]:
    return {document: grade for document, grade in grades.items() if grade > 0}


def _ndcg(relevant: Mapping[str, int], found: Sequence[str]) -> float:
    gained = _gain(relevant.get(one, 0) for one in found[:NDCG_AT])
    return gained / _gain(sorted(relevant.values(), reverse=True)[:NDCG_AT])


def _gain(grades: Iterable[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _mean(values: Iterable[float]) -> float:
    given = list(values)
    return sum(given) / len(given) if given else 0.0
