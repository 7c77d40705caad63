"""Files as bounded streams."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from medical_kg import ItemRejected
from medical_kg.formats.contract import HEAD_BYTES
from medical_kg.sources.opened import OpenedFile, open_file, what_it_is

DATA = bytes(range(256)) * 1000


def whole(stream: OpenedFile) -> bytes:
    chunks = []
    while chunk := stream.read(10_000):
        assert len(chunk) <= 10_000
        chunks.append(chunk)
    return b"".join(chunks)


@pytest.mark.parametrize("zipped", [False, True])
def test_bytes_come_as_they_are(tmp_path: Path, zipped: bool) -> None:  # noqa: FBT001  # plain or packed
    """Plain and gzipped files give the same bytes, and looking at the head takes nothing away."""
    path = tmp_path / "no-ending"
    path.write_bytes(gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]) if zipped else DATA)
    with open_file(path, 10**6) as stream:
        assert stream.head() == DATA[:HEAD_BYTES]
        assert whole(stream) == DATA


def drain(stream: OpenedFile, found: list[bytes]) -> None:
    while chunk := stream.read(65_536):
        found.append(chunk)


def test_a_cut_gzip_gives_what_it_holds_first(tmp_path: Path) -> None:
    """The bytes before the break come, then the break is told."""
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(DATA, 0)[:-20_000])
    found: list[bytes] = []
    with open_file(path, 10**6) as stream, pytest.raises(ItemRejected, match="the gzip file is cut off before its end"):
        drain(stream, found)
    assert len(b"".join(found)) > 200_000
    assert DATA.startswith(b"".join(found))


def test_a_damaged_gzip_is_told(tmp_path: Path) -> None:
    """Damage inside the file is told from a file that ends early."""
    path = tmp_path / "bad.gz"
    packed = bytearray(gzip.compress(DATA))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(packed)
    with open_file(path, 10**6) as stream, pytest.raises(ItemRejected, match="the gzip file is damaged"):
        whole(stream)
    path.write_bytes(b"\x1f\x8bnonsense")
    with open_file(path, 10**6) as stream, pytest.raises(ItemRejected, match="the gzip file is damaged"):
        stream.head()


def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    """The limit counts what comes out of the packing, and is met long before the memory is full."""
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(5_000_000)))
    with (
        open_file(path, 1_000_000) as stream,
        pytest.raises(ItemRejected, match=r"more than 1,000,000 bytes \(option max_file_bytes\)"),
    ):
        whole(stream)


def test_what_cannot_be_opened_is_rejected(tmp_path: Path) -> None:
    """A file that is gone, or no file, is rejected in the words of the system."""
    with pytest.raises(ItemRejected, match="cannot be opened: No such file"), open_file(tmp_path / "gone", 1):
        pass
    with pytest.raises(ItemRejected, match="cannot be opened: Is a directory"), open_file(tmp_path, 1):
        pass


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "the file is empty"),
        (b" \r\n", "the file holds only white space"),
        (b"PK\x03\x04", "it is a zip archive; unpack it first"),
        (b"%PDF-1.7", "it is a PDF, which is read only by a source with the option formats: [pdf] or native: true"),
        (b"\x1f\x8b\x08", "it is gzip-compressed twice; unpack it once"),
        (b"a.xml" + b"\0" * 252 + b"ustar\x0000", "it is a tar archive; unpack it first"),
        (b"\x00\x01", "no installed format recognises it"),
    ],
)
def test_what_an_unknown_file_is(head: bytes, words: str) -> None:
    """A file nobody reads is named as far as its first bytes tell."""
    assert what_it_is(head) == words
