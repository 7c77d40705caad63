"""The services ``files`` and ``http``: nothing half-written, nothing fetched from where it is not allowed."""

from __future__ import annotations

import gc
import gzip
import hashlib
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loopback import Server, answer

from medical_kg.orchestration.contract.errors import ItemRejected, SettingsError, StorageError, TransientError
from medical_kg.orchestration.fetching import Limits
from medical_kg.orchestration.fetching.access import Access
from medical_kg.orchestration.services import FileArea, HttpService
from medical_kg.testing import FakeClock

Handler = Callable[[BaseHTTPRequestHandler], None]
SECRETS = ("geheim", "tok123", "frag9")


def everything(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


# The file area


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    """A stored file has its digest as name, can be read again, and equal content is one file."""
    area = FileArea(tmp_path)
    stored = area.put([b"%PDF-", b"1.7"], suffix=".pdf")
    digest = hashlib.sha256(b"%PDF-1.7").hexdigest()
    assert (stored.sha256, stored.size, stored.uri) == (digest, 8, f"file-area:{digest}.pdf")
    assert area.put(iter([b"%PDF-1.7"]), suffix=".pdf") == stored
    assert everything(tmp_path) == [tmp_path / digest[:2] / f"{digest}.pdf"]
    with area.open(stored.uri) as file:
        assert file.read() == b"%PDF-1.7"


def test_a_uri_stays_valid_when_the_workspace_moves(tmp_path: Path) -> None:
    """A uri names no folder."""
    stored = FileArea(tmp_path / "old").put([b"x"])
    shutil.move(tmp_path / "old", tmp_path / "new")
    with FileArea(tmp_path / "new").open(stored.uri) as file:
        assert file.read() == b"x"


def test_damaged_content_is_mended_by_storing_again(tmp_path: Path) -> None:
    """Storing replaces what stands under the name, so a damaged file does not stay."""
    area = FileArea(tmp_path)
    stored = area.put([b"whole"])
    everything(tmp_path)[0].write_bytes(b"wh")
    area.put([b"whole"])
    with area.open(stored.uri) as file:
        assert file.read() == b"whole"


def test_a_break_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """When the bytes stop coming, their own error is raised and no file is left."""

    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise TransientError("line cut")

    with pytest.raises(TransientError, match="line cut"):
        FileArea(tmp_path).put(broken())
    assert everything(tmp_path) == []


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_storage_error_and_leaves_nothing(tmp_path: Path) -> None:
    """What cannot be written, also when a write takes only a part, is a clear error; no file is left."""
    with file_size_limit(150_000), pytest.raises(StorageError, match=r"cannot write below .*nothing was kept"):
        FileArea(tmp_path).put([b"x" * 100_000, b"y" * 100_000])
    assert everything(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    """A file where the folder should be is reported, not passed over."""
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write below"):
        FileArea(tmp_path / "files").put([b"x"])


@pytest.mark.parametrize("suffix", ["pdf", "/../x", ".p/df", ".PDF", ".a.b.c"])
def test_a_suffix_cannot_lead_elsewhere(tmp_path: Path, suffix: str) -> None:
    """A suffix is a dot and letters, at most twice."""
    with pytest.raises(StorageError, match="suffix"):
        FileArea(tmp_path).put([b"x"], suffix=suffix)


@pytest.mark.parametrize(
    "uri",
    ["/etc/passwd", "file-area:../../etc/passwd", f"file-area:{'a' * 64}/../x", f"file-area:{'a' * 64}", "file:x"],
)
def test_nothing_outside_is_opened(tmp_path: Path, uri: str) -> None:
    """Only stored files are opened; a path, or a file that is gone, is an error."""
    with pytest.raises(StorageError, match="cannot be opened"):
        FileArea(tmp_path).open(uri)


def test_local_files_below_allowed_folders_are_opened(tmp_path: Path) -> None:
    """A ``file://`` uri is opened below an allowed folder only, links followed before looking."""
    inside, outside = tmp_path / "in side", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "a.json").write_bytes(b"a")
    (outside / "b.json").write_bytes(b"b")
    (inside / "link.json").symlink_to(outside / "b.json")
    area = FileArea(tmp_path, allow_roots=[inside])
    with area.open((inside / "a.json").as_uri()) as file:
        assert file.read() == b"a"
    for path in (outside / "b.json", inside / "link.json", inside / ".." / "outside" / "b.json"):
        with pytest.raises(StorageError, match=r"allow_roots under \[http\]"):
            area.open(f"file://{path}")


def test_a_file_in_pieces(tmp_path: Path) -> None:
    """A file may be written over a while; it is there when it is kept, and gone when it is given up or forgotten."""
    area = FileArea(tmp_path)
    kept, given_up, forgotten = area.begin(), area.begin(), area.begin()
    for unfinished in (kept, given_up, forgotten):
        unfinished.write(b"%PDF-")
        unfinished.write(b"1.7")
        assert unfinished.size == 8
    assert len(everything(tmp_path)) == 3
    stored = kept.keep(suffix=".pdf")
    assert stored == area.put([b"%PDF-1.7"], suffix=".pdf")
    given_up.discard()
    given_up.discard()
    kept.discard()
    del forgotten, unfinished
    gc.collect()
    assert [path.name for path in everything(tmp_path)] == [f"{stored.sha256}.pdf"]
    with pytest.raises(StorageError, match="suffix"):
        area.begin().keep(suffix="pdf")


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    """Unfinished files whose writer is gone go when the area is next written to; those that are being written stay."""
    program = (
        "import os, pathlib, signal, sys\n"
        "from medical_kg.orchestration.file_area import FileArea\n"
        "FileArea(pathlib.Path(sys.argv[1])).begin().write(b'half')\n"
        "unfinished = FileArea(pathlib.Path(sys.argv[1])).begin()\n"
        "unfinished.write(b'half')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.read_bytes() for path in everything(tmp_path)] == [b"half"]
    at_work = FileArea(tmp_path)
    unfinished = at_work.begin()
    assert [path.read_bytes() for path in everything(tmp_path)] == [b""]
    stored = FileArea(tmp_path).put([b"another"])
    unfinished.write(b"still here")
    with at_work.open(unfinished.keep().uri) as file:
        assert file.read() == b"still here"
    with at_work.open(stored.uri) as file:
        assert file.read() == b"another"


def test_a_file_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a file and locking it somebody may sweep; nobody then writes into a file without a name."""
    make = tempfile.mkstemp
    made: list[str] = []

    def made_and_swept(**more: Any) -> tuple[int, str]:
        descriptor, name = make(**more)
        made.append(name)
        if len(made) == 1:
            Path(name).unlink()
        return descriptor, name

    monkeypatch.setattr(tempfile, "mkstemp", made_and_swept)
    assert FileArea(tmp_path).put([b"x"]).size == 1
    assert len(made) == 2


# Local files by way of http


def test_local_file_is_fetched_below_allowed_folders(tmp_path: Path) -> None:
    """A local file comes in the shape of a response, with the type its name tells."""
    (tmp_path / "a b.pdf").write_bytes(b"x" * 100_000)
    http = HttpService(allow_roots=[tmp_path])
    with http.get((tmp_path / "a b.pdf").as_uri()) as response:
        assert (response.status, response.headers["content-type"]) == (200, "application/pdf")
        assert b"".join(response.chunks()) == b"x" * 100_000
    with http.get((tmp_path / "a b.pdf").as_uri(), max_bytes=99_999) as response, pytest.raises(ItemRejected):
        list(response.chunks())


def test_special_files_are_refused(tmp_path: Path) -> None:
    """A folder, a pipe, a loop of links and an absent file are rejected at once, none blocks."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    http = HttpService(allow_roots=[tmp_path])
    for name, reason in [
        ("pipe", "not a plain file"),
        ("", "not a plain file"),
        ("absent", "No such file"),
        ("loop", "cannot be"),
    ]:
        with pytest.raises(ItemRejected, match=reason):
            http.get(f"file://{tmp_path}/{name}")


@pytest.mark.parametrize("url", ["file://elsewhere/etc/hosts", "file:etc/hosts", "file:///etc/%00hosts", "FILE://x/y"])
def test_odd_file_addresses_are_refused(url: str) -> None:
    """Only ``file:///path`` of this machine is a file."""
    with pytest.raises(ItemRejected, match="write file:///path"):
        HttpService(allow_roots=[Path("/")]).get(url)


# Hosts


@pytest.fixture
def other() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def http(server: Server) -> Iterator[HttpService]:
    service = HttpService(
        [server.host], user_agent="medical-kg-test", limits=Limits(timeout=5), clock=FakeClock(1_000_000.0)
    )
    yield service
    service.close()


def body(http: HttpService, url: str, **more: Any) -> bytes:
    with http.get(url, **more) as response:
        return b"".join(response.chunks())


def test_an_allowed_host_is_fetched(http: HttpService, server: Server) -> None:
    """The body comes decoded, the request says who we are and carries the caller's headers."""
    server.routes["/x"] = answer(gzip.compress(b"hello" * 1000), Content_Encoding="gzip", Content_Type="text/plain")
    with http.get(server.url("/x"), headers={"X-Key": "k"}) as response:
        assert (response.status, response.url) == (200, server.url("/x"))
        assert response.headers["content-type"] == "text/plain"
        assert b"".join(response.chunks()) == b"hello" * 1000
    assert server.seen[0][1]["user-agent"] == "medical-kg-test"
    assert server.seen[0][1]["x-key"] == "k"


def test_nothing_is_allowed_unless_listed(server: Server) -> None:
    """A host, a port or a scheme that is not listed is refused before any request, naming the setting."""
    for allowed in ([], ["127.0.0.1"], ["127.0.0.1:1"], [f"https://{server.host}"], ["example.org"]):
        with pytest.raises(
            ItemRejected, match=rf'add "{server.host}" to allow_hosts under \[http\] in medical_kg.toml'
        ):
            HttpService(allowed).get(server.url("/x"))
    assert server.seen == []


@pytest.mark.parametrize("url", ["ftp://example.org/x", "gopher://example.org", "//example.org/x", "x", "", "data:,x"])
def test_other_schemes_are_refused(url: str) -> None:
    """Only http, https and file can be fetched."""
    with pytest.raises(ItemRejected, match="only http, https and file"):
        HttpService(["example.org"]).get(url)


@pytest.mark.parametrize("url", ["http://exa\nmple.org/", "http://[::1/", "http://h:port/"])
def test_unreadable_addresses_are_refused(url: str) -> None:
    """An address that cannot be read is rejected, not raised as the client's own error."""
    with pytest.raises(ItemRejected, match="not an address that can be fetched"):
        HttpService(["example.org"]).get(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org@evil.test/",
        "http://example.org.evil.test/",
        "http://evil.test/example.org",
        "http://evil.test?example.org",
        "http://evil.test#example.org",
        "http://example.org:8080/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test_tricks_with_the_host_do_not_work(url: str) -> None:
    """The host that is checked is the host that would be asked."""
    with pytest.raises(ItemRejected, match=r"not allowed|cannot be"):
        HttpService(["example.org"]).get(url)


@pytest.mark.parametrize("entry", ["", "ftp://x", "a/b", "me@h", "h:", "h:99999", "::1", "a..b", "h?x"])
def test_unreadable_settings_are_refused(entry: str) -> None:
    """An entry of allow_hosts that is no host is refused when the service is made."""
    with pytest.raises(SettingsError, match="allow_hosts"):
        HttpService([entry])


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("Example.org", "https://EXAMPLE.org/x"),
        ("example.org", "http://example.org:80/x"),
        ("example.org:8080", "http://example.org:8080/x"),
        ("[::1]", "http://[::1]/x"),
        ("[::1]:81", "http://[::1]:81/x"),
        ("bücher.example", "http://xn--bcher-kva.example/x"),
        ("https://example.org", "https://example.org/x"),
    ],
)
def test_spellings_of_a_host_meet(entry: str, url: str) -> None:
    """Case, the scheme's own port and the two spellings of an international name make no difference."""
    import httpx2

    Access([entry]).check(httpx2.URL(url), url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_on_the_same_host(http: HttpService, server: Server, status: int) -> None:
    """A redirect inside the allowed is followed, also a relative one, and keeps the caller's headers."""
    server.routes |= {"/a": answer(status=status, Location="b?x=1"), "/b": answer(b"here")}
    assert body(http, server.url("/a"), headers={"X-Key": "k"}) == b"here"
    assert [path for path, _ in server.seen] == ["/a", "/b?x=1"]
    assert server.seen[1][1]["x-key"] == "k"


def test_a_redirect_to_a_host_not_allowed_is_refused(http: HttpService, server: Server, other: Server) -> None:
    """Each hop is checked: what is not allowed is never asked."""
    server.routes["/a"] = answer(status=302, Location=other.url("/b"))
    with pytest.raises(ItemRejected, match=f"{other.host} is not allowed"):
        http.get(server.url("/a"))
    assert other.seen == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://x/y"])
def test_a_redirect_never_leads_to_a_file(server: Server, target: str) -> None:
    """A server cannot point us at local files, allowed folder or not."""
    server.routes["/a"] = answer(status=302, Location=target)
    with pytest.raises(ItemRejected, match="only http, https and file"):
        HttpService([server.host], [Path("/")]).get(server.url("/a"))


def test_headers_do_not_follow_to_another_host(server: Server, other: Server) -> None:
    """A key meant for one host is not sent to another; cookies are sent to none."""
    server.routes["/a"] = answer(status=302, Location=other.url("/b"), Set_Cookie="c=1")
    other.routes["/b"] = answer(b"ok", Set_Cookie="d=2")
    http = HttpService([server.host, other.host])
    assert body(http, server.url("/a"), headers={"Authorization": "Bearer k", "X-Key": "k"}) == b"ok"
    assert body(http, other.url("/b")) == b"ok"
    http.close()
    for _, headers in other.seen:
        assert not {"authorization", "x-key", "cookie"} & set(headers)


def test_redirects_end(http: HttpService, server: Server) -> None:
    """Five redirects are followed, a sixth is not."""
    for number in range(10):
        server.routes[f"/{number}"] = answer(status=302, Location=f"/{number + 1}")
    server.routes["/10"] = answer(b"end")
    assert body(http, server.url("/5")) == b"end"
    with pytest.raises(ItemRejected, match="more than 5 redirects"):
        http.get(server.url("/4"))


@pytest.mark.parametrize("status", [304, 400, 401, 403, 404, 410, 451])
def test_permanent_refusals(http: HttpService, server: Server, status: int) -> None:
    """What will not change is rejected, with the status."""
    server.routes["/x"] = answer(status=status)
    with pytest.raises(ItemRejected, match=f"/x: HTTP {status}"):
        http.get(server.url("/x"))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (formatdate(1_000_060, usegmt=True), 60.0), (formatdate(5, usegmt=True), 0.0), ("soon", None)],
)
def test_passing_refusals(http: HttpService, server: Server, status: int, header: str, seconds: float | None) -> None:
    """What may pass is transient, with the time the server asks for."""
    server.routes["/x"] = answer(status=status, Retry_After=header)
    with pytest.raises(TransientError, match=f"HTTP {status}") as refusal:
        http.get(server.url("/x"))
    assert refusal.value.retry_after == seconds


def test_no_retry_after_asks_for_no_time(http: HttpService, server: Server) -> None:
    """Without the header the policy alone decides."""
    server.routes["/x"] = answer(status=503)
    with pytest.raises(TransientError) as refusal:
        http.get(server.url("/x"))
    assert refusal.value.retry_after is None


def test_announced_length_over_the_limit_is_not_read(http: HttpService, server: Server) -> None:
    """A body that says it is too long is refused before it is read."""
    server.routes["/x"] = answer(b"12345")
    assert body(http, server.url("/x"), max_bytes=5) == b"12345"
    with pytest.raises(ItemRejected, match="longer than the limit of 4 bytes"):
        http.get(server.url("/x"), max_bytes=4)


def test_a_limit_of_the_service_holds_where_none_is_given(server: Server) -> None:
    """No body is without limit."""
    server.routes["/x"] = answer(b"12345")
    with pytest.raises(ItemRejected, match="limit of 4 bytes"):
        HttpService([server.host], limits=Limits(max_bytes=4)).get(server.url("/x"))


def test_a_closed_door_is_transient(server: Server) -> None:
    """A host that cannot be reached may be reached later."""
    server.close()
    with pytest.raises(TransientError, match="ConnectError"):
        HttpService([server.host]).get(server.url("/x"))


def test_a_header_that_cannot_be_sent_is_not_shown(http: HttpService, server: Server) -> None:
    """A wrong header is rejected without its value."""
    with pytest.raises(ItemRejected, match="cannot be sent") as refusal:
        http.get(server.url("/x"), headers={"X-Key": "geheim\n"})
    assert "geheim" not in str(refusal.value)


def test_the_environment_has_no_say(http: HttpService, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy settings of the environment are not used."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.routes["/x"] = answer(b"direct")
    assert body(http, server.url("/x")) == b"direct"


# Sending


def sent(server: Server, **status: Any) -> list[bytes]:
    """What is posted to ``/x``, which answers with this."""
    bodies: list[bytes] = []

    def respond(request: BaseHTTPRequestHandler) -> None:
        bodies.append(request.rfile.read(int(request.headers["Content-Length"])))
        answer(b"got it", **status)(request)

    server.routes["/x"] = respond
    return bodies


@pytest.mark.parametrize("status", [200, 302, 400, 404])
def test_what_is_sent_is_answered(http: HttpService, server: Server, status: int) -> None:
    """The body arrives with the caller's headers; the caller judges the status; a redirect is not followed."""
    bodies = sent(server, status=status, Location="/other")
    with http.post(server.url("/x"), b"{}", headers={"X-Key": "k"}) as response:
        assert (response.status, b"".join(response.chunks())) == (status, b"got it")
    assert bodies == [b"{}"]
    assert server.paths == ["/x"]
    assert server.seen[0][1]["x-key"] == "k"


def test_sending_may_fail_as_fetching_does(http: HttpService, server: Server) -> None:
    """What may pass is transient, a long answer and a host that is not allowed are refused, and nothing is sent there."""
    bodies = sent(server, status=503, Retry_After="7")
    with pytest.raises(TransientError, match="HTTP 503") as caught:
        http.post(server.url("/x"), b"1")
    assert caught.value.retry_after == 7
    sent(server)
    with pytest.raises(ItemRejected, match="longer than the limit of 3 bytes"):
        http.post(server.url("/x"), b"2", max_bytes=3)
    for address in ("http://example.org/x", "file:///etc/passwd"):
        with pytest.raises(ItemRejected, match=r"not allowed|only http"):
            http.post(address, b"3")
    assert bodies == [b"1"]


# Secrets


def test_secrets_reach_no_message_and_no_log(
    http: HttpService, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """User, password, query values and fragment stand in no error, no record and no log line at any level."""
    caplog.set_level(logging.DEBUG)
    server.routes |= {"/x": answer(b"ok"), "/down": answer(status=503), "/long": answer(b"12345")}
    secret = f"http://me:geheim@{server.host}{{}}?token=tok123&tok123#frag9"
    with http.get(secret.format("/x")) as response:
        assert list(response.chunks()) == [b"ok"]
    messages = [response.url]
    for url, limit in [(secret.format("/gone"), 9), (secret.format("/down"), 9), (secret.format("/long"), 4)]:
        with pytest.raises((ItemRejected, TransientError)) as refusal:
            http.get(url, max_bytes=limit)
        messages.append(str(refusal.value))
    with pytest.raises(ItemRejected) as refusal:
        HttpService().get(secret.format("/x"))
    messages.append(str(refusal.value))
    assert messages[0] == server.url("/x?token=...&...")
    for secret_word in SECRETS:
        assert not any(secret_word in message for message in messages)
        assert secret_word not in caplog.text
