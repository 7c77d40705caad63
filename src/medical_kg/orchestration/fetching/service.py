"""Service ``http``: fetching for whoever asks, from where the operator's settings let it, and politely."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract import SystemClock
from medical_kg.orchestration.contract.errors import ItemRejected
from medical_kg.orchestration.contract.urls import safe_url
from medical_kg.orchestration.fetching.access import Access, host_of, origin_of
from medical_kg.orchestration.fetching.deadlines import Deadline
from medical_kg.orchestration.fetching.decoding import ACCEPTED
from medical_kg.orchestration.fetching.failures import failures, may_pass, refuse
from medical_kg.orchestration.fetching.limits import Limits
from medical_kg.orchestration.fetching.responses import FetchedFile, FetchedResponse, Opened
from medical_kg.orchestration.fetching.slots import Slots
from medical_kg.orchestration.file_area import open_local

if TYPE_CHECKING:
    import httpx2

    from medical_kg.orchestration.contract import Clock, Fetched, Http
    from medical_kg.orchestration.contract.turns import Turn, Turns
    from medical_kg.orchestration.fetching.connecting import Resolve

Take = Callable[[str], "Turn"]
"""Takes a turn at a host."""

FIRST_NO_SUCCESS = 300
NOT_MODIFIED = 304
UNSATISFIABLE = 416
MAX_HOPS = 5
CHATTY_LOGGERS = ("httpx2", *(f"httpcore2.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")))


class HttpService:
    """Opens addresses. Redirects are followed by hand, each hop checked like the first.

    Args:
        allow_hosts: ``example.org`` (the usual ports of http and https), ``127.0.0.1:8080``, ``https://example.org``.
        allow_roots: folders below which ``file://`` may read.
        public: whether hosts with public addresses are open without being listed.
        trust_environment: whether the environment's proxies and certificates are used.
        user_agent: who we say we are.
        limits: what bounds requests.
        clock: the time.
        resolve: gives the addresses of a host and port; the machine's resolver unless given.

    Raises:
        SettingsError: an entry of ``allow_hosts`` cannot be read.
    """

    def __init__(
        self,
        allow_hosts: Iterable[str] = (),
        allow_roots: Iterable[Path] = (),
        *,
        public: bool = False,
        trust_environment: bool = False,
        user_agent: str | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """Keep the settings; nothing is opened before the first request."""
        self._access = Access(allow_hosts, public=public)
        self._allow_roots: Sequence[Path] = tuple(allow_roots)
        self._trust_environment = trust_environment
        self._user_agent = user_agent
        self._limits = limits or Limits()
        self._clock: Clock = clock or SystemClock()
        self._resolve = resolve
        self._slots = Slots(self._limits.connections_per_host)
        self._lock = Lock()
        self._client: httpx2.Client | None = None

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        per_second: float | None = None,
    ) -> Fetched:
        """Open ``url``; a body longer than ``max_bytes`` (as sent, or unpacked) is refused while it is read.

        ``per_second`` counts in a run of a pipeline, where the turns of requests are kept.

        Who sends ``If-None-Match`` or ``If-Modified-Since`` may be answered with status 304, who sends ``Range`` with 206
        or 416; nobody else is.

        Raises:
            ItemRejected: the address is not allowed, or what it names is permanently absent.
            TransientError: it may pass; with ``retry_after`` where the server says so.
        """
        del per_second
        return self._get(None, url, headers, max_bytes)

    def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, max_bytes: int | None = None
    ) -> Fetched:
        """Send ``body`` to ``url``; a redirect is an answer like others: what is sent goes nowhere else.

        Raises:
            ItemRejected: the address is not allowed, or the answer is longer than ``max_bytes``.
            TransientError: it may pass; with ``retry_after`` where the server says so.
        """
        return self._post(None, url, body, headers, max_bytes)

    def under(self, turns: Turns) -> Http:
        """Return a view of this service, each of whose requests waits for its turn."""
        return _Under(self, turns)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _get(self, take: Take | None, url: str, headers: Mapping[str, str] | None, max_bytes: int | None) -> Fetched:
        limit = self._limits.max_bytes if max_bytes is None else max_bytes
        if url[:5].lower() == "file:":
            return FetchedFile(url, open_local(url, self._allow_roots), limit)
        target, given = parsed(url), dict(headers or {})
        for _ in range(MAX_HOPS + 1):
            opened = self._open(take, target, given)
            if not opened.is_redirect:
                asked_for = _answers_to(given)
                return self._taken(
                    opened, limit, refused=opened.status >= FIRST_NO_SUCCESS and opened.status not in asked_for
                )
            with opened:
                onward = parsed(opened.headers["location"], base=target)
            if origin_of(onward) != origin_of(target):
                given = {}  # what was meant for one host, perhaps a key, is not for another
            target = onward
        raise ItemRejected(f"{safe_url(url)}: more than {MAX_HOPS} redirects")

    def _post(
        self, take: Take | None, url: str, body: bytes, headers: Mapping[str, str] | None, max_bytes: int | None
    ) -> Fetched:
        limit = self._limits.max_bytes if max_bytes is None else max_bytes
        opened = self._open(take, parsed(url), dict(headers or {}), body)
        return self._taken(opened, limit, refused=may_pass(opened.status))

    def _taken(self, opened: Opened, limit: int, *, refused: bool) -> Fetched:
        try:
            if refused:
                refuse(opened.response, self._clock.now())
            opened.check_length(limit)
        except BaseException as error:
            opened.over(error)
            opened.close()
            raise
        return FetchedResponse(opened, limit)

    def _open(
        self, take: Take | None, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> Opened:
        """Send one request: checked, when the host has a slot free and gives it its turn."""
        shown = safe_url(str(url))
        self._access.check(url, shown)
        host = host_of(url)
        with failures(shown):
            release = self._slots.take(host, self._limits.deadline)
        opened = Opened(release)
        try:
            if take is not None:
                opened.turn = take(host)
            opened.deadline = Deadline(self._limits.deadline, self._clock.monotonic)
            with failures(shown), opened.deadline.running():
                opened.response = self._send(url, headers, body)
        except BaseException as error:
            opened.over(error)
            opened.close()
            raise
        return opened

    def _send(self, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None) -> httpx2.Response:
        client = self._opened_client()
        method = "GET" if body is None else "POST"
        return client.send(client.build_request(method, url, headers=headers, content=body), stream=True)

    def _opened_client(self) -> httpx2.Client:
        import httpx2

        with self._lock:
            if self._client is None:
                for name in CHATTY_LOGGERS:
                    logging.getLogger(name).addFilter(_no_chatter)
                self._client = httpx2.Client(
                    transport=self._transport(),
                    trust_env=False,
                    follow_redirects=False,
                    timeout=self._limits.timeout,
                    headers={"User-Agent": self._user_agent or user_agent(), "Accept-Encoding": ACCEPTED},
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                )
            return self._client

    def _transport(self) -> httpx2.BaseTransport:
        from medical_kg.orchestration.fetching.connecting import CheckedBackend, resolve
        from medical_kg.orchestration.fetching.transport import Transport

        backend = CheckedBackend(self._access, self._resolve or resolve)
        return Transport(backend, self._limits, trust_environment=self._trust_environment)


class _Under:
    """The service for one who must wait for a turn before each request."""

    def __init__(self, service: HttpService, turns: Turns) -> None:
        self._service, self._turns = service, turns

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        per_second: float | None = None,
    ) -> Fetched:
        take = partial(self._turns.take, per_second=per_second)
        return self._service._get(take, url, headers, max_bytes)  # noqa: SLF001  # its own other face

    def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None, max_bytes: int | None = None
    ) -> Fetched:
        return self._service._post(self._turns.take, url, body, headers, max_bytes)  # noqa: SLF001  # as above


def user_agent(contact: str | None = None) -> str:
    """Return who we say we are, with the mail address of whoever runs this where it is known."""
    name = f"medical-kg/{version('medical-kg')}"
    return f"{name} (mailto:{contact})" if contact else name


def parsed(url: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """Read an address, which may be relative to another.

    Raises:
        ItemRejected: it is none.
    """
    import httpx2

    try:
        return base.join(url) if base is not None else httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        raise ItemRejected(f"{safe_url(url)} is not an address that can be fetched") from None


def _answers_to(headers: Mapping[str, str]) -> set[int]:
    """Return the statuses besides success that answer what was asked with these headers (RFC 9110, 13 and 14)."""
    names = {name.lower() for name in headers}
    found = {NOT_MODIFIED} if names & {"if-none-match", "if-modified-since"} else set()
    return found | ({UNSATISFIABLE} if "range" in names else set())


def _no_chatter(record: logging.LogRecord) -> bool:
    """Keep the client's own log lines out: they show whole addresses and headers."""
    return record.levelno >= logging.WARNING
