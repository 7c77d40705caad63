"""Which records of several sources are one work: those that share an identifier of the publication or trial. All pure.

A work is known by its DOI, its PubMed number and its PubMed Central number; a trial by its NCT number alone. So an
article that reports on a trial stays a node of its own, whatever identifiers its record gives.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from medical_kg.stores.graph_rows import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TRIAL = "trial"
TRIALS = ("nct",)
PUBLICATIONS = ("pmid", "pmcid", "doi")
"""The schemes of identifiers of publications; of the records of one work, the first that has one names the node."""


def work_identifiers(kind: str, identifiers: Iterable[str]) -> frozenset[str]:
    """Return those of a record's identifiers that name a work of its kind, in the form in which they are compared."""
    schemes = TRIALS if kind == TRIAL else PUBLICATIONS
    return frozenset(form for form in map(folded, identifiers) if _scheme(form) in schemes)


def works(carried: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Group records, each with its work identifiers, into works; each group begins with the one that names it.

    Records are one work when they share an identifier. An identifier whose bearers contradict each other in another
    scheme (two PubMed numbers under one DOI) is a mistake in the data and joins nothing.
    """
    leader = {node: node for node in carried}
    for nodes in _bearers(carried).values():
        if _agree([carried[node] for node in nodes]):
            for other in nodes[1:]:
                leader[_find(leader, other)] = _find(leader, nodes[0])
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for node in sorted(carried, key=_rank):
        groups[_find(leader, node)].append(node)
    return list(groups.values())


def _scheme(identifier: str) -> str:
    return identifier.partition(":")[0]


def _rank(node: str) -> tuple[int, str]:
    scheme = _scheme(node)
    return (PUBLICATIONS.index(scheme) if scheme in PUBLICATIONS else len(PUBLICATIONS), node)


def _bearers(carried: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    bearers: defaultdict[str, list[str]] = defaultdict(list)
    for node, identifiers in carried.items():
        for identifier in identifiers:
            bearers[identifier].append(node)
    return {identifier: nodes for identifier, nodes in bearers.items() if len(nodes) > 1}


def _agree(carried: list[frozenset[str]]) -> bool:
    """Whether in each scheme all that have an identifier of it have one in common."""
    for scheme in (*PUBLICATIONS, *TRIALS):
        given = [found for one in carried if (found := {name for name in one if _scheme(name) == scheme})]
        if given and not set.intersection(*given):
            return False
    return True


def _find(leader: dict[str, str], node: str) -> str:
    while leader[node] != node:
        leader[node] = leader[leader[node]]
        node = leader[node]
    return node
