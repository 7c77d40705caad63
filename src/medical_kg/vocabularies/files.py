"""What vocabularies in files share: finding, hashing and opening them, packed or not."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import Field

from medical_kg import InputError
from medical_kg.vocabularies.contract import Vocabulary, VocabularyOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1024**2
PIECE = 1 << 20


class FileOptions(VocabularyOptions):
    """Options of the vocabularies that are read from a file.

    Attributes:
        path: the file; relative to where the command is run. ``.xz`` and ``.gz`` are unpacked.
        sha256: what the file must be; named, a changed file is refused instead of silently giving other results.
        max_bytes: the most bytes it may have, unpacked.
    """

    path: str = Field(description="the file; .xz and .gz are unpacked")
    sha256: str = Field(default="", description="the file's sha256 in hex; another file is refused")
    max_bytes: int = Field(default=512 * MEBIBYTE, ge=1, description="the most bytes it may have, unpacked")


class FileVocabulary(Vocabulary):
    """Base of the vocabularies that are read from a file."""

    options_model = FileOptions
    options: FileOptions

    def fingerprint(self) -> str:
        """Return the file's sha256; see ``Vocabulary.fingerprint``."""
        digest = hashlib.sha256()
        with refusals_name(self.path), self.path.open("rb") as stream:
            while piece := stream.read(PIECE):
                digest.update(piece)
        found, wanted = digest.hexdigest(), self.options.sha256.lower()
        if wanted and wanted != found:
            raise InputError(f"vocabulary {self.path}: its sha256 is {found}, not {wanted}; it is another file")
        return found

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.options.path).expanduser()

    @contextmanager
    def lines(self) -> Iterator[Iterator[str]]:
        """Open the file as text, unpacked, line by line."""
        with refusals_name(self.path), opened(self.path) as stream:
            yield _bounded(stream, self.options.max_bytes, self.path)

    def text(self) -> str:
        """Return the whole text, unpacked."""
        with self.lines() as lines:
            return "".join(lines)


def opened(path: Path) -> IO[str]:
    """Open a file as UTF-8 text, unpacked by its ending."""
    packing = path.suffix.lower()
    binary: IO[bytes]
    if packing == ".xz":
        binary = lzma.open(path, "rb")  # noqa: SIM115  # closed with the text around it
    elif packing == ".gz":
        binary = gzip.open(path, "rb")  # type: ignore[assignment]  # noqa: SIM115  # a stream of bytes all the same, closed as above
    else:
        binary = path.open("rb")
    return io.TextIOWrapper(binary, encoding="utf-8-sig", newline=None)


def _bounded(stream: IO[str], most: int, path: Path) -> Iterator[str]:
    size = 0
    while line := stream.readline(PIECE):
        size += len(line) if line.isascii() else len(line.encode())
        if size > most:
            raise InputError(f"vocabulary {path} holds more than {most:,} bytes (max_bytes)")
        yield line


@contextmanager
def refusals_name(path: Path) -> Iterator[None]:
    """Tell what cannot be opened or unpacked as what it is: a wrong input."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"vocabulary {path} does not exist (looked from {Path.cwd()})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"vocabulary {path} is not UTF-8 text (byte {error.start}); convert it to UTF-8") from None
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(f"vocabulary {path} cannot be read: {error}") from error
