"""Which addresses may be asked: what the operator lists, and the public internet where that is open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from medical_kg.orchestration.contract.errors import ItemRejected, SettingsError
from medical_kg.orchestration.fetching.addresses import is_no_hosts, is_public, spelt
from medical_kg.orchestration.fetching.failures import Refused

if TYPE_CHECKING:
    import httpx2

PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]


class Access:
    """The operator's list, and whether public hosts are open besides.

    A listed host may have a private address. Any other must be public, on the usual port of its scheme.

    Args:
        allow_hosts: ``example.org`` (the usual ports of http and https), ``127.0.0.1:8080``, ``https://example.org``.
        public: whether hosts with public addresses are open without being listed.

    Raises:
        SettingsError: an entry of ``allow_hosts`` cannot be read.
    """

    def __init__(self, allow_hosts: Iterable[str] = (), *, public: bool = False) -> None:
        """Read the list."""
        self._listed = frozenset(origin for entry in allow_hosts for origin in _origins(entry))
        self._names = frozenset((host, port) for _, host, port in self._listed)
        self._public = public

    def check(self, url: httpx2.URL, shown: str) -> None:
        """Check an address before anything is asked; the addresses of a name are checked when it is connected to.

        Raises:
            ItemRejected: it may not be asked.
        """
        if url.scheme not in PORTS:
            raise ItemRejected(f"{shown}: only http, https and file addresses can be fetched")
        scheme, host, port = origin = origin_of(url)
        try:
            address = spelt(host)
        except ValueError:
            msg = f"{shown}: host {host} cannot be asked: write an address as four plain numbers, or as IPv6"
            raise ItemRejected(msg) from None
        if origin in self._listed:
            return
        if not self._public:
            raise ItemRejected(f"{shown}: host {_written(url)} is not allowed; {_advice(_written(url))}")
        if port != PORTS[scheme]:
            raise ItemRejected(f"{shown}: port {port} is not open for {scheme}; {_advice(_written(url))}")
        if address is not None and not is_public(address):
            raise ItemRejected(f"{shown}: {host} is not a public address; {_advice(_written(url))}")

    def check_addresses(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Check every address that a name has, before one of them is connected to.

        Raises:
            Refused: one of them is not public and the host is not listed; or it is one that no listed name may have.
        """
        listed = (host, port) in self._names
        for text in addresses:
            address = ip_address(text)
            if listed and (spelt(host) == address or not is_no_hosts(address)):
                continue
            if not is_public(address):
                wish = f"{_bracketed(text)}:{port}" if listed else f"{_bracketed(host)}:{port}"
                raise Refused(f"{host} has the address {text}, which is not public; {_advice(wish)}")


def origin_of(url: httpx2.URL) -> Origin:
    """Return scheme, host (lower case, ASCII) and port."""
    return url.scheme, url.raw_host.decode("ascii").lower(), url.port or PORTS.get(url.scheme, 0)


def host_of(url: httpx2.URL) -> str:
    """Return the host, with its port where that is not the scheme's own."""
    _, host, port = origin_of(url)
    return host if port == PORTS.get(url.scheme) else f"{_bracketed(host)}:{port}"


def _written(url: httpx2.URL) -> str:
    return _bracketed(url.host) if url.port is None else f"{_bracketed(url.host)}:{url.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _advice(entry: str) -> str:
    return f'to allow it, add "{entry}" to allow_hosts under [http] in medical_kg.toml'


def _origins(entry: str) -> Iterator[Origin]:
    """Read an entry of ``allow_hosts``: without a scheme it allows http and https."""
    schemes = [entry.partition("://")[0]] if "://" in entry else list(PORTS)
    rest = entry.rpartition("://")[2]
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "", parts.port
        ascii_host = host.encode("idna").decode("ascii")
    except ValueError:
        host, port, ascii_host = "", None, ""
    bare = _bracketed(host)
    if not host or rest.lower() != (bare if port is None else f"{bare}:{port}") or not set(schemes) <= set(PORTS):
        raise SettingsError(
            f'[http] allow_hosts in medical_kg.toml: {entry!r} is no host; write "example.org" or "127.0.0.1:8080"'
        )
    for scheme in schemes:
        yield scheme, ascii_host, port or PORTS[scheme]
