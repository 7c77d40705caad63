"""Service ``http``: fetching from the hosts and folders an operator has allowed, and from nowhere else."""

from __future__ import annotations

import logging
import mimetypes
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, Self
from urllib.parse import urlsplit

from medical_kg.orchestration.contract.errors import ItemRejected, SettingsError, TransientError
from medical_kg.orchestration.contract.urls import safe_url
from medical_kg.orchestration.file_area import open_local

if TYPE_CHECKING:
    import httpx2

    from medical_kg.orchestration.contract import Fetched

PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
FIRST_NO_SUCCESS = 300
PASSING = frozenset({408, 425, 429})
"""Refusals that may pass, besides every 5xx."""
MAX_HOPS = 5
CHUNK_BYTES = 65_536
MIB = 1024 * 1024
CHATTY_LOGGERS = ("httpx2", *(f"httpcore2.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")))


class HttpService:
    """Opens addresses. Redirects are followed by hand, each hop checked like the first; the environment has no say.

    Args:
        allow_hosts: ``example.org`` (the usual ports of http and https), ``127.0.0.1:8080``, ``https://example.org``.
        allow_roots: folders below which ``file://`` may read.
        user_agent: who we say we are.
        timeout: seconds for connecting, and for each read.
        max_bytes: the size limit of a body where the caller sets none.
        now: the time of day, in seconds since the epoch.

    Raises:
        SettingsError: an entry of ``allow_hosts`` cannot be read.
    """

    def __init__(
        self,
        allow_hosts: Iterable[str] = (),
        allow_roots: Iterable[Path] = (),
        *,
        user_agent: str = "medical-kg",
        timeout: float = 30.0,
        max_bytes: int = 1024 * MIB,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Keep the settings; nothing is opened before the first ``get``."""
        self._allowed = frozenset(origin for entry in allow_hosts for origin in _origins(entry))
        self._allow_roots: Sequence[Path] = tuple(allow_roots)
        self._user_agent = user_agent
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._now = now

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, max_bytes: int | None = None) -> Fetched:
        """Open ``url``; a body longer than ``max_bytes`` (after decoding) is refused while it is read.

        Raises:
            ItemRejected: the address is not allowed, or what it names is permanently absent.
            TransientError: it may pass; with ``retry_after`` where the server says so.
        """
        limit = self._max_bytes if max_bytes is None else max_bytes
        if url[:5].lower() == "file:":
            return FetchedFile(url, open_local(url, self._allow_roots), limit)
        return self._checked(self._follow(url, dict(headers or {})), limit, lambda status: status >= FIRST_NO_SUCCESS)

    def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, max_bytes: int | None = None
    ) -> Fetched:
        """Send ``body`` to ``url``; a redirect is an answer like others: what is sent goes nowhere else.

        Raises:
            ItemRejected: the address is not allowed, or the answer is longer than ``max_bytes``.
            TransientError: it may pass; with ``retry_after`` where the server says so.
        """
        limit = self._max_bytes if max_bytes is None else max_bytes
        return self._checked(self._open(_parsed(url), dict(headers or {}), body), limit, _may_pass)

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    @cached_property
    def _client(self) -> httpx2.Client:
        import httpx2

        for name in CHATTY_LOGGERS:
            logging.getLogger(name).addFilter(_no_chatter)
        return httpx2.Client(
            trust_env=False,
            follow_redirects=False,
            timeout=self._timeout,
            headers={"User-Agent": self._user_agent, "Accept-Encoding": "gzip, deflate"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    def _checked(self, response: httpx2.Response, limit: int, refused: Callable[[int], bool]) -> Fetched:
        try:
            if refused(response.status_code):
                _refuse(response, self._now())
            _check_length(response, limit)
        except BaseException:
            response.close()
            raise
        return FetchedResponse(response, limit)

    def _follow(self, url: str, headers: dict[str, str]) -> httpx2.Response:
        target = _parsed(url)
        for _ in range(MAX_HOPS + 1):
            response = self._open(target, headers)
            if response.status_code not in REDIRECTS or "location" not in response.headers:
                return response
            response.close()
            onward = _parsed(response.headers["location"], base=target)
            if _origin(onward) != _origin(target):
                headers = {}  # what was meant for one host, perhaps a key, is not for another
            target = onward
        raise ItemRejected(f"{safe_url(url)}: more than {MAX_HOPS} redirects")

    def _open(self, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None = None) -> httpx2.Response:
        shown = safe_url(str(url))
        self._check_allowed(url, shown)
        method = "GET" if body is None else "POST"
        with _failures(shown):
            return self._client.send(
                self._client.build_request(method, url, headers=headers, content=body), stream=True
            )

    def _check_allowed(self, url: httpx2.URL, shown: str) -> None:
        if url.scheme not in PORTS:
            raise ItemRejected(f"{shown}: only http, https and file addresses can be fetched")
        if _origin(url) not in self._allowed:
            port = "" if url.port is None else f":{url.port}"
            host = f"[{url.host}]" if ":" in url.host else url.host
            raise ItemRejected(
                f'{shown}: host {host}{port} is not allowed; to allow it, add "{host}{port}" to allow_hosts under '
                f"[http] in medical_kg.toml"
            )


class FetchedResponse:
    """An open HTTP response; ``url`` is where it was found at last, fit to be shown."""

    def __init__(self, response: httpx2.Response, limit: int) -> None:
        """Keep the response; its body is not read yet."""
        self._response = response
        self._limit = limit
        self.status = response.status_code
        self.url = safe_url(str(response.url))
        self.headers: Mapping[str, str] = response.headers

    def chunks(self) -> Iterable[bytes]:
        """Give the decoded body in pieces.

        Raises:
            ItemRejected: the body is longer than the limit, or not encoded as it says.
            TransientError: the connection broke, or the body ended before its time.
        """
        return _limited(self._pieces(), self._limit, self.url)

    def _pieces(self) -> Iterator[bytes]:
        with _failures(self.url):
            yield from self._response.iter_bytes(CHUNK_BYTES)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the connection."""
        self._response.close()


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
        return _limited(iter(lambda: self._file.read(CHUNK_BYTES), b""), self._limit, self.url)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self._file.close()


def _limited(pieces: Iterator[bytes], limit: int, shown: str) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise _too_long(shown, limit)
        yield piece


def _too_long(shown: str, limit: int) -> ItemRejected:
    return ItemRejected(f"{shown}: longer than the limit of {limit} bytes (max_bytes)")


@contextmanager
def _failures(shown: str) -> Iterator[None]:
    """Say what failed without the client's own words about the address, which may hold secrets."""
    import httpx2

    try:
        yield
    except httpx2.DecodingError as error:
        raise ItemRejected(f"{shown}: the body is not encoded as it says: {error}") from None
    except httpx2.LocalProtocolError as error:
        raise ItemRejected(f"{shown}: the request cannot be sent ({type(error).__name__})") from None
    except httpx2.TimeoutException as error:
        raise TransientError(f"{shown}: no answer in time ({type(error).__name__})") from None
    except httpx2.TransportError as error:
        raise TransientError(f"{shown}: {type(error).__name__}: {error}") from None


def _refuse(response: httpx2.Response, now: float) -> NoReturn:
    status = response.status_code
    message = f"{safe_url(str(response.url))}: HTTP {status} {response.reason_phrase}".rstrip()
    if _may_pass(status):
        raise TransientError(message, retry_after=_retry_after(response.headers.get("retry-after"), now))
    raise ItemRejected(message)


def _may_pass(status: int) -> bool:
    return status in PASSING or status >= 500  # noqa: PLR2004  # 5xx is the server's trouble


def _check_length(response: httpx2.Response, limit: int) -> None:
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and "content-encoding" not in response.headers and int(announced) > limit:
        raise _too_long(safe_url(str(response.url)), limit)


def _retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds, or a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def _parsed(url: str, base: httpx2.URL | None = None) -> httpx2.URL:
    import httpx2

    try:
        parsed = base.join(url) if base is not None else httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        raise ItemRejected(f"{safe_url(url)} is not an address that can be fetched") from None
    return parsed


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.raw_host.decode("ascii"), url.port or PORTS.get(url.scheme, 0)


def _origins(entry: str) -> Iterator[tuple[str, str, int]]:
    """Read an entry of ``allow_hosts``: without a scheme it allows http and https."""
    schemes = [entry.partition("://")[0]] if "://" in entry else list(PORTS)
    rest = entry.rpartition("://")[2]
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "", parts.port
        ascii_host = host.encode("idna").decode("ascii")
    except ValueError:
        host, port, ascii_host = "", None, ""
    bare = f"[{host}]" if ":" in host else host
    if not host or rest.lower() != (bare if port is None else f"{bare}:{port}") or not set(schemes) <= set(PORTS):
        raise SettingsError(
            f'[http] allow_hosts in medical_kg.toml: {entry!r} is no host; write "example.org" or "127.0.0.1:8080"'
        )
    for scheme in schemes:
        yield scheme, ascii_host, port or PORTS[scheme]


def _no_chatter(record: logging.LogRecord) -> bool:
    """Keep the client's own log lines out: they show whole addresses and headers."""
    return record.levelno >= logging.WARNING
