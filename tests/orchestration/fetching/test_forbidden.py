"""Nobody talks the client into asking a private address: the attacks, each against real sockets or none at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import httpcore2
import httpx2
import pytest
from loopback import Server, answer
from misbehaving import elsewhere

from medical_kg.orchestration.contract.errors import ItemRejected, TransientError
from medical_kg.orchestration.fetching import HttpService, Limits
from medical_kg.orchestration.fetching.access import host_of
from medical_kg.orchestration.fetching.connecting import CheckedBackend, is_online, resolve
from medical_kg.orchestration.fetching.transport import Transport

ELSEWHERE = "93.184.216.34"
"""A public address; in these tests a connection to it arrives at the loopback server."""


class Network(httpcore2.NetworkBackend):
    """Notes each connection, and lets those to ``ELSEWHERE`` arrive at a server on the loopback address."""

    def __init__(self, server: Server) -> None:
        self.asked: list[tuple[str, int]] = []
        self._there = ("127.0.0.1", server.http.server_port)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        self.asked.append((host, port))
        if host != ELSEWHERE:
            raise httpcore2.ConnectError("nobody there")
        return httpcore2.SyncBackend().connect_tcp(*self._there, timeout)


class Names:
    """A resolver whose answers change: each name has them in turn, the last one for ever."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._names.get(host, [[host]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Service(HttpService):
    def __init__(self, network: Network, names: Names, allow_hosts: Iterable[str] = (), **more: Any) -> None:
        super().__init__(allow_hosts, public=True, limits=Limits(timeout=5), **more)
        self._network, self._given = network, names

    def _transport(self) -> httpx2.BaseTransport:
        return Transport(CheckedBackend(self._access, self._given, self._network), self._limits)


@pytest.fixture
def network(server: Server) -> Network:
    return Network(server)


@pytest.fixture
def public(network: Network) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(*allow_hosts: str, **names: Sequence[Sequence[str]]) -> Service:
        made.append(Service(network, Names(**names), allow_hosts))
        return made[-1]

    yield make
    for one in made:
        one.close()


def text(http: HttpService, url: str) -> bytes:
    with http.get(url) as response:
        return b"".join(response.chunks())


def test_a_public_host_is_asked_by_the_address_that_was_looked_at(
    public: Callable[..., Service], network: Network, server: Server
) -> None:
    """A name is looked up once, its address is connected to, and the server is told the name."""
    server.routes["/x"] = answer(b"here")
    http = public(example_org=[[ELSEWHERE]])
    assert text(http, "http://example.org/x") == b"here"
    assert (network.asked, http._given.asked) == ([(ELSEWHERE, 80)], ["example.org"])
    assert server.seen[0][1]["host"] == "example.org"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        [ELSEWHERE, "127.0.0.1"],
        ["10.0.0.1", ELSEWHERE],
        ["169.254.169.254"],
        ["0.0.0.0"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1%lo"],
        ["100.64.0.1"],
    ],
)
def test_every_address_of_a_name_must_be_public(
    public: Callable[..., Service], network: Network, addresses: list[str]
) -> None:
    """One private address among a name's is enough: nothing is connected to, and the message says what to list."""
    with pytest.raises(
        ItemRejected, match=r"not public; to allow it, add \"evil.test:80\" to allow_hosts under \[http\]"
    ):
        public(evil_test=[addresses]).get("http://evil.test/x")
    assert network.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "100.64.1.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0x7f.1",
        "[fd00:ec2::254]",
        "[2002:7f00:1::]",
        "192.168.0.1",
        "example.org@127.0.0.1",
        "127.0.0.1#@example.org",
        "127.0.0.1?@example.org",
        "example.org:80@127.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_private_addresses_are_refused_however_they_are_spelt(
    public: Callable[..., Service], network: Network, scheme: str, host: str
) -> None:
    """An address in the place of a name is judged before anything is asked, behind user names too."""
    with pytest.raises(ItemRejected, match=r"not a public address|cannot be|not an address"):
        public().get(f"{scheme}://{host}/latest/meta-data/")
    assert network.asked == []


@pytest.mark.parametrize("url", ["http://example.org:22/", "https://example.org:80/", "http://example.org:443/"])
def test_ports_of_other_services_are_closed(public: Callable[..., Service], network: Network, url: str) -> None:
    """A host that is not listed is asked on the usual port of its scheme only; a listed one on the port that is listed."""
    with pytest.raises(ItemRejected, match=r"port \d+ is not open for https?; to allow it, add \"example.org:\d+\""):
        public(example_org=[[ELSEWHERE]]).get(url)
    assert network.asked == []


def test_a_name_that_answers_differently_the_second_time(
    public: Callable[..., Service], network: Network, server: Server
) -> None:
    """Rebinding: what was checked is what is connected to; a later private answer is refused when its turn comes."""
    server.routes["/x"] = answer(b"harmless")
    http = public(evil_test=[[ELSEWHERE], ["127.0.0.1"]])
    assert text(http, "http://evil.test/x") == b"harmless"
    with pytest.raises(ItemRejected, match=r"evil.test has the address 127.0.0.1, which is not public"):
        http.get("http://evil.test/x")
    assert (network.asked, len(http._given.asked)) == ([(ELSEWHERE, 80)], 2)


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "//[::1]/",
        "http://inner.test/",
        "https://inner.test/",
        "http://evil.test:6379/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://evil.test@127.0.0.1/",
        "javascript:0",
    ],
)
def test_a_redirect_opens_nothing(
    public: Callable[..., Service], network: Network, server: Server, target: str
) -> None:
    """Each hop is checked like the first, by name and by address."""
    server.routes["/x"] = elsewhere(target)
    with pytest.raises(ItemRejected, match=r"not public|not a public|cannot be|not open|only http, https and file"):
        public(evil_test=[[ELSEWHERE]], inner_test=[["10.1.2.3"]]).get("http://evil.test/x")
    assert network.asked == [(ELSEWHERE, 80)]


def test_a_listed_name_may_be_private_but_not_the_clouds(public: Callable[..., Service], network: Network) -> None:
    """The list opens private addresses for its names; those that belong to no name only where they are listed as such."""
    http = public("store.test", "169.254.1.1", store_test=[["10.0.0.5"], ["169.254.169.254"], ["::ffff:169.254.1.1"]])
    with pytest.raises(TransientError, match="nobody there"):
        http.get("http://store.test/x")
    for _ in range(2):
        with pytest.raises(ItemRejected, match=r"store.test has the address .*169.254.*add \"\S*169.254.*:80\""):
            http.get("http://store.test/x")
    with pytest.raises(TransientError, match="nobody there"):
        http.get("http://169.254.1.1/x")
    assert network.asked == [("10.0.0.5", 80), ("169.254.1.1", 80)]


def test_an_address_of_version_6_may_be_listed(public: Callable[..., Service], network: Network) -> None:
    """With brackets, as in an address; the turn that is taken for it is named so too."""
    with pytest.raises(TransientError, match="nobody there"):
        public("[::1]:8080").get("http://[::1]:8080/")
    assert network.asked == [("::1", 8080)]
    assert [host_of(httpx2.URL(f"http://{host}/")) for host in ("[::1]:8080", "[::1]", "A.test:80", "a.test:81")] == [
        "[::1]:8080",
        "::1",
        "a.test",
        "a.test:81",
    ]


def test_the_next_address_is_tried(public: Callable[..., Service], network: Network, server: Server) -> None:
    """An address that does not answer is no failure while there is another; the last one's is."""
    server.routes["/x"] = answer(b"there")
    http = public(two_test=[["8.8.8.8", ELSEWHERE]], none_test=[["8.8.8.8", "9.9.9.9"]], no_test=[[]])
    assert text(http, "http://two.test/x") == b"there"
    with pytest.raises(TransientError, match="ConnectError: nobody there"):
        http.get("http://none.test/x")
    with pytest.raises(TransientError, match=r"ConnectError: host no.test has no address"):
        http.get("http://no.test/x")
    assert [host for host, _ in network.asked] == ["8.8.8.8", ELSEWHERE, "8.8.8.8", "9.9.9.9"]


def test_the_name_of_the_tls_handshake_is_the_hosts(network: Network) -> None:
    """Under TLS the server is asked for by its name, and its certificate is for that, not for the address."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        network._there = door.getsockname()
        heard: list[bytes] = []

        def listen() -> None:
            with door.accept()[0] as connection:
                heard.append(connection.recv(65_536))

        ear = threading.Thread(target=listen)
        ear.start()
        with pytest.raises(TransientError, match=r"https://example.org/x: ConnectError"):
            Service(network, Names(example_org=[[ELSEWHERE]])).get("https://example.org/x")
        ear.join()
    assert b"\x00\x0bexample.org" in heard[0]
    assert network.asked == [(ELSEWHERE, 443)]


def test_the_machines_resolver() -> None:
    """Names are looked up by the machine; what cannot be a name is refused."""
    assert "127.0.0.1" in resolve("localhost", 80)
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]
    with pytest.raises(ItemRejected, match="cannot be the name of a host"):
        HttpService(public=True).get(f"http://{'a' * 64}.test/")
    with pytest.raises(ItemRejected, match=r"localhost has the address \S+, which is not public"):
        HttpService(public=True).get("http://localhost/")


def test_offline_is_told_from_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a name is not found means something only where there is a way to the internet."""

    def absent(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", absent)
    for online, error in [(True, ItemRejected), (False, TransientError)]:
        monkeypatch.setattr("medical_kg.orchestration.fetching.connecting.is_online", lambda known=online: known)
        with pytest.raises(error, match=r"gone.test"):
            HttpService(public=True).get("http://gone.test/")
    assert is_online([(socket.AF_INET, "127.0.0.1")])
    assert not is_online([])
