"""The lines of a PDF's pages as headings, paragraphs, captions and tables, in reading order.

A PDF says where characters stand and in which font, nothing of what they are. So: columns that the file draws line by line
across the page are taken apart; rows of several cells below each other are a table; lines at the usual distance, in one look,
are a paragraph; and a short one in a font of its own, with text of the body below it, is a heading.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Literal, NamedTuple

from medical_kg.formats.pdfcolumns import in_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from medical_kg.formats.pdfpage import Line

WIDER = 1.35
"""Lines further apart than so many times the usual distance belong to different paragraphs."""
LOOSEST = 3.0
"""The usual distance is at most so many times a line's height, where a page has too few lines to tell."""
LEADING = 1.2
"""What lines of a heading are apart, in heights of a line."""
INDENT = 0.5
"""How far a paragraph's first line is set in at least, in heights of a line."""
END_OF_SENTENCE = re.compile(r"[.!?:;][\"'\u201d\u2019\u00bb)\]]*(?:\s*\[?[\d,\u2013-]+\]?)?$")
CAPTION = re.compile(r"(?:Fig(?:ure|\.)?|Table|Scheme|Box|Chart|Algorithm)\s*S?\d+\b", re.IGNORECASE)
FEWEST_ROWS = 3
"""So many lines of several cells below each other are a table."""
TITLE = 1.3
"""A title is so many times as large as the text, at least."""
UNEVEN = 0.15
"""By such a share the lines of one title may differ in height: those of other fonts do."""
SIZE_STEP = 1.0
"""Sizes are told apart in steps of so many points."""

Kind = Literal["heading", "paragraph", "caption", "table"]


class Look(NamedTuple):
    """How a line is set: its font ("" where it changes in the line) and its height."""

    font: str
    size: float


class Part(NamedTuple):
    """A part of a page; ``look`` is that of all its lines (its font "" where they differ), None where they differ in size."""

    kind: Kind
    text: str
    look: Look | None


def look_of(line: Line) -> Look:
    """Return how a line is set."""
    return Look(line.font, round(line.height / SIZE_STEP) * SIZE_STEP)


def body_look(pages: Sequence[Sequence[Line]]) -> Look:
    """Return how most of the text is set."""
    seen: Counter[Look] = Counter()
    for line in (line for page in pages for line in page if line.font):
        seen[look_of(line)] += len(line.text)
    return seen.most_common(1)[0][0] if seen else Look("", 0.0)


def parts(lines: Sequence[Line], body: Look) -> list[Part]:
    """Return the parts of a page in reading order; whether one that looks like a heading is one is not settled yet."""
    found: list[Part] = []
    for rows, stretch in _stretches(in_columns(lines)):
        if rows:
            table = "\n".join(" | ".join(piece.text for piece in line.pieces) for line in stretch)
            found.append(Part("table", table, None))
        else:
            found += [_part(group, body) for group in paragraphs(stretch, body)]
    return found


def _stretches(lines: Sequence[Line]) -> Iterator[tuple[bool, Sequence[Line]]]:
    """Give stretches of lines, each with whether they are the rows of a table."""
    begin = 0
    for first, end in _tables(lines):
        if begin < first:
            yield False, lines[begin:first]
        yield True, lines[first:end]
        begin = end
    if begin < len(lines):
        yield False, lines[begin:]


def _tables(lines: Sequence[Line]) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(lines):
        end = first
        while (
            end < len(lines) and len(lines[end].pieces) > 1 and (end == first or lines[end].base < lines[end - 1].base)
        ):
            end += 1
        if end - first >= FEWEST_ROWS:
            yield first, end
        first = max(end, first + 1)


def paragraphs(lines: Sequence[Line], body: Look) -> list[list[Line]]:
    """Return the lines in groups that belong together, in the order given."""
    drops = [before.last - after.base for before, after in pairwise(lines)]
    downwards = [drop for drop in drops if drop > 0]
    usual = median(downwards) if downwards else 0.0
    groups = [[line] for line in lines[:1]]
    for (before, after), drop in zip(pairwise(lines), drops, strict=True):
        distance = min(usual, LOOSEST * max(before.height, after.height))
        if _are_alike(before, after, body) and _is_display(after, body):
            distance = max(distance, LEADING * after.height)  # a heading's lines may be the only ones so far apart
        if _begins(before, after, drop, distance) or _looks_anew(before, after, groups[-1], body):
            groups.append([])
        groups[-1].append(after)
    return groups


def _begins(before: Line, after: Line, drop: float, usual: float) -> bool:
    """Whether a line begins a paragraph, by where it stands."""
    if drop < -INDENT * after.height:  # at the top of the next column
        return not (after.text[0].islower() and not END_OF_SENTENCE.search(before.text))
    if drop > WIDER * usual:
        return True
    is_set_in = after.left - before.left > INDENT * after.height
    return drop > 0 and is_set_in and bool(END_OF_SENTENCE.search(before.text))


def _looks_anew(before: Line, after: Line, group: Sequence[Line], body: Look) -> bool:
    """Whether a line is set otherwise than what stands above it, all of which, or all of itself, is in another font than the body."""
    if _are_alike(before, after, body):
        return False
    if _is_display(after, body):
        return bool(END_OF_SENTENCE.search(before.text)) or _is_display(before, body)
    return all(_is_display(line, body) for line in group) and not after.text[0].islower()


def _are_alike(before: Line, after: Line, body: Look) -> bool:
    """Whether two lines are set in one way; where they are larger than the body, words in italics make no difference."""
    one, other = look_of(before), look_of(after)
    if min(one.size, other.size) >= TITLE * body.size:
        return abs(one.size - other.size) <= UNEVEN * one.size
    return one == other or one.size == other.size > body.size


def _is_display(line: Line, body: Look) -> bool:
    look = look_of(line)
    return look.size > body.size + SIZE_STEP or (bool(look.font) and look.font != body.font)


def _common_look(looks: Sequence[Look]) -> Look | None:
    sizes = [look.size for look in looks]
    if max(sizes) - min(sizes) > UNEVEN * min(sizes):
        return None
    return Look(looks[0].font if len({look.font for look in looks}) == 1 else "", sizes[0])


def _part(lines: Sequence[Line], body: Look) -> Part:
    look = _common_look([look_of(line) for line in lines])
    text = " ".join(line.text for line in lines)
    if CAPTION.match(text) and look_of(lines[0]) != body:
        return Part("caption", text, look)
    return Part("paragraph", text, look)
