"""PubTator's text format: ``PMID|t|title``, ``PMID|a|abstract``, then annotations, one a line, tab-separated.

Offsets count characters of title and abstract with one character between them; an annotation is PMID, start, end, the words,
type and ids (https://www.ncbi.nlm.nih.gov/research/pubtator, and the BioCreative V CDR corpus, whose relation lines are passed
over here).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from medical_kg import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEAD = re.compile(r"(\w+)\|([ta])\|(.*)", re.DOTALL)
FIELDS = 5
"""An annotation has at least so many; the ids come after."""


class Annotation(NamedTuple):
    """A stretch of the text, what it is, and the ids that it stands for (none where it has no concept)."""

    start: int
    end: int
    text: str
    type: str
    ids: tuple[str, ...] = ()


class Record(NamedTuple):
    """A citation with its annotations."""

    pmid: str
    title: str
    abstract: str
    annotations: tuple[Annotation, ...] = ()

    @property
    def text(self) -> str:
        """Title and abstract as the offsets count them."""
        return f"{self.title}\n{self.abstract}"


class WrongRecord(InputError):
    """A record is not what the format says; the text tells where."""


def records(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Give the lines of each record with the number of its first line (from 1).

    A record ends at an empty line, or where a title of another one begins.
    """
    first, current = 0, list[str]()
    for number, line in enumerate(lines, start=1):
        bare = line.rstrip("\r\n")
        head = HEAD.match(bare)
        if current and (not bare.strip() or (head and head[2] == "t")):
            yield first, current
            current = []
        if bare.strip():
            first = first if current else number
            current.append(bare)
    if current:
        yield first, current


def record(lines: list[str], first: int = 1) -> Record:
    """Return the record of some lines.

    Raises:
        WrongRecord: the title is missing, or an annotation's words do not stand at its place.
    """
    parts: dict[str, str] = {}
    pmid = ""
    annotations: list[Annotation] = []
    for number, line in enumerate(lines, start=first):
        if head := HEAD.match(line):
            pmid, parts[head[2]] = head[1], head[3]
        elif annotation := _annotation(line.split("\t"), number):
            annotations.append(annotation)
    if "t" not in parts:
        raise WrongRecord(f"line {first}: no title (PMID|t|…)")
    made = Record(pmid, parts["t"], parts.get("a", ""), tuple(annotations))
    for one in annotations:
        there = made.text[one.start : one.end]
        # Sources put another character between title and abstract.
        if " ".join(there.split()) != " ".join(one.text.split()):
            raise WrongRecord(f"{pmid}: the text has {there!r} at {one.start}-{one.end}, not {one.text!r}")
    return made


def _annotation(fields: list[str], number: int) -> Annotation | None:
    if len(fields) < FIELDS or not fields[1].strip().isdigit():
        return None  # a relation
    if not fields[2].strip().isdigit():
        raise WrongRecord(f"line {number}: the end of an annotation is {fields[2]!r}")
    ids = re.split(r"[|,+;]", fields[5]) if len(fields) > FIELDS else []
    known = tuple(one.strip() for one in ids if one.strip() not in ("", "-", "-1"))
    return Annotation(int(fields[1]), int(fields[2]), fields[3], fields[4].strip(), known)
