"""Plain text files: the last resort, by the file's ending."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from medical_kg import ItemRejected
from medical_kg.documents.build import DocumentBuilder, numbered_paragraphs
from medical_kg.formats.base import refusals_name
from medical_kg.formats.contract import Format, RawRecord, file_id, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Payload
    from medical_kg.formats.contract import BadRecord, Readable

MAX_TITLE_CHARACTERS = 200


class TextFormat(Format):
    """One document per file, one block per paragraph; each points at its first line."""

    name: ClassVar[str] = "text"
    media_types: ClassVar[tuple[str, ...]] = ("text/plain",)
    last_resort: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text")
    max_bytes: ClassVar[int] = 64 * 1024 * 1024

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether the file's name ends like one of its files' (".gz" behind it is ignored)."""
        del head
        return filename.lower().removesuffix(".gz").endswith(self.suffixes)

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give the file as one record; text that cannot be decoded or is blank is refused."""
        content, broken = read_all(stream, self.max_bytes)
        if broken is not None:
            raise broken
        if not decode_text(content).strip():
            raise ItemRejected("the file holds no text")
        yield RawRecord(file_id(name), content)

    def parse(self, payload: Payload) -> Document:
        """Read the text; its title is the first line when that stands alone, else the file's name."""
        with refusals_name(payload):
            paragraphs = numbered_paragraphs(decode_text(payload.content))
            if not paragraphs:
                raise ItemRejected("the file holds no text")
            return _document(paragraphs, payload)


def _document(paragraphs: list[tuple[int, str]], payload: Payload) -> Document:
    builder = DocumentBuilder()
    line, first = paragraphs[0]
    is_title = "\n" not in first and len(first) <= MAX_TITLE_CHARACTERS
    if is_title:
        builder.block(first, "title", f"line={line}")
    for line, paragraph in paragraphs[1:] if is_title else paragraphs:
        builder.block(paragraph, pointer=f"line={line}")
    return builder.build(
        id=payload.id,
        root=payload.id,
        kind="text",
        title=first if is_title else payload.provenance.uri.rsplit("/", 1)[-1],
        provenance=payload.provenance,
    )


def decode_text(content: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its mark.

    Raises:
        ItemRejected: it is in neither; the message names the first wrong byte.
    """
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        what = f"byte {error.object[error.start]:#04x} at offset {error.start}, line {line}"
        raise ItemRejected(
            f"not {encoding.removesuffix('-sig').upper()} text: {what}; convert the file to UTF-8"
        ) from None
