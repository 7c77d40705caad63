"""Where the nodes of a small graph stand in a picture: springs along edges, repulsion between all.

After Fruchterman and Reingold, "Graph drawing by force-directed placement" (1991), with a pull to the middle that keeps
loose parts near, and a last pass that moves apart what still overlaps. The same graph always gives the same picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Points = np.ndarray[Any, np.dtype[np.float64]]

STEPS = 300
DISTANCE = 110.0
"""What two joined nodes keep between them, in pixels of the unscaled picture."""
GRAVITY = 0.06
GOLDEN_ANGLE = 2.399963
ROOM = (190.0, 40.0)
"""How much room a node with its label takes at least, across and down."""


def layout(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """Return a point for each node, in pixels around the origin; the first node stands in the middle."""
    import numpy as np

    if not count:
        return []
    joined = np.array(sorted({(min(pair), max(pair)) for pair in edges if pair[0] != pair[1]}), dtype=int).reshape(
        -1, 2
    )
    points = _spiral(count)
    warmth = DISTANCE * 2
    for _ in range(STEPS):
        points += _limited(_forces(points, joined), warmth)
        warmth = max(warmth * 0.985, 1.0)
        points -= points[0]
    for _ in range(40):
        points += _apart(points)
    points -= points[0]
    return [(round(float(x), 1), round(float(y), 1)) for x, y in points]


def _spiral(count: int) -> Points:
    """A sunflower's seeds: even, without two on one spot."""
    import numpy as np

    index = np.arange(count)
    radius = DISTANCE * 0.7 * np.sqrt(index)
    return np.stack([radius * np.cos(index * GOLDEN_ANGLE), radius * np.sin(index * GOLDEN_ANGLE)], axis=1)


def _forces(points: Points, joined: np.ndarray[Any, Any]) -> Points:
    import numpy as np

    apart = points[:, None, :] - points[None, :, :]
    square = np.maximum((apart**2).sum(axis=2), 1.0)
    force: Points = (apart * (DISTANCE**2 / square)[:, :, None]).sum(axis=1) - points * GRAVITY * len(points) ** 0.5
    for first, second in ((0, 1), (1, 0)):
        away = points[joined[:, second]] - points[joined[:, first]]
        length = np.sqrt((away**2).sum(axis=1, keepdims=True))
        np.add.at(force, joined[:, first], away * length / DISTANCE)
    return force


def _limited(force: Points, most: float) -> Points:
    import numpy as np

    length = np.maximum(np.sqrt((force**2).sum(axis=1, keepdims=True)), 1e-9)
    limited: Points = force / length * np.minimum(length, most)
    return limited


def _apart(points: Points) -> Points:
    """Move nodes whose labels overlap apart, along the direction that needs less."""
    import numpy as np

    apart = points[:, None, :] - points[None, :, :]
    missing = np.array(ROOM) - np.abs(apart)
    overlap = (missing > 0).all(axis=2) & ~np.eye(len(points), dtype=bool)
    down = missing[:, :, 1] <= missing[:, :, 0]
    sign = np.where(apart >= 0, 1.0, -1.0)
    moves = np.zeros_like(apart)
    moves[:, :, 1] = np.where(overlap & down, missing[:, :, 1] * sign[:, :, 1], 0)
    moves[:, :, 0] = np.where(overlap & ~down, missing[:, :, 0] * sign[:, :, 0], 0)
    moved: Points = moves.sum(axis=1) * 0.25
    return moved
