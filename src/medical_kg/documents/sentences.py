"""Where sentences begin and end in biomedical English, by rules; linear in the length of the text.

A full stop ends a sentence unless it belongs to an abbreviation, an initial, a list number or a decimal, or unless the
next word begins in lower case (``E. coli``). When in doubt a sentence is left whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ABBREVIATIONS = frozenset(
    (  # noqa: SIM905  # words read best as words
        "al approx assoc ave ca cf chap co conc corp dept dr ed eds eq eqs esp est etc exp fig figs gov hosp inc incl "
        "inst int jan feb mar apr jun jul aug sep sept oct nov dec jr lab lat lt ltd max med min mr mrs ms no nos nr "
        "obs ph.d phd pp prof pt pts pub ref refs resp rev sect ser sp spp sr st subsp suppl tab temp univ vol vols "
        "viz vs wk yr"
    ).split()
)
END = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]+[\"'\u201d\u2019\xbb)\]]*(?=\s)"  # marks and closing quotes before white space
    r"|[\u3002\uff01\uff1f]+[\u201d\u2019\uff09]*"  # full-width marks, as in Chinese, need none
    r"|(?=\n[^\S\n]*\n)"  # an empty line
)
FULL_WIDTH = "\u3002\uff01\uff1f"
LAST_WORD = re.compile(r"[^\s(\[{\"'\u201c\u2018,;:/]*\Z")
DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
NEXT = re.compile(r"\s*[\"'\u201c\u2018\xab(\[]*(\S?)")
REACH = 40
"""How far back the word before a full stop is looked for; longer words are no abbreviations."""


def sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the span of each sentence of ``text[start:end]``, without the white space around it.

    Together the spans hold every character that is not white space.
    """
    end = len(text) if end is None else end
    begin = start
    for match in END.finditer(text, start, end):
        if match.end() <= begin or not _ends_sentence(text, begin, match, end):
            continue
        yield from _trimmed(text, begin, match.end())
        begin = match.end()
    yield from _trimmed(text, begin, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    part = text[start:end]
    if stripped := part.strip():
        first = start + len(part) - len(part.lstrip())
        yield first, first + len(stripped)


def _ends_sentence(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    mark = match.group()
    if not mark or mark[0] in FULL_WIDTH:
        return True
    following = NEXT.match(text, match.end(), end)
    if following and following[1].islower():
        return False
    if mark[0] != "." or mark.startswith(".."):
        return True
    before = text[max(begin, match.start() - REACH) : match.start()]
    word = LAST_WORD.search(before)
    return not _takes_full_stop(word.group() if word else "", alone=before.strip().isdigit())


def _takes_full_stop(word: str, *, alone: bool) -> bool:
    """Whether the full stop belongs to the word: an abbreviation, an initial, or a list number that stands alone."""
    if alone or word.casefold() in ABBREVIATIONS or DOTTED.fullmatch(word):
        return True
    return len(word) == 1 and word.isalpha() and word.isupper()
