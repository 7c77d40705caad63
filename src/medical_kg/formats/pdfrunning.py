"""Running heads and feet: what stands at the top or bottom of page after page, but for its numbers, is no text."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from medical_kg.formats.pdflayout import Part

EDGE = 3
"""How many parts at the top and at the bottom of a page may be running ones."""
FEWEST = 3
"""On so many pages a part must stand to be a running one …"""
SHARE = 3
"""… and on one page in so many: heads of left and right pages differ, and those of the first page too."""
LONGEST = 200
"""A running head is no longer than this, in characters."""
NUMBER = re.compile(r"\d+|\b[ivxl]+\b")


def without_running(pages: Sequence[Sequence[Part]]) -> list[list[Part]]:
    """Return the pages' parts without running heads and feet; all of them where nothing else would be left."""
    seen = Counter(form for page in pages for form in {_form(page[place]) for place in _edges(page)})
    least = max(FEWEST, -(-len(pages) // SHARE))
    running = {form for form, count in seen.items() if form and count >= least}
    kept = [_without(page, running) for page in pages]
    return kept if any(kept) else [list(page) for page in pages]


def _without(page: Sequence[Part], running: set[str]) -> list[Part]:
    dropped = {place for place in _edges(page) if _form(page[place]) in running}
    return [part for place, part in enumerate(page) if place not in dropped]


def _edges(page: Sequence[Part]) -> Iterator[int]:
    size = len(page)
    yield from (place for place in range(size) if place < EDGE or place >= size - EDGE)


def _form(part: Part) -> str:
    """Return a part's text as it is on every page: folded, its numbers alike; "" for one too long."""
    return NUMBER.sub("#", part.text.casefold()) if len(part.text) <= LONGEST else ""
