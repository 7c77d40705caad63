"""Open answers: bodies that come in pieces, up to their limits."""

from __future__ import annotations

import mimetypes
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import urlsplit

from medical_kg.orchestration.contract.errors import TransientError
from medical_kg.orchestration.contract.urls import safe_url
from medical_kg.orchestration.fetching.decoding import decoded
from medical_kg.orchestration.fetching.failures import failures, too_long

if TYPE_CHECKING:
    import httpx2

    from medical_kg.orchestration.contract.turns import Turn
    from medical_kg.orchestration.fetching.deadlines import Deadline

CHUNK_BYTES = 65_536
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Opened:
    """One request that is under way: what it holds until it has ended.

    Attributes:
        turn: the request's turn, where it had to wait for one; told once how it ended.
        deadline: until when its answer must have come.
        response: its answer.

    Args:
        release: gives the host's slot back.
    """

    turn: Turn | None = None
    deadline: Deadline
    response: httpx2.Response

    def __init__(self, release: Callable[[], None]) -> None:
        """Begin."""
        self._releases = [release]

    @property
    def status(self) -> int:
        """The answer's status."""
        return self.response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers."""
        return self.response.headers

    @property
    def is_redirect(self) -> bool:
        """Whether the answer points somewhere else."""
        return self.status in REDIRECTS and "location" in self.headers

    def check_length(self, limit: int) -> None:
        """Refuse a body that says it is too long before it is read.

        Raises:
            ItemRejected: its announced length, in bytes, is over the limit.
        """
        announced = self.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise too_long(safe_url(str(self.response.url)), limit)

    def over(self, error: BaseException | None = None) -> None:
        """Tell how it ended: well unless by an error that may pass."""
        if self.turn is not None:
            self.turn.over(error if isinstance(error, TransientError) else None)

    def close(self) -> None:
        """Let go of what it holds."""
        if "response" in self.__dict__:
            self.response.close()
        self.over()
        while self._releases:
            self._releases.pop()()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Let go of what it holds."""
        self.close()


class FetchedResponse:
    """An open HTTP response; ``url`` is where it was found at last, fit to be shown.

    Args:
        opened: the request with its answer, whose body is unread.
        limit: the most bytes of the body, as it is sent and as it is unpacked.
    """

    def __init__(self, opened: Opened, limit: int) -> None:
        """Keep the response; its body is not read yet."""
        self._opened = opened
        self._limit = limit
        self.status = opened.status
        self.url = safe_url(str(opened.response.url))
        self.headers = opened.headers
        # One that nobody closes must not keep its connection, and its host's slot, for ever.
        self._close = weakref.finalize(self, opened.close)
        self._close.atexit = False

    def chunks(self) -> Iterable[bytes]:
        """Give the decoded body in pieces.

        Raises:
            ItemRejected: the body is longer than the limit, or not encoded as it says.
            TransientError: the connection broke, the body ended before its time or did not come in time.
        """
        try:
            yield from limited(self._pieces(), self._limit, self.url)
        except TransientError as error:
            self._opened.over(error)
            raise
        self._opened.over()

    def _pieces(self) -> Iterator[bytes]:
        received = limited(self._received(), self._limit, self.url)
        with failures(self.url):
            yield from decoded(received, self.headers.get("content-encoding", ""))

    def _received(self) -> Iterator[bytes]:
        opened = self._opened
        pieces = opened.response.iter_raw()
        while True:
            with opened.deadline.running():
                piece = next(pieces, None)
                opened.deadline.left()
            if piece is None:
                return
            yield piece

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the connection."""
        self._close()


class FetchedFile:
    """An open local file in the shape of a response; its media type is what the name says."""

    def __init__(self, url: str, file: BinaryIO, limit: int) -> None:
        """Keep the open file."""
        self._file = file
        self._limit = limit
        self.status = 200
        self.url = safe_url(url)
        media_type = mimetypes.MimeTypes().guess_type(urlsplit(url).path)[0]
        self.headers: Mapping[str, str] = {"content-type": media_type} if media_type else {}

    def chunks(self) -> Iterable[bytes]:
        """Give the file in pieces; raises ``ItemRejected`` at the size limit."""
        return limited(iter(lambda: self._file.read(CHUNK_BYTES), b""), self._limit, self.url)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self._file.close()


def limited(pieces: Iterable[bytes], limit: int, shown: str) -> Iterator[bytes]:
    """Yield pieces up to a number of bytes in all.

    Raises:
        ItemRejected: there are more.
    """
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise too_long(shown, limit)
        yield piece
