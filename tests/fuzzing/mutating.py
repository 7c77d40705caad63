"""Bytes that begin as a right file: a hypothesis strategy that edits seeds, so that what it finds is made small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st

TOKENS = (
    *(bytes([n]) for n in (0, 9, 10, 13, 0x1B, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)),
    *(text.encode() for text in "<>&;/\"'=[]{}:,|\\-#%"),
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\u2028".encode(),
    "\u202e".encode(),
    "\U0001f9ea".encode(),
    # XML
    b"<!DOCTYPE a [<!ENTITY e 'x'>]>",
    b"&e;",
    b"&lt;",
    b"&#0;",
    b"&#xD800;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"<?xml version='1.0' encoding='utf-16'?>",
    b" xmlns='a'",
    b"<a>" * 50,
    b"<sec>" * 300,
    b"</p>",
    # JSON
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"-1",
    b"0.5",
    b"9" * 400,
    b'"\\ud800"',
    b'"\\u0000"',
    b'""',
    b"[]",
    b"{}",
    b"[" * 2000,
    b'{"a":' * 500,
    b"]",
    # text
    b"\n\n",
    b"|t|",
    b"|a|",
    b"# ",
    b"```",
    b"- " * 200,
    b"> " * 200,
    b"<table><tr><td>",
    b"%PDF-1.7",
    b"\x1f\x8b\x08",
    b"PK\x03\x04",
)

PLACES = 1 << 16


class Edit(NamedTuple):
    """What is done at a place, a fraction of the length: ``cut`` bytes go, ``put`` comes, or a piece of a seed does."""

    place: int
    cut: int
    put: bytes
    seed: int
    piece: int

    def __call__(self, data: bytes, seeds: Sequence[bytes]) -> bytes:
        at = self.place * len(data) // PLACES
        other = seeds[self.seed % len(seeds)]
        start = self.place * len(other) // PLACES
        return data[:at] + self.put + other[start : start + self.piece] + data[at + self.cut :]


EDITS = st.builds(
    Edit,
    place=st.integers(0, PLACES),
    cut=st.sampled_from((0, 0, 1, 2, 8, 64, 1024, 1 << 30)),
    put=st.sampled_from((b"", *TOKENS)) | st.binary(max_size=8),
    seed=st.integers(0, 1000),
    piece=st.sampled_from((0, 0, 0, 4, 40, 400, 4000)),
)


def edited(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy of seeds with some edits, now and then of bytes alone."""

    def apply(number: int, edits: Sequence[Edit]) -> bytes:
        data = seeds[number]
        for edit in edits:
            data = edit(data, seeds)
        return data

    made = st.builds(apply, st.integers(0, len(seeds) - 1), st.lists(EDITS, max_size=6))
    return made | st.binary(max_size=200)
