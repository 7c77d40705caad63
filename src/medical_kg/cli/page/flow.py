"""The picture of a pipeline: stages in columns from left to right, each with its status, counts and seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from medical_kg.cli.output import number, seconds
from medical_kg.cli.page.markup import Html, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from medical_kg.orchestration.api import StageTotals

WIDTH, HEIGHT = 168, 92
"""Of a stage's box, in pixels."""
GAP, ROW = 36, 22
MARGIN = 8
SHOWN, NAME = 20, 16
"""How many characters of a line, and of the name above, fit a box."""


class Edge(NamedTuple):
    """What flows from a stage to another; no keys where the one only waits for the other."""

    source: str
    target: str
    keys: tuple[str, ...]


def columns(names: Sequence[str], edges: Iterable[Edge]) -> list[list[str]]:
    """Return the stages by how many stand before them on the longest way, each column in the order given.

    ``names`` are in topological order.
    """
    depth = dict.fromkeys(names, 0)
    given = list(edges)
    for name in names:
        depth[name] = max((depth[edge.source] + 1 for edge in given if edge.target == name), default=0)
    return [[name for name in names if depth[name] == at] for at in range(max(depth.values(), default=-1) + 1)]


def picture(names: Sequence[str], edges: Sequence[Edge], totals: Mapping[str, StageTotals]) -> Html:
    """Return the pipeline as SVG; a stage leads to its line in the table of stages."""
    found = columns(names, edges)
    tallest = max(map(len, found), default=0)
    height = max(tallest * (HEIGHT + ROW) - ROW, 0) + 2 * MARGIN
    width = max(len(found) * (WIDTH + GAP) - GAP, 0) + 2 * MARGIN
    places: dict[str, tuple[float, float]] = {}
    for at, column in enumerate(found):
        top = (height - len(column) * (HEIGHT + ROW) + ROW) / 2
        places |= {name: (MARGIN + at * (WIDTH + GAP), top + row * (HEIGHT + ROW)) for row, name in enumerate(column)}
    slowest = max((one.duration for one in totals.values()), default=0)
    lines = [_line(edge, places) for edge in edges if edge.source in places and edge.target in places]
    boxes = [_box(name, *places[name], totals.get(name), slowest) for name in names]
    svg = tag(
        "svg",
        *lines,
        *boxes,
        viewBox=f"0 0 {width} {height:g}",
        width=width,
        height=f"{height:g}",
        role="img",
        aria_label="The stages of the pipeline and what flows between them",
    )
    return tag("div", svg, class_="wide flow", tabindex=0)


def _line(edge: Edge, places: Mapping[str, tuple[float, float]]) -> Html:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2
    half = (x2 - x1) / 2
    told = f"{edge.source} → {edge.target}: {', '.join(edge.keys) or 'order only'}"
    curve = f"M{x1:g},{y1:g} C{x1 + half:g},{y1:g} {x2 - half:g},{y2:g} {x2:g},{y2:g}"
    return tag("path", tag("title", told), d=curve, class_="data" if edge.keys else "order")


def _box(name: str, x: float, y: float, total: StageTotals | None, slowest: float) -> Html:
    status = total.status if total else "not begun"
    lines = [
        tag("rect", width=WIDTH, height=HEIGHT, rx=9, class_="box"),
        tag("text", cut(name, NAME), x=12, y=22, class_="name"),
        tag("text", cut(_kind(name, total)), x=12, y=38, class_="soft"),
    ]
    if total is not None:
        made = [f"{number(figure)} {what}" for what, figure in total.counts.items() if figure]
        letters = f"{number(total.dead_letters)} dead letters" if total.dead_letters else ""
        lines += [
            tag("text", cut(", ".join(made) or "nothing"), x=12, y=57),
            tag("text", f"{seconds(total.duration)} s", x=12, y=75, class_="soft"),
            tag("text", letters, x=WIDTH - 12, y=75, class_="letters"),
        ]
        share = total.duration / slowest if slowest else 0
        lines.append(
            tag("rect", x=12, y=HEIGHT - 9, width=f"{max(1, share * (WIDTH - 24)):.1f}", height=3, class_="time")
        )
    told = ", ".join(f"{number(figure)} {what}" for what, figure in total.counts.items()) if total else ""
    lines.insert(0, tag("title", f"{name}: {status}{'; ' if told else ''}{told}"))
    group = tag("g", *lines, transform=f"translate({x:g},{y:g})", class_=f"stage {status.replace(' ', '-')}")
    return tag("a", group, href=f"#stage-{name}")


def _kind(name: str, total: StageTotals | None) -> str:
    if total is None:
        return "not begun"
    if total.stage_type == name:
        return total.status
    # That it is completed is to be seen; what else it is must be read.
    return total.stage_type if total.status == "completed" else f"{total.status}, {total.stage_type}"


def cut(words: str, size: int = SHOWN) -> str:
    """Return words that fit one line of a box."""
    return words if len(words) <= size else f"{words[: size - 1]}…"
