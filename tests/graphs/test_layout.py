"""The picture of a graph: nothing on one spot, joined things near, always the same."""

from __future__ import annotations

from math import dist

from medical_kg.graphs.layout import layout


def test_a_picture_is_always_the_same_and_begins_in_the_middle() -> None:
    """Equal graphs give equal points; the first node stands at the origin; nothing gives nothing."""
    edges = [(0, number) for number in range(1, 30)]
    assert layout(30, edges) == layout(30, edges)
    assert layout(30, edges)[0] == (0.0, 0.0)
    assert layout(0, []) == []
    assert layout(1, [(0, 0)]) == [(0.0, 0.0)]


def test_no_two_labels_lie_on_each_other() -> None:
    """Two hundred nodes keep room for their labels, or nearly so."""
    points = layout(200, [(number // 4, number) for number in range(1, 200)])
    close = [
        (a, b)
        for a in range(200)
        for b in range(a)
        if abs(points[a][0] - points[b][0]) < 90 and abs(points[a][1] - points[b][1]) < 18
    ]
    assert len(close) <= 4


def test_what_is_joined_stands_together() -> None:
    """Of two clusters, the members of one are nearer to their own hub than to the other's."""
    edges = [(0, 1), *((0, number) for number in range(2, 12)), *((1, number) for number in range(12, 22))]
    points = layout(22, edges)
    strays = [number for number in range(2, 12) if dist(points[number], points[0]) > dist(points[number], points[1])]
    strays += [number for number in range(12, 22) if dist(points[number], points[1]) > dist(points[number], points[0])]
    assert len(strays) <= 2
