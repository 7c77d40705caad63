"""The order and the binding rule, against brute force."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medical_kg.orchestration.pipeline.wiring import ancestors, cycles, last_writers, order, parallel_to

Graph = dict[str, list[str]]


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> Graph:
    """Graphs whose file order is not their run order."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 7)))]
    rank = draw(st.permutations(names))
    graph: Graph = {}
    for name in names:
        allowed = rank[: rank.index(name)] if acyclic else names
        graph[name] = draw(st.lists(st.sampled_from(allowed), unique=True)) if allowed else []
    return graph


def reaches(graph: Graph, start: str) -> set[str]:
    """Every stage on a path of one or more steps, by plain recursion over paths."""
    found: set[str] = set()

    def walk(name: str) -> None:
        for dependency in graph[name]:
            if dependency not in found:
                found.add(dependency)
                walk(dependency)

    walk(start)
    return found


@given(graphs(acyclic=True))
def test_every_dependency_comes_before_its_dependent(graph: Graph) -> None:
    """The order has every stage once, each after all it depends on."""
    result = order(graph)
    assert sorted(result) == sorted(graph)
    for name, dependencies in graph.items():
        assert all(result.index(dependency) < result.index(name) for dependency in dependencies)


@given(graphs(acyclic=True))
def test_ties_are_in_the_order_of_the_file(graph: Graph) -> None:
    """At each step, the first stage of the file that is ready comes next."""
    done: list[str] = []
    while len(done) < len(graph):
        ready = [name for name in graph if name not in done and set(graph[name]) <= set(done)]
        done.append(ready[0])
    assert order(graph) == tuple(done)


@given(graphs(acyclic=False))
def test_the_order_leaves_out_just_what_is_in_or_behind_a_cycle(graph: Graph) -> None:
    """A stage has no place in the order exactly when it, or something upstream of it, is its own ancestor."""
    stuck = {name for name in graph if any(one in reaches(graph, one) for one in {name, *reaches(graph, name)})}
    assert set(order(graph)) == set(graph) - stuck


@given(graphs(acyclic=False))
def test_cycles_are_real_and_each_shown_once(graph: Graph) -> None:
    """Each cycle follows the graph, begins with its first stage of the file, and none is missed entirely."""
    found = cycles(graph)
    assert len(set(found)) == len(found)
    for cycle in found:
        assert all(before in graph[after] for before, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        assert len(set(cycle)) == len(cycle)
        assert cycle[0] == min(cycle, key=list(graph).index)
    shown = {name for cycle in found for name in cycle}
    in_knots = {name for name in graph if name in reaches(graph, name)}
    assert shown <= in_knots
    assert all(shown & ({name} | reaches(graph, name)) for name in in_knots)


@given(graphs(acyclic=True))
def test_ancestors_are_what_paths_reach(graph: Graph) -> None:
    """Ancestors are the stages on some path upstream, in the order of the plan."""
    found = ancestors(graph)
    assert tuple(found) == order(graph)
    assert {name: set(above) for name, above in found.items()} == {name: reaches(graph, name) for name in graph}


@given(graphs(acyclic=True), st.data())
def test_a_read_is_bound_to_the_last_writers(graph: Graph, data: st.DataObject) -> None:
    """A read takes the upstream writers of the key that no other upstream writer follows."""
    above = ancestors(graph)
    writers = [name for name in above if name in data.draw(st.sets(st.sampled_from(list(graph))))]
    for reader in graph:
        upstream = {writer for writer in writers if writer in reaches(graph, reader)}
        expected = {one for one in upstream if not any(one in reaches(graph, other) for other in upstream - {one})}
        bound = last_writers(reader, writers, above)
        assert set(bound) == expected
        assert list(bound) == [name for name in above if name in bound]


@given(graphs(acyclic=True))
def test_parallel_stages_have_no_path_between_them(graph: Graph) -> None:
    """Two stages are parallel when neither is upstream of the other."""
    above = ancestors(graph)
    for name in graph:
        expected = [
            other
            for other in graph
            if other != name and other not in reaches(graph, name) and name not in reaches(graph, other)
        ]
        assert parallel_to(name, list(graph), above) == expected


def test_a_long_chain_needs_no_deep_stack() -> None:
    """Thousands of stages in a row, or in a circle, are no problem."""
    names = [f"s{number}" for number in range(3000)]
    chain = {name: names[index - 1 : index] if index else [] for index, name in enumerate(names)}
    assert order(chain) == tuple(names)
    assert cycles({**chain, "s0": ["s2999"]}) == [tuple(names)]
