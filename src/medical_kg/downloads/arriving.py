"""A file that comes in, perhaps over several attempts: what came before a break is kept, and asked for no more."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from medical_kg import ItemRejected, TransientError
from medical_kg.downloads.media import SNIFFED_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from medical_kg import StoredFile, UnfinishedFile
    from medical_kg.orchestration.contract import Fetched

PARTIAL_CONTENT = 206
UNSATISFIABLE = 416
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
SETTLED_SECONDS = 60
"""A file that changed less long before the answer may change again within the second its date tells."""


class Arriving:
    """One file on its way in.

    Args:
        begin: begins a file in the file area.
        limit: the most bytes it may have.
    """

    media_type = ""

    def __init__(self, begin: Callable[[], UnfinishedFile], limit: int) -> None:
        """Begin with nothing."""
        self._begin, self._limit = begin, limit
        self._file: UnfinishedFile | None = None
        self._validator: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What to ask with: for the rest where something came and can be gone on with, else for all (RFC 9110, 13.1.5)."""
        asked = {"Accept-Encoding": "identity"}  # a range is of the bytes as sent, which must be the file's own
        if self.resumable and self._file is not None:
            asked |= {"Range": f"bytes={self._file.size}-", "If-Range": self._validator or ""}
        return asked

    @property
    def resumable(self) -> bool:
        """Whether something came that another attempt can go on with."""
        return self._file is not None and self._file.size > 0 and self._validator is not None and bool(self.media_type)

    def receive(self, response: Fetched, told: Callable[[bytes], None], pieces: Iterable[bytes]) -> None:
        """Take what an answer brings: the rest, or all of it.

        ``told`` is given the beginning of a whole file, and sets ``media_type`` or raises.

        Raises:
            ItemRejected: it is longer than the limit, or ``told`` refuses it.
            TransientError: it broke off, or the server gave another part than was asked for.
        """
        if not self._goes_on(response):
            self.discard()
            self._file = self._begin()
            pieces = _told(pieces, told)
            self._validator = validator_of(response.headers)
        assert self._file is not None  # noqa: S101  # begun here, or there to go on with
        for piece in pieces:
            if self._file.size + len(piece) > self._limit:
                raise ItemRejected(f"{response.url}: longer than the limit of {self._limit} bytes (max_bytes)")
            self._file.write(piece)

    def keep(self, suffix: str) -> StoredFile:
        """Store it whole."""
        assert self._file is not None  # noqa: S101  # kept after it was received
        return self._file.keep(suffix=suffix)

    def discard(self) -> None:
        """Give up what came."""
        if self._file is not None:
            self._file.discard()
        self._file, self._validator, self.media_type = None, None, ""

    def _goes_on(self, response: Fetched) -> bool:
        if response.status not in (PARTIAL_CONTENT, UNSATISFIABLE):
            return False
        if response.status == PARTIAL_CONTENT and self._file is not None and self._is_rest(response.headers):
            return True
        self.discard()
        raise TransientError(f"{response.url}: the server gave another part of the file than was asked for")

    def _is_rest(self, headers: Mapping[str, str]) -> bool:
        given = RANGE.fullmatch(headers.get("content-range", ""))
        if given is None or self._file is None:
            return False
        first, last, size = map(int, given.groups())
        same = headers.get("etag", self._validator) == self._validator or not (self._validator or "").startswith('"')
        return first == self._file.size and last + 1 == size and same


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Return what tells this state of a file from others, byte by byte (RFC 9110, 8.8); None where nothing does.

    That is a strong entity tag, or a date of change well before the answer's; an answer whose body was packed for the
    way, or whose server gives no ranges, has none that would help.
    """
    if headers.get("content-encoding", "identity") != "identity" or headers.get("accept-ranges", "bytes") != "bytes":
        return None
    if (tag := headers.get("etag", "")).startswith('"'):
        return tag
    changed, now = headers.get("last-modified"), headers.get("date")
    if changed is None or now is None:
        return None
    try:
        settled = (parsedate_to_datetime(now) - parsedate_to_datetime(changed)).total_seconds() >= SETTLED_SECONDS
    except (ValueError, TypeError):
        return None
    return changed if settled else None


def _told(pieces: Iterable[bytes], told: Callable[[bytes], None]) -> Iterable[bytes]:
    """Yield the pieces once ``told`` has seen how they begin."""
    head = b""
    rest = iter(pieces)
    while len(head) < SNIFFED_BYTES and (piece := next(rest, None)) is not None:
        head += piece
    told(head[:SNIFFED_BYTES])
    yield head
    yield from rest
