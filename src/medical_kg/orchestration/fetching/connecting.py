"""Connections to addresses that were looked at: a name is looked up once, and what was checked is connected to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from httpcore2 import ConnectError, ConnectTimeout, NetworkBackend, NetworkStream, SyncBackend

from medical_kg.orchestration.fetching.deadlines import within
from medical_kg.orchestration.fetching.failures import Refused

if TYPE_CHECKING:
    import ssl

    from medical_kg.orchestration.fetching.access import Access

Resolve = Callable[[str, int], Sequence[str]]
ABSENT = frozenset(getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_FAIL") if hasattr(socket, name))
"""What a resolver says of a name that there is not, rather than of its own trouble."""
ANYWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses that nobody has; a way there is a way to the internet."""


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, in the order in which they are to be tried.

    Raises:
        Refused: there is no such name.
        httpcore2.ConnectError: the resolver could not tell, or this machine is offline.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in ABSENT and is_online():
            raise Refused(f"there is no host {host}: {error.strerror}") from None
        raise ConnectError(f"host {host} cannot be looked up: {error.strerror}") from None
    except UnicodeError:
        raise Refused(f"{host} cannot be the name of a host") from None
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def is_online(anywhere: Iterable[tuple[int, str]] = ANYWHERE) -> bool:
    """Whether this machine has a way to the internet; without one, that a name is not found says nothing about it."""
    for family, address in anywhere:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # of datagrams, this sends nothing
            return True
    return False


class TimedBackend(NetworkBackend):
    """The client's own connections, with the time of the request that uses them.

    Args:
        network: what connects; the machine's sockets unless given.
    """

    def __init__(self, network: NetworkBackend | None = None) -> None:
        """Keep what connects."""
        self._network = network or SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        """Connect to a host."""
        stream = self._network.connect_tcp(host, port, within(timeout), local_address, socket_options)
        return TimedStream(stream)


class CheckedBackend(TimedBackend):
    """Looks a name up once, has all its addresses checked, and connects to the first of them that answers.

    The name stays the one of the TLS handshake, the certificate and the Host header: those never see the address.

    Args:
        access: what may be asked.
        resolve: looks names up.
        network: what connects; the machine's sockets unless given.
    """

    def __init__(self, access: Access, resolve: Resolve, network: NetworkBackend | None = None) -> None:
        """Keep what checks and what looks up."""
        super().__init__(network)
        self._access, self._resolve = access, resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        """Connect to one of a host's addresses.

        Raises:
            Refused: one of its addresses may not be asked.
            httpcore2.ConnectError, httpcore2.ConnectTimeout: none of them answers.
        """
        addresses = self._resolve(host, port)
        self._access.check_addresses(host, port, addresses)
        failed: ConnectError | ConnectTimeout = ConnectError(f"host {host} has no address")
        for address in addresses:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (ConnectError, ConnectTimeout) as error:
                failed = error
        raise failed


class TimedStream(NetworkStream):
    """A connection on which nothing waits longer than the request that runs in this thread may."""

    def __init__(self, stream: NetworkStream) -> None:
        """Keep the connection."""
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what comes next."""
        return self._stream.read(max_bytes, within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        self._stream.write(buffer, within(timeout))

    def close(self) -> None:
        """End it."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        """Go on under TLS."""
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, within(timeout)))

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection knows of itself."""
        return self._stream.get_extra_info(info)
