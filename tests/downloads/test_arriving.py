"""A file over several attempts: gone on with only where it is certainly the same one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import pytest

from medical_kg import ItemRejected, TransientError
from medical_kg.downloads.arriving import Arriving, validator_of
from medical_kg.testing import FakeFiles

BODY = bytes(range(256)) * 20
TAGGED = {"etag": '"v1"'}


class Response:
    url = "http://a.test/x"

    def __init__(self, pieces: Iterable[bytes], status: int = 200, **headers: str) -> None:
        self._pieces, self.status = pieces, status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def chunks(self) -> Iterable[bytes]:
        return self._pieces

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def broken(body: bytes) -> Iterator[bytes]:
    yield body
    raise TransientError("the line is cut")


@pytest.fixture
def files() -> FakeFiles:
    return FakeFiles()


@pytest.fixture
def arriving(files: FakeFiles) -> Arriving:
    return Arriving(files.begin, 10_000)


def receive(arriving: Arriving, response: Response) -> None:
    def told(head: bytes) -> None:
        assert BODY.startswith(head)
        arriving.media_type = "application/x"

    arriving.receive(response, told, response.chunks())


def break_off(arriving: Arriving, after: int = 2000, **headers: str) -> None:
    with pytest.raises(TransientError, match="line is cut"):
        receive(arriving, Response(broken(BODY[:after]), **headers))


def test_the_rest_is_asked_for_and_makes_it_whole(arriving: Arriving, files: FakeFiles) -> None:
    """What came is kept over a break; the next request names where to go on and of which state of the file."""
    assert arriving.headers == {"Accept-Encoding": "identity"}
    break_off(arriving, **TAGGED)
    assert arriving.headers == {"Accept-Encoding": "identity", "Range": "bytes=2000-", "If-Range": '"v1"'}
    receive(arriving, Response([BODY[2000:]], 206, content_range="bytes 2000-5119/5120", etag='"v1"'))
    assert files.stored[arriving.keep(".x").uri] == BODY


def test_a_file_that_changed_begins_anew(arriving: Arriving, files: FakeFiles) -> None:
    """A server whose file is another by now gives it whole, and nothing of the old one is in it."""
    break_off(arriving, **TAGGED)
    receive(arriving, Response([BODY[:300]], etag='"v2"'))
    assert files.stored[arriving.keep("").uri] == BODY[:300]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"content_range": "bytes 1999-5119/5120"}),
        (206, {"content_range": "bytes 2000-3000/5120"}),
        (206, {"content_range": "bytes 2000-5119/*"}),
        (206, {"content_range": "bytes 2000-5119/5120", "etag": '"v2"'}),
        (206, {}),
        (416, {"content_range": "bytes */2000"}),
    ],
)
def test_another_part_is_refused(arriving: Arriving, status: int, headers: dict[str, str]) -> None:
    """A part that does not join on, or is not all of the rest, is given up together with what came before."""
    break_off(arriving, **TAGGED)
    with pytest.raises(TransientError, match="another part of the file"):
        receive(arriving, Response([BODY[2000:]], status, **headers))
    assert arriving.headers == {"Accept-Encoding": "identity"}


def test_a_part_that_nobody_asked_for_is_refused(arriving: Arriving) -> None:
    """A whole file was asked for."""
    with pytest.raises(TransientError, match="another part"):
        receive(arriving, Response([BODY], 206, content_range="bytes 0-5119/5120"))


def test_what_cannot_be_gone_on_with_is_asked_for_whole(arriving: Arriving) -> None:
    """Nothing that tells states of the file apart, or too little to know what it is: the next request is for all of it."""
    break_off(arriving)
    assert not arriving.resumable
    break_off(arriving, after=1000, **TAGGED)
    assert not arriving.resumable


def test_the_limit_holds_over_all_parts(arriving: Arriving, files: FakeFiles) -> None:
    """A file does not grow beyond its limit by coming in parts."""
    break_off(arriving, **TAGGED)
    rest = [bytes(4000), bytes(4001)]
    with pytest.raises(ItemRejected, match=r"longer than the limit of 10000 bytes"):
        receive(arriving, Response(rest, 206, content_range="bytes 2000-10000/10001"))
    assert files.stored == {}


NOW = "Mon, 23 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"etag": '"a"'}, '"a"'),
        ({"etag": 'W/"a"'}, None),
        (
            {"etag": 'W/"a"', "last-modified": "Mon, 23 Nov 2026 11:00:00 GMT", "date": NOW},
            "Mon, 23 Nov 2026 11:00:00 GMT",
        ),
        ({"last-modified": "Mon, 23 Nov 2026 11:59:30 GMT", "date": NOW}, None),
        ({"last-modified": "Mon, 23 Nov 2026 11:00:00 GMT"}, None),
        ({"last-modified": "yesterday", "date": NOW}, None),
        ({"last-modified": "Mon, 23 Nov 2026 11:00:00 -0000", "date": NOW}, None),
        ({"etag": '"a"', "accept-ranges": "none"}, None),
        ({"etag": '"a"', "accept-ranges": "bytes", "content-encoding": "identity"}, '"a"'),
        ({"etag": '"a"', "content-encoding": "gzip"}, None),
        ({}, None),
    ],
)
def test_what_tells_states_of_a_file_apart(headers: Mapping[str, str], expected: Any) -> None:
    """Strong tags, and dates that are settled; nothing where the bytes on the way are not the file's."""
    assert validator_of(headers) == expected
