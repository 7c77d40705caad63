"""The graph of a pipeline, pure: order, cycles, who is upstream of whom, and where a read comes from.

A graph maps each stage to the stages it depends on, in the order of the file; every dependency is itself a key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from heapq import heapify, heappop, heappush

Graph = Mapping[str, Sequence[str]]
Ancestors = Mapping[str, frozenset[str]]


def order(graph: Graph) -> tuple[str, ...]:
    """Return the stages with every dependency before its dependent, ties in the order of the graph.

    At each step the first stage of the file whose dependencies are done comes next (Kahn 1962, with a heap). Stages in
    a cycle, or behind one, are left out.
    """
    position = {name: index for index, name in enumerate(graph)}
    names = list(graph)
    dependents: dict[str, list[str]] = {name: [] for name in graph}
    missing = {name: len(set(dependencies)) for name, dependencies in graph.items()}
    for name, dependencies in graph.items():
        for dependency in set(dependencies):
            dependents[dependency].append(name)
    ready = [position[name] for name, count in missing.items() if count == 0]
    heapify(ready)
    done: list[str] = []
    while ready:
        name = names[heappop(ready)]
        done.append(name)
        for dependent in dependents[name]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                heappush(ready, position[dependent])
    return tuple(done)


def cycles(graph: Graph) -> list[tuple[str, ...]]:
    """Return cycles, each once, as stages in the order they would run, from the first of the file.

    One cycle for each edge that closes one in a depth-first walk: every cyclic knot is shown at least once, and no
    graph gives more cycles than it has edges (all elementary cycles can be exponentially many).
    """
    found: dict[frozenset[tuple[str, str]], tuple[str, ...]] = {}
    position = {name: index for index, name in enumerate(graph)}
    finished: set[str] = set()
    for start in graph:
        trail: list[str] = []
        on_trail: set[str] = set()
        pending = [(start, False)]
        while pending:
            name, leaving = pending.pop()
            if leaving:
                on_trail.remove(trail.pop())
                finished.add(name)
            elif name in on_trail:
                cycle = _from_first(trail[trail.index(name) :], position)
                found[frozenset(zip(cycle, (*cycle[1:], cycle[0]), strict=True))] = cycle
            elif name not in finished:
                trail.append(name)
                on_trail.add(name)
                pending.append((name, True))
                pending.extend((dependency, False) for dependency in reversed(graph[name]))
    return list(found.values())


def _from_first(against_flow: list[str], position: Mapping[str, int]) -> tuple[str, ...]:
    flow = against_flow[::-1]
    first = min(range(len(flow)), key=lambda index: position[flow[index]])
    return (*flow[first:], *flow[:first])


def ancestors(graph: Graph) -> dict[str, frozenset[str]]:
    """Return, for each stage that ``order`` gives, every stage upstream of it; in that order."""
    found: dict[str, frozenset[str]] = {}
    for name in order(graph):
        direct = graph[name]
        found[name] = frozenset(direct).union(*(found[dependency] for dependency in direct))
    return found


def last_writers(reader: str, writers: Sequence[str], above: Ancestors) -> tuple[str, ...]:
    """Return the writers a read is bound to: those upstream of the reader that no other upstream writer follows.

    ``writers`` are the stages that write the key; their order is kept.
    """
    upstream = [writer for writer in writers if writer in above[reader]]
    overwritten = frozenset[str]().union(*(above[writer] for writer in upstream))
    return tuple(writer for writer in upstream if writer not in overwritten)


def parallel_to(writer: str, others: Collection[str], above: Ancestors) -> list[str]:
    """Return those of the other stages that are neither upstream nor downstream of this one."""
    return [other for other in others if other not in above[writer] and writer not in above[other] and other != writer]
