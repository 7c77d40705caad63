"""The contract of the door ``medical_kg.formats``: how documents of one format are recognised, listed and read.

An entry point names a subclass of ``Format``. A source asks every installed format to ``sniff`` a file and lets the
one that recognises it list the ``records``; ``parse`` later turns one of them into a document, knowing no more than
the payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from medical_kg import ItemRejected
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg import StageContext
    from medical_kg.documents.ir import Document
    from medical_kg.documents.records import Payload

DOOR = "medical_kg.formats"

HEAD_BYTES = 65_536
"""How much of a file ``sniff`` is shown."""


class Readable(Protocol):
    """A stream of bytes; ``read`` may give fewer bytes than asked, none only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; raise ``ItemRejected`` where the file is damaged or too large."""


class RawRecord(NamedTuple):
    """One record of a file.

    ``id`` is stable and prefixed; ``content`` is what ``parse`` will be given: the record alone, as UTF-8 or with its
    own declaration. ``links`` are addresses of files that belong to the record.
    """

    id: str
    content: bytes
    links: tuple[str, ...] = ()


class BadRecord(NamedTuple):
    """A record that cannot be taken while those after it can; ``place`` says where in the file it stands."""

    place: str
    reason: str


class Format:
    """Base of every format; made without arguments, holds no state between calls."""

    name: ClassVar[str]
    media_types: ClassVar[tuple[str, ...]] = ()
    last_resort: ClassVar[bool] = False
    """Whether it is asked only after all formats that are not a last resort."""
    native: ClassVar[bool] = False
    """Whether ``parse`` calls native code that a hostile file may crash or hang.

    Stages then call it only in an environment (``ctx.isolated``), and sources take such files only when the format is
    named. ``sniff`` and ``records`` are called anywhere.
    """

    def sniff(self, head: bytes, filename: str) -> bool:
        """Whether a file that begins with ``head`` (at most ``HEAD_BYTES``) looks like this format."""
        raise NotImplementedError

    def records(self, stream: Readable, name: str) -> Iterator[RawRecord | BadRecord]:
        """Give the file's records in order.

        ``name`` is the file's path relative to the input, for records that carry no id of their own.

        Raises:
            ItemRejected: the rest of the file cannot be read; the records given before stand.
        """
        raise NotImplementedError

    def parse(self, payload: Payload) -> Document:
        """Read one record.

        Raises:
            ItemRejected: it cannot be read; the message names the payload, the place and what is wrong.
        """
        raise NotImplementedError


def check_isolated(chosen: Format, ctx: StageContext) -> None:
    """Refuse to let a stage of the engine's own process parse by a format that is ``native``.

    Raises:
        UsageError: it says how to give the stage a process of its own.
    """
    if chosen.native and not ctx.isolated:
        raise UsageError(
            f"stage {ctx.stage!r}: format {chosen.name!r} is read by native code, which a bad file may crash or hang; "
            "run the stage in a worker process: add `environment: limited` to it"
        )


def file_id(name: str, number: int | None = None) -> str:
    """Return the id of a record that carries none: the file, and the record's number in it from 1."""
    return f"file:{name}" if number is None else f"file:{name}#{number}"


def read_all(stream: Readable, limit: int) -> tuple[bytes, ItemRejected | None]:
    """Return the stream's bytes and what broke it off, if anything did.

    Raises:
        ItemRejected: there are more than ``limit`` bytes.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := stream.read(HEAD_BYTES):
            size += len(chunk)
            if size > limit:
                break
            chunks.append(chunk)
    except ItemRejected as broken:
        return b"".join(chunks), broken
    if size > limit:
        raise ItemRejected(f"it holds more than {limit:,} bytes, the most that is read into memory at once")
    return b"".join(chunks), None
