"""All pages of a PDF, laid out together: what one page says of another's fonts, heads and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from medical_kg.formats.pdfheadings import title_of, with_headings
from medical_kg.formats.pdflayout import END_OF_SENTENCE, Part, body_look, parts
from medical_kg.formats.pdfrunning import without_running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg.formats.pdfpage import Line


class Laid(NamedTuple):
    """The parts of each page, and the title, where the first page shows one."""

    pages: list[list[Part]]
    title: str


def lay_out(pages: Sequence[Sequence[Line]]) -> Laid:
    """Return the parts of all pages without running heads; a paragraph that goes on over a page's end stands where it begins."""
    body = body_look(pages)
    found = without_running([parts(lines, body) for lines in pages])
    title = title_of(found, body)
    return Laid(_joined(with_headings(found, body)), title)


def _joined(pages: list[list[Part]]) -> list[list[Part]]:
    last: tuple[int, int] | None = None
    for number, page in enumerate(pages):
        if last is not None and page and _goes_on(pages[last[0]][last[1]], page[0]):
            before = pages[last[0]][last[1]]
            pages[last[0]][last[1]] = before._replace(text=f"{before.text} {page.pop(0).text}")
        if page:
            last = number, len(page) - 1
    return pages


def _goes_on(before: Part, after: Part) -> bool:
    both = before.kind == after.kind == "paragraph"
    return both and after.text[0].islower() and not END_OF_SENTENCE.search(before.text)
