"""Bodies unpacked as they come (RFC 9110, 8.4.1): whole or an error, and never more at once than a piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from medical_kg.orchestration.fetching.failures import CutOff, Refused

ACCEPTED = "gzip, deflate"
PIECE_BYTES = 65_536
PLAIN = frozenset({"", "identity"})
GZIP = frozenset({"gzip", "x-gzip"})
GZIP_BITS = zlib.MAX_WBITS | 16
DEFLATED = 8
"""The method in the first byte of zlib's format (RFC 1950, 2.2)."""


def decoded(pieces: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """Yield the content of a body, of the coding that its Content-Encoding names.

    Raises:
        Refused: a coding that was not asked for, several of them, or the body is not coded as it says.
        CutOff: the coded body ends before its end.
    """
    named = coding.strip().lower()
    if named in PLAIN:
        return iter(pieces)
    if named in GZIP:
        return _checked(_gunzipped(_pieces(pieces)))
    if named == "deflate":
        return _checked(_inflated(_pieces(pieces)))
    raise Refused(f"the body is encoded as {coding!r}, which was not asked for")


def _checked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except zlib.error as error:
        raise Refused(f"the body is not encoded as it says: {error}") from None


def _pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    return (piece for piece in pieces if piece)


def _gunzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack gzip's members, one after the other (RFC 1952, 2.2)."""
    rest = next(pieces, b"")
    while rest:
        unpacking = zlib.decompressobj(GZIP_BITS)
        yield from _unpacked(unpacking, rest, pieces)
        rest = unpacking.unused_data or next(pieces, b"")


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack zlib's format, or the bare one that some servers send under its name."""
    first = next(pieces, b"")
    if len(first) == 1:
        first += next(pieces, b"")
    if first:
        wrapped = first[0] & 0x0F == DEFLATED and int.from_bytes(first[:2]) % 31 == 0
        yield from _unpacked(zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS), first, pieces)


def _unpacked(unpacking: zlib._Decompress, first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    piece: bytes | None = first
    while piece is not None:
        while piece and not unpacking.eof:
            if unpacked := unpacking.decompress(piece, PIECE_BYTES):
                yield unpacked
            piece = unpacking.unconsumed_tail
        if unpacking.eof:
            return
        piece = next(pieces, None)
    # What the unpacker still holds back, it gives only at the end of its input.
    if rest := unpacking.flush():
        yield rest
    if not unpacking.eof:
        raise CutOff("the body ends before its end: it is cut off in the middle of its encoding")
