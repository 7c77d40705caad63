"""What a sentence says of two concepts in it, by the words that stand between and before them.

Few patterns, each of which says one thing plainly; a pair that none fits gives nothing.
"""

from __future__ import annotations

import re
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from medical_kg.extraction.forms import CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from medical_kg.extraction.mentions import Found

Predicate = Literal["causes", "treats"]

AGENTS = frozenset({"chemical", "intervention", "drug"})
FILLER = r"(?:(?!(?:and|or|but|not|no|than|in|of|with|by|to)\b)[\w'-]+,?\s+){0,3}"
"""A few words that may stand before a name: adjectives, not what would open another phrase."""
AGENT_FIRST: tuple[tuple[re.Pattern[str], Predicate], ...] = (
    (re.compile(rf"[-\s]*induced\s+{FILLER}\Z", re.IGNORECASE), "causes"),
    (re.compile(rf"\s+(?:can\s+|may\s+|might\s+)?(?:causes?|caused|induces?|produces?|produced)\s+{FILLER}\Z", re.IGNORECASE), "causes"),
    (
        re.compile(rf"\s+(?:(?:is|was|were|are)\s+)?(?:effective\s+|used\s+)?(?:for|in)\s+(?:the\s+)?{FILLER}"
                   rf"(?:treatment|management|therapy|control)\s+of\s+{FILLER}\Z", re.IGNORECASE),
        "treats",
    ),
)  # fmt: skip
CONDITION_FIRST: tuple[tuple[re.Pattern[str], Predicate], ...] = (
    (
        re.compile(rf"\s+(?:(?:was|were|is|are)\s+)?(?:caused|induced|produced)\s+by\s+{FILLER}\Z", re.IGNORECASE),
        "causes",
    ),
    (re.compile(rf"\s+(?:secondary|due)\s+to\s+{FILLER}\Z", re.IGNORECASE), "causes"),
    (re.compile(rf"\s+(?:was|were|is|are|patients)?\s*treated\s+with\s+{FILLER}\Z", re.IGNORECASE), "treats"),
)
TREATMENT = re.compile(r"\b(?:treatment|therapy|management)\s+of\s+(?:[\w'-]+\s+){0,2}\Z", re.IGNORECASE)
WITH = re.compile(rf"\s+(?:(?:was|is)\s+)?(?:with|by)\s+{FILLER}\Z", re.IGNORECASE)
FARTHEST = 80
"""How many characters may stand between two concepts, and before the first where words before it count."""


class Relation(NamedTuple):
    """``agent`` causes or treats ``condition``."""

    agent: Found
    predicate: Predicate
    condition: Found


def relations(text: str, sentence: tuple[int, int], found: Sequence[Found]) -> Iterator[Relation]:
    """Yield what is said of neighbouring concepts of a sentence; ``found`` are its concepts in order.

    What is said at a place is said of all concepts that are named there together.
    """
    places = [list(together) for _, together in groupby(found, key=lambda one: (one.start, one.end))]
    for before, after in pairwise(places):
        for relation in _related(text, sentence, before[0], after[0]):
            agents, conditions = (before, after) if relation.agent == before[0] else (after, before)
            yield from (Relation(agent, relation.predicate, one) for agent in agents for one in conditions)


def _related(text: str, sentence: tuple[int, int], first: Found, second: Found) -> Iterator[Relation]:
    if second.start - first.end > FARTHEST:
        return
    between = text[first.end : second.start]
    if first.concept.kind in AGENTS and second.concept.kind in CONDITIONS:
        if predicate := _first_that_fits(AGENT_FIRST, between):
            yield Relation(first, predicate, second)
    elif first.concept.kind in CONDITIONS and second.concept.kind in AGENTS:
        treated = WITH.match(between) and TREATMENT.search(text, max(sentence[0], first.start - FARTHEST), first.start)
        if predicate := "treats" if treated else _first_that_fits(CONDITION_FIRST, between):
            yield Relation(second, predicate, first)


def _first_that_fits(patterns: Sequence[tuple[re.Pattern[str], Predicate]], between: str) -> Predicate | None:
    return next((predicate for pattern, predicate in patterns if pattern.match(between)), None)
