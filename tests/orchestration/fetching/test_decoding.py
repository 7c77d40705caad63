"""Bodies are unpacked piece by piece, and whole or not at all."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.orchestration.fetching.decoding import PIECE_BYTES, decoded
from medical_kg.orchestration.fetching.failures import CutOff, Refused

BODY = bytes(range(256)) * 2000


def raw_deflate(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


def cut(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY)),
        ("X-GZip ", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
    ],
)
def test_bodies_are_unpacked(coding: str, packed: bytes, size: int) -> None:
    """Each coding gives the content, however it is cut into pieces; several members of gzip follow each other."""
    pieces = list(decoded(cut(packed, size), coding))
    assert b"".join(pieces) == BODY
    assert coding in ("", "identity") or max(map(len, pieces)) <= PIECE_BYTES


@given(st.binary(), st.integers(1, 50))
def test_any_content_comes_back(body: bytes, size: int) -> None:
    """Whatever the content."""
    for coding, packed in [
        ("gzip", gzip.compress(body)),
        ("deflate", zlib.compress(body)),
        ("deflate", raw_deflate(body)),
    ]:
        assert b"".join(decoded(cut(packed, size), coding)) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_empty_body_is_empty(coding: str) -> None:
    """An answer without a body may name a coding all the same."""
    assert list(decoded(iter([b"", b""]), coding)) == []


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("deflate", raw_deflate(BODY))],
)
@pytest.mark.parametrize("missing", [1, 9, 200])
def test_a_cut_body_is_no_body(coding: str, packed: bytes, missing: int) -> None:
    """What ends before the end of its coding is never taken for whole."""
    with pytest.raises(CutOff, match="cut off"):
        list(decoded(cut(packed[:-missing], 500), coding))


@pytest.mark.parametrize(
    ("coding", "body"), [("gzip", b"plain"), ("deflate", b"plain"), ("gzip", gzip.compress(BODY)[:30] + bytes(99))]
)
def test_what_is_not_coded_as_it_says_is_refused(coding: str, body: bytes) -> None:
    """Words under the name of a coding, and damage in the middle."""
    with pytest.raises(Refused, match="not encoded as it says"):
        list(decoded(iter([body]), coding))


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
def test_codings_that_were_not_asked_for_are_refused(coding: str) -> None:
    """None is passed on as if it were the content."""
    with pytest.raises(Refused, match="not asked for"):
        decoded(iter([b"x"]), coding)


def test_a_bomb_comes_in_pieces() -> None:
    """What unpacks to much is never there at once: the reader may stop at any piece."""
    pieces = decoded(iter([gzip.compress(bytes(50_000_000))]), "gzip")
    assert [len(next(pieces)) for _ in range(10)] == [PIECE_BYTES] * 10
