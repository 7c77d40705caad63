"""Service ``http`` with canned answers; what is allowed, refused, retried and cut off is decided by the real service."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from medical_kg.orchestration.fetching import MIB, FetchedFile, HttpService

if TYPE_CHECKING:
    import httpx2

    from medical_kg.orchestration.contract import Fetched


@dataclass(frozen=True)
class Answer:
    """What a server answers; text is sent as UTF-8."""

    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Request(NamedTuple):
    """A request that was made: where to, the headers the stage gave, and what it sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes = b""


Canned = Answer | bytes | str | BaseException
"""An answer: whole, only its body, or an error to raise."""


class FakeHttp:
    """Service ``http`` that answers from memory; nothing touches the network.

    The hosts of the answers are allowed, and those of ``allow_hosts``; an address of another host is refused as the
    workspace's settings would refuse it, one of an allowed host without an answer is a 404. Redirects are followed to
    other answers, statuses become the errors they become in the engine, and bodies are cut off at ``max_bytes``.

    Args:
        answers: by address: an ``Answer``, a body, an error to raise, or a list of these, one for each request in turn
            (the last one stays).
        allow_hosts: more hosts to allow, as in the settings' ``[http]`` table.
    """

    def __init__(
        self, answers: Mapping[str, Canned | Sequence[Canned]] | None = None, *, allow_hosts: Iterable[str] = ()
    ) -> None:
        """Keep the answers."""
        self._answers = {url: _in_turn(answer) for url, answer in (answers or {}).items()}
        self._allow_hosts = tuple(allow_hosts)
        self.requests: list[Request] = []

    @property
    def urls(self) -> list[str]:
        """The addresses that were asked for, in order; those of redirects too."""
        return [request.url for request in self.requests]

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        per_second: float | None = None,
    ) -> Fetched:
        """Answer as the engine's service would; errors are the same, but nothing waits for its turn."""
        del per_second
        if url[:5].lower() == "file:" and url in self._answers:
            answer = self._next(url, headers or {})
            return FetchedFile(url, io.BytesIO(_body(answer)), MIB * 1024 if max_bytes is None else max_bytes)
        self._asked = dict(headers or {})
        return self._service.get(url, headers=headers, max_bytes=max_bytes)

    def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, max_bytes: int | None = None
    ) -> Fetched:
        """Answer as ``get`` does; what was sent stands in ``requests``."""
        self._asked = dict(headers or {})
        return self._service.post(url, body, headers=headers, max_bytes=max_bytes)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open client behind: a copy and another process make their own."""
        return {name: value for name, value in self.__dict__.items() if name != "_service"}

    @cached_property
    def _service(self) -> HttpService:
        places = [urlsplit(url) for url in self._answers]
        own = [f"{place.scheme}://{place.netloc}" for place in places if place.scheme in ("http", "https")]
        return _OverMemory((*own, *self._allow_hosts), self._respond)

    def _respond(self, request: httpx2.Request) -> httpx2.Response:
        import httpx2

        url = str(request.url)
        known = next((one for one in self._answers if httpx2.URL(one) == request.url), url)
        given = {name: value for name, value in self._asked.items() if name.lower() in request.headers}
        answer = self._next(known, given, request.content)
        body = _body(answer)
        told = httpx2.Headers(dict(answer.headers))
        if "transfer-encoding" not in told:
            told.setdefault("Content-Length", str(len(body)))
        return httpx2.Response(answer.status, headers=told, stream=_unread(body))

    def _next(self, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        self.requests.append(Request(url, headers, body))
        canned = self._answers.get(url)
        if canned is None:
            return Answer(status=404)
        answer = canned.pop(0) if len(canned) > 1 else canned[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Answer) else Answer(answer)


class _OverMemory(HttpService):
    """The real service over a transport that asks a function."""

    def __init__(self, allow_hosts: Iterable[str], respond: Any) -> None:
        super().__init__(allow_hosts)
        self._respond = respond

    def _transport(self) -> httpx2.BaseTransport:
        import httpx2

        return httpx2.MockTransport(self._respond)


def _unread(body: bytes) -> httpx2.SyncByteStream:
    """Return a body that is still to be read, as from a network; the client unpacks one that is there at once."""
    import httpx2

    class Unread(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield body

    return Unread()


def _in_turn(answer: Canned | Sequence[Canned]) -> list[Canned]:
    if isinstance(answer, (Answer, bytes, str, BaseException)):
        return [answer]
    if not answer:
        raise ValueError("a list of answers needs at least one")
    return list(answer)


def _body(answer: Answer) -> bytes:
    return answer.body.encode() if isinstance(answer.body, str) else answer.body
