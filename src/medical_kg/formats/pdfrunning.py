"""Running heads and feet: what stands at the top or bottom of page after page, but for its numbers, is no text."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EDGE = 3
"""How many paragraphs at the top and at the bottom of a page may be running ones."""
FEWEST = 3
"""On so many pages a paragraph must stand to be a running one …"""
SHARE = 3
"""… and on one page in so many: heads of left and right pages differ, and those of the first page too."""
LONGEST = 200
"""A running head is no longer than this, in characters."""
NUMBER = re.compile(r"\d+|\b[ivxl]+\b")


def without_running(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the pages' paragraphs without running heads and feet; all of them where nothing else would be left."""
    seen = Counter(form for page in pages for form in {_form(page[place]) for place in _edges(page)})
    least = max(FEWEST, -(-len(pages) // SHARE))
    running = {form for form, count in seen.items() if form and count >= least}
    kept = [_without(page, running) for page in pages]
    return kept if any(kept) else [list(page) for page in pages]


def _without(page: Sequence[str], running: set[str]) -> list[str]:
    dropped = {place for place in _edges(page) if _form(page[place]) in running}
    return [paragraph for place, paragraph in enumerate(page) if place not in dropped]


def _edges(page: Sequence[str]) -> Iterator[int]:
    size = len(page)
    yield from (place for place in range(size) if place < EDGE or place >= size - EDGE)


def _form(paragraph: str) -> str:
    """Return a paragraph as it is on every page: folded, its numbers alike; "" for one too long."""
    return NUMBER.sub("#", paragraph.casefold()) if len(paragraph) <= LONGEST else ""
