"""The client's way to the network: connection pools over checked connections, through a proxy only where asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpcore2
import httpx2

from medical_kg.orchestration.contract.errors import SettingsError
from medical_kg.orchestration.contract.urls import safe_url
from medical_kg.orchestration.fetching.connecting import TimedBackend

if TYPE_CHECKING:
    from medical_kg.orchestration.fetching.limits import Limits


class Transport(httpx2.BaseTransport):
    """Sends requests over pooled connections.

    Args:
        backend: makes the connections.
        limits: how many there may be.
        trust_environment: whether ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` name proxies to go
            through, and ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` the certificates to trust. What is asked through a proxy is
            looked up by the proxy.

    Raises:
        SettingsError: a variable names something that is no HTTP proxy.
    """

    def __init__(self, backend: TimedBackend, limits: Limits, *, trust_environment: bool = False) -> None:
        """Open nothing yet."""
        self._limits = limits
        self._tls = httpx2.create_ssl_context(trust_env=trust_environment)
        self._proxies = _proxies(getproxies_environment()) if trust_environment else {}
        self._direct = self._pool(backend)
        self._through: dict[str, httpcore2.ConnectionPool] = {}
        self._lock = Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return what answers it, its body unread."""
        url = request.url
        answer = self._way(url).handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions
        )

    def close(self) -> None:
        """Close the connections."""
        for pool in (self._direct, *self._through.values()):
            pool.close()

    def _way(self, url: httpx2.URL) -> httpcore2.ConnectionPool:
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if proxy is None or proxy_bypass(url.host):
            return self._direct
        with self._lock:
            if proxy not in self._through:
                self._through[proxy] = self._pool(TimedBackend(), _proxy(proxy))
            return self._through[proxy]

    def _pool(self, backend: TimedBackend, proxy: httpcore2.Proxy | None = None) -> httpcore2.ConnectionPool:
        return httpcore2.ConnectionPool(
            ssl_context=self._tls,
            proxy=proxy,
            max_connections=self._limits.connections,
            max_keepalive_connections=self._limits.connections,
            keepalive_expiry=self._limits.idle_seconds,
            network_backend=backend,
        )


class _Body(httpx2.SyncByteStream):
    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


def _proxies(named: Mapping[str, str]) -> dict[str, str]:
    found = {scheme: url for scheme, url in named.items() if scheme in ("http", "https", "all")}
    for url in found.values():
        if urlsplit(url).scheme not in ("http", "https"):
            raise SettingsError(
                f"the environment names the proxy {safe_url(url)}, which is not an http or https address; change the "
                "variable, or trust_environment under [http] in medical_kg.toml"
            )
    return found


def _proxy(url: str) -> httpcore2.Proxy:
    parts = urlsplit(url)
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore2.Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", auth=auth)
