"""PubTator files: title and abstract of each citation. Annotations are left out: they are what a pipeline is measured by."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents import pubtator
from medical_kg.documents.build import BlockKind
from medical_kg.documents.ir import Block, Document, Section
from medical_kg.formats.base import refusals_name
from medical_kg.formats.contract import BadRecord, Format, RawRecord, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import Readable

MAX_BYTES = 256 * 1024 * 1024


class PubTatorFormat(Format):
    """One document per citation, its text laid out as the file's offsets count; a record has its title in line 1."""

    name: ClassVar[str] = "pubtator"
    media_types: ClassVar[tuple[str, ...]] = ("text/x-pubtator",)

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether the first line that is not empty is a title, ``PMID|t|…``."""
        del filename
        first = head.lstrip(b"\xef\xbb\xbf\r\n\t ").split(b"\n", 1)[0].decode("utf-8", "replace")
        match = pubtator.HEAD.match(first)
        return match is not None and match[2] == "t"

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give each citation; one that is not in the format does not stop those after it."""
        content, broken = read_all(stream, MAX_BYTES)
        if broken is not None:
            raise broken
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ItemRejected(f"not UTF-8 text (byte {error.start})") from None
        del name
        for first, lines in pubtator.records(io.StringIO(text)):
            try:
                found = pubtator.record(lines, first)
            except pubtator.WrongRecord as error:
                yield BadRecord(f"line {first}", str(error))
            else:
                yield RawRecord(
                    f"pmid:{found.pmid}", f"{found.pmid}|t|{found.title}\n{found.pmid}|a|{found.abstract}\n".encode()
                )

    def parse(self, payload: Payload) -> Document:
        """Read one citation."""
        with refusals_name(payload):
            try:
                found = pubtator.record(payload.content.decode("utf-8").splitlines())
            except (pubtator.WrongRecord, UnicodeDecodeError) as error:
                raise ItemRejected(str(error)) from None
            if not found.text.strip():
                raise ItemRejected("neither title nor abstract")
            return _document(found, payload)


def _document(found: pubtator.Record, payload: Payload) -> Document:
    parts: tuple[tuple[BlockKind, int, str], ...] = (
        ("title", 0, found.title),
        ("paragraph", len(found.title) + 1, found.abstract),
    )
    blocks = []
    for number, (kind, start, part) in enumerate(parts, start=1):
        if stripped := part.strip():
            begin = start + part.index(stripped)
            end, pointer = begin + len(stripped), f"line={number}"
            blocks.append(Block(id=f"b{number}", kind=kind, start=begin, end=end, pointer=pointer))
    return Document(
        id=f"pmid:{found.pmid}",
        root=payload.id,
        kind="article",
        title=" ".join(found.title.split()),
        text=found.text,
        sections=(Section(id="s1", blocks=tuple(blocks)),),
        identifiers=(f"pmid:{found.pmid}",),
        provenance=payload.provenance,
    )
