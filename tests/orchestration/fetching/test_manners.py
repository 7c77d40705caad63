"""Manners and patience of the client: who it says it is, how much it asks at once, how long it waits, whose turn it is."""

from __future__ import annotations

import gc
import gzip
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from loopback import Server, answer
from misbehaving import bomb, busy, chatter, cut_gzip, drips, elsewhere, endless, garbled, reset, silent, truncated

from medical_kg.orchestration.contract.errors import ItemRejected, SettingsError, TransientError
from medical_kg.orchestration.fetching import HttpService, Limits, user_agent
from medical_kg.orchestration.fetching.failures import Overdue
from medical_kg.orchestration.fetching.settings import HttpSettings
from medical_kg.orchestration.fetching.slots import Slots
from medical_kg.orchestration.workspace import Workspace
from medical_kg.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def http(server: Server, clock: FakeClock) -> Iterator[HttpService]:
    service = HttpService([server.host], limits=Limits(timeout=5, deadline=60), clock=clock)
    yield service
    service.close()


def text(http: Any, url: str, **more: Any) -> bytes:
    with http.get(url, **more) as response:
        return b"".join(response.chunks())


# Who asks


def test_servers_are_told_who_asks(server: Server, tmp_path: Any) -> None:
    """The User-Agent has name and version, and the operator's mail address where the settings have one."""
    server.routes["/x"] = answer(b"ok")
    assert user_agent().startswith("medical-kg/")
    (tmp_path / "medical_kg.toml").write_text(f'[http]\nallow_hosts = ["{server.host}"]\ncontact = "me@example.org"\n')
    workspace = Workspace(tmp_path / "kg")
    assert text(workspace.http, server.url("/x")) == b"ok"
    assert server.seen[0][1]["user-agent"] == f"{user_agent()} (mailto:me@example.org)"
    workspace.close()
    assert workspace.http._client is None


def test_the_settings_reach_the_service(tmp_path: Any) -> None:
    """Each field of the table does something."""
    (tmp_path / "medical_kg.toml").write_text(
        "[http]\nallow_public = false\ntrust_environment = true\ntimeout_seconds = 1\ndeadline_seconds = 2\n"
        "max_connections = 3\nmax_connections_per_host = 5\n"
    )
    http = Workspace(tmp_path / "kg").http
    assert http._limits == Limits(timeout=1, deadline=2, connections=3, connections_per_host=5)
    assert http._trust_environment
    with pytest.raises(ItemRejected, match=r"host example.org is not allowed"):
        http.get("http://example.org/")
    with pytest.raises(ItemRejected, match="not a public address"):
        Workspace(tmp_path / "other" / "kg").http.get("http://10.0.0.1/")


@pytest.mark.parametrize("contact", ["me", "me@host", "a b@example.org", "me@example.org\r\nX-Evil: 1", "<a@b.c>", ""])
def test_a_contact_is_a_mail_address(contact: str) -> None:
    """Nothing else gets into the header."""
    with pytest.raises(ValueError, match="contact"):
        HttpSettings(contact=contact)


# What was there before


def test_who_asks_for_changes_is_told_that_there_are_none(http: HttpService, server: Server) -> None:
    """A conditional request may be answered by 304; others that are, are refused as before."""
    server.routes["/x"] = answer(status=304, ETag='"v1"')
    for header in ("If-None-Match", "if-modified-since"):
        with http.get(server.url("/x"), headers={header: '"v1"'}) as response:
            assert (response.status, list(response.chunks())) == (304, [])
    with pytest.raises(ItemRejected, match="HTTP 304"):
        http.get(server.url("/x"))


def test_who_asks_for_a_range_is_told_that_there_is_none(http: HttpService, server: Server) -> None:
    """416 answers who asked for a range, and only those."""
    server.routes["/x"] = answer(status=416, Content_Range="bytes */4")
    with http.get(server.url("/x"), headers={"Range": "bytes=4-"}) as response:
        assert (response.status, response.headers["content-range"]) == (416, "bytes */4")
    with pytest.raises(ItemRejected, match="HTTP 416"):
        http.get(server.url("/x"))


# How long


@pytest.mark.parametrize("slow", ["body", "headers"])
def test_a_request_has_a_time_in_all(http: HttpService, server: Server, clock: FakeClock, slow: str) -> None:
    """A server that keeps sending a little is left when the request's time is over, whatever each wait was."""
    server.routes["/x"] = drips(bytes(100), between=lambda: clock.advance(7), pieces=100)
    if slow == "headers":
        server.routes["/x"] = lambda request: (clock.advance(61), answer(b"late")(request))[-1]
    with pytest.raises(TransientError, match=r"longer than 60 seconds in all \(deadline_seconds\)"):
        text(http, server.url("/x"))


def test_a_silent_server_is_left(server: Server) -> None:
    """Each silence has its limit, and no more than the request has left."""
    server.routes["/x"] = silent()
    for limits in (Limits(timeout=0.05), Limits(timeout=60, deadline=0.05)):
        with pytest.raises(TransientError, match=r"no answer in time|seconds in all"):
            HttpService([server.host], limits=limits).get(server.url("/x"))


# How much


NOTHING_AT_LENGTH = answer(gzip.compress(b"") * 20_000, length=-1, Content_Encoding="gzip")


@pytest.mark.parametrize("handler", [bomb(), endless(), bomb(2_000_000)])
def test_a_body_stops_at_its_limit(http: HttpService, server: Server, handler: Any) -> None:
    """A bomb, and a body without end, are left early; nothing beyond the limit is handed on."""
    server.routes["/x"] = handler
    received: list[int] = []
    with http.get(server.url("/x"), max_bytes=300_000) as response, pytest.raises(ItemRejected, match="300000 bytes"):
        received.extend(len(chunk) for chunk in response.chunks())
    assert 0 < sum(received) <= 300_000


def test_what_is_sent_has_the_same_limit(http: HttpService, server: Server) -> None:
    """A body that is long on the way and unpacks to nothing is left too."""
    server.routes["/x"] = NOTHING_AT_LENGTH
    with pytest.raises(ItemRejected, match="300000 bytes"):
        text(http, server.url("/x"), max_bytes=300_000)


@pytest.mark.parametrize(
    ("handler", "error", "said"),
    [
        (reset(), TransientError, r"ReadError|RemoteProtocolError"),
        (reset(bytes(9000), 5000), TransientError, r"ReadError|RemoteProtocolError"),
        (truncated(bytes(9000)), TransientError, "RemoteProtocolError"),
        (cut_gzip(bytes(9000)), TransientError, "cut off in the middle of its encoding"),
        (garbled(), ItemRejected, "not encoded as it says"),
        (chatter(), TransientError, "RemoteProtocolError"),
        (answer(b"x", Content_Encoding="br"), ItemRejected, "'br', which was not asked for"),
    ],
)
def test_broken_answers_have_their_error(
    http: HttpService, server: Server, handler: Any, error: type[Exception], said: str
) -> None:
    """What may be whole next time is transient, what will not is rejected; no broken body is taken for a whole one."""
    server.routes["/x"] = handler
    with pytest.raises(error, match=said):
        text(http, server.url("/x"))


# How many


def test_a_host_has_a_few_slots() -> None:
    """When all are taken and none ends, that is said with the setting; those of another host are its own."""
    slots = Slots(per_host=2)
    release, _ = slots.take("a.test", 0), slots.take("a.test", 0)
    with pytest.raises(Overdue, match=r"2 requests to a.test are open already \(max_connections_per_host\)"):
        slots.take("a.test", 0)
    slots.take("b.test", 0)
    release()
    slots.take("a.test", 0)


def test_a_host_is_asked_a_few_things_at_a_time(server: Server) -> None:
    """Many threads ask one host; never more than allowed are there at once, and all are served."""
    present, most, lock, all_there = [0], [0], threading.Lock(), threading.Barrier(3)

    def respond(request: Any) -> None:
        with lock:
            present[0] += 1
            most[0] = max(most[0], present[0])
        all_there.wait()
        with lock:
            present[0] -= 1
        answer(b"ok")(request)

    server.routes["/x"] = respond
    http = HttpService([server.host], limits=Limits(connections_per_host=3))
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(text(http, server.url("/x")))) for _ in range(21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    http.close()
    assert (got, most) == ([b"ok"] * 21, [3])


def test_connections_are_few_and_used_again(server: Server) -> None:
    """All hosts together have so many connections; one whose answer was read to the end serves the next request."""
    ports: list[int] = []

    def respond(request: Any) -> None:
        request.protocol_version = "HTTP/1.1"
        ports.append(request.client_address[1])
        answer(b"ok")(request)
        request.close_connection = False

    server.routes["/x"] = respond
    http = HttpService([server.host], limits=Limits(connections=1))
    assert [text(http, server.url("/x")) for _ in range(3)] == [b"ok"] * 3
    assert len(set(ports)) == 1
    with http.get(server.url("/x")):
        http._opened_client().timeout = httpx2.Timeout(0.05)
        with pytest.raises(TransientError, match="PoolTimeout"):
            http.get(server.url("/x"))
    http.close()


def test_what_nobody_closes_is_let_go(server: Server) -> None:
    """A response that is dropped gives its slot back, as one that failed does."""
    server.routes |= {"/x": answer(b"ok"), "/gone": answer(status=404), "/on": elsewhere("/x"), "/busy": busy()}
    http = HttpService([server.host], limits=Limits(connections_per_host=1, deadline=30))
    http.get(server.url("/x"))
    gc.collect()
    for path in ("/gone", "/busy"):
        with pytest.raises((ItemRejected, TransientError)):
            http.get(server.url(path))
    with pytest.raises(ItemRejected):
        http.get(server.url("/x"), max_bytes=1)
    assert text(http, server.url("/on")) == b"ok"
    http.close()


def test_one_client_for_all_threads(http: HttpService, server: Server) -> None:
    """The process has one client, whoever asks first."""
    server.routes["/x"] = answer(b"ok")
    clients: set[int] = set()
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        clients.add(id(http._opened_client()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 1


# Whose turn


class Turns:
    """Notes who asked for a turn and how it ended; ``refusal`` is raised instead of giving one."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.paces: list[float | None] = []
        self.ended: list[type[BaseException] | None] = []
        self.refusal: TransientError | None = None

    def take(self, host: str, per_second: float | None = None) -> Turn:
        self.taken.append(host)
        self.paces.append(per_second)
        if self.refusal:
            raise self.refusal
        return Turn(self)


class Turn:
    def __init__(self, turns: Turns) -> None:
        self._turns: Turns | None = turns

    def over(self, error: TransientError | None = None) -> None:
        if self._turns is not None:
            self._turns.ended.append(None if error is None else type(error))
        self._turns = None


def test_each_request_waits_for_its_turn(http: HttpService, server: Server) -> None:
    """Each hop and each answer has a turn of its host, told once how it ended; what is refused before takes none."""
    turns = Turns()
    polite = http.under(turns)
    server.routes |= {
        "/on": elsewhere("/x"),
        "/x": answer(b"ok"),
        "/busy": busy(503, 7),
        "/gone": answer(status=404),
        "/cut": truncated(b"12345678"),
        "/reset": reset(),
        "/away": elsewhere("http://127.0.0.9:9/"),
    }
    assert text(polite, server.url("/on")) == b"ok"
    assert (turns.taken, turns.ended) == ([server.host] * 2, [None, None])
    with polite.post(server.url("/x"), b"1"):
        pass
    for path in ("/busy", "/gone", "/cut", "/reset", "/away"):
        with pytest.raises((ItemRejected, TransientError)):
            text(polite, server.url(path))
    with pytest.raises(ItemRejected, match="not allowed"):
        polite.get("http://example.org/")
    assert turns.taken == [server.host] * 8
    assert turns.ended[2:] == [None, TransientError, None, TransientError, TransientError, None]
    assert text(http, server.url("/x")) == b"ok"
    assert len(turns.taken) == 8


def test_a_services_own_pace_goes_with_each_turn(http: HttpService, server: Server) -> None:
    """With each hop of the request that names it, and with no other."""
    turns = Turns()
    server.routes |= {"/on": elsewhere("/x"), "/x": answer(b"ok")}
    for pace in (3.0, None):
        with http.under(turns).get(server.url("/on"), per_second=pace):
            pass
    with http.under(turns).post(server.url("/x"), b"1"):
        pass
    assert turns.paces == [3.0, 3.0, None, None, None]


def test_who_gets_no_turn_asks_nothing(http: HttpService, server: Server) -> None:
    """A refusal of the turn is raised as it is, and nothing is sent."""
    turns = Turns()
    turns.refusal = TransientError("circuit open")
    for _ in range(9):  # more than there are slots: each is given back
        with pytest.raises(TransientError, match=r"^circuit open$"):
            http.under(turns).get(server.url("/x"))
    assert server.seen == []


# The environment


def test_proxies_are_used_where_the_settings_ask_for_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is asked for the address as a whole, without a look-up here; exceptions go directly."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://user:pa%40ss@{server.host}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.routes |= {"http://example.org/x": answer(b"by proxy"), "/x": answer(b"directly")}
    http = HttpService([server.host], public=True, trust_environment=True, limits=Limits(timeout=5))
    assert text(http, "http://example.org/x") == b"by proxy"
    assert server.seen[0][1]["proxy-authorization"] == "Basic dXNlcjpwYUBzcw=="
    assert text(http, server.url("/x")) == b"directly"
    with pytest.raises(ItemRejected, match="not a public address"):
        http.get("http://10.0.0.1/")
    http.close()
    assert "proxy-authorization" not in server.seen[1][1]


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the setting, and not the proxy's password."""
    monkeypatch.setenv("ALL_PROXY", "socks5://me:geheim@127.0.0.1:9")
    with pytest.raises(SettingsError, match=r"socks5://127.0.0.1:9.*trust_environment under \[http\]") as refusal:
        HttpService(public=True, trust_environment=True).get("http://example.org/")
    assert "geheim" not in str(refusal.value)
