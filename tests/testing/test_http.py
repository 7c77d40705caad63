"""``FakeHttp``: canned answers behind the real service's rules."""

from __future__ import annotations

import copy
import pickle

import pytest

from medical_kg import ItemRejected, TransientError
from medical_kg.testing import Answer, FakeHttp, Request

URL = "https://example.org/a.pdf"


def body(http: FakeHttp, url: str = URL, **options: object) -> bytes:
    with http.get(url, **options) as response:  # type: ignore[arg-type]  # max_bytes or headers
        return b"".join(response.chunks())


def test_a_body_is_an_answer() -> None:
    """Bytes and text are bodies of a 200; what was asked is recorded with the stage's own headers."""
    http = FakeHttp({URL: b"%PDF-", "https://example.org/t": "text é"})
    with http.get(URL, headers={"X-Key": "1"}) as response:
        assert (response.status, response.url, b"".join(response.chunks())) == (200, URL, b"%PDF-")
    assert body(http, "https://example.org/t") == "text é".encode()
    assert http.requests == [Request(URL, {"X-Key": "1"}), Request("https://example.org/t", {})]
    assert http.urls == [URL, "https://example.org/t"]


def test_what_is_sent_is_recorded() -> None:
    """A request's body stands beside its headers; a refusal is for the stage to judge, a passing one is transient."""
    http = FakeHttp({URL: [Answer("yes", status=400), Answer(status=503)]})
    with http.post(URL, b"question", headers={"X-Key": "1"}) as response:
        assert (response.status, b"".join(response.chunks())) == (400, b"yes")
    assert http.requests == [Request(URL, {"X-Key": "1"}, b"question")]
    with pytest.raises(TransientError, match="HTTP 503"):
        http.post(URL, b"again")


def test_status_and_headers() -> None:
    """A whole answer has headers; statuses are the errors they are in the engine."""
    http = FakeHttp(
        {
            URL: Answer(b"x", headers={"Content-Type": "text/html"}),
            "https://example.org/gone": Answer(status=410),
            "https://example.org/busy": Answer(status=503, headers={"Retry-After": "7"}),
        }
    )
    with http.get(URL) as response:
        assert response.headers["content-type"] == "text/html"
    with pytest.raises(ItemRejected, match="HTTP 410"):
        http.get("https://example.org/gone")
    with pytest.raises(TransientError, match="HTTP 503") as caught:
        http.get("https://example.org/busy")
    assert caught.value.retry_after == 7


def test_answers_in_turn() -> None:
    """A list is one answer for each request, and its last one stays."""
    http = FakeHttp({URL: [TransientError("no line"), Answer(status=500), b"at last"]})
    with pytest.raises(TransientError, match="no line"):
        http.get(URL)
    with pytest.raises(TransientError, match="HTTP 500"):
        http.get(URL)
    assert [body(http), body(http)] == [b"at last", b"at last"]
    with pytest.raises(ValueError, match="needs at least one"):
        FakeHttp({URL: []})


def test_what_is_not_allowed() -> None:
    """Hosts without an answer are refused as by the settings; an allowed one without this answer says 404."""
    http = FakeHttp({URL: b""}, allow_hosts=["example.com"])
    with pytest.raises(ItemRejected, match=r"host example\.net is not allowed; to allow it, add"):
        http.get("https://example.net/")
    for url in ("https://example.org/b", "https://example.com/"):
        with pytest.raises(ItemRejected, match="HTTP 404"):
            http.get(url)
    with pytest.raises(ItemRejected, match="only http, https and file"):
        http.get("ftp://example.org/")
    assert "https://example.net/" not in http.urls


def test_redirects_lead_to_other_answers() -> None:
    """Each hop is a request, checked like the first."""
    http = FakeHttp(
        {
            URL: Answer(status=302, headers={"Location": "/b"}),
            "https://example.org/b": Answer(status=301, headers={"Location": "https://example.net/"}),
        }
    )
    with pytest.raises(ItemRejected, match=r"example\.net is not allowed"):
        http.get(URL)
    assert http.urls == [URL, "https://example.org/b"]


def test_bodies_are_cut_off() -> None:
    """``max_bytes`` is the limit, as in the engine."""
    with pytest.raises(ItemRejected, match="longer than the limit of 2 bytes"):
        body(FakeHttp({URL: b"abc"}), max_bytes=2)
    with pytest.raises(ItemRejected, match="longer than the limit"):
        body(FakeHttp({"file:///a.txt": b"abc"}), "file:///a.txt", max_bytes=2)


def test_files() -> None:
    """A canned file is given with its media type; any other is refused."""
    http = FakeHttp({"file:///a.html": "x"})
    with http.get("file:///a.html") as response:
        assert (response.headers["content-type"], b"".join(response.chunks())) == ("text/html", b"x")
    with pytest.raises(ItemRejected, match="not below an allowed folder"):
        http.get("file:///b.html")


def test_copies_and_other_processes() -> None:
    """A fake that was used may be copied and pickled; the copy goes on by itself."""
    http = FakeHttp({URL: b"x"})
    body(http)
    for other in (copy.deepcopy(http), pickle.loads(pickle.dumps(http))):
        assert body(other) == b"x"
        assert len(other.requests) == 2
    assert len(http.requests) == 1
