"""A model's own tokenizer, read from its ``tokenizer.json``, and files that are used only by their digest."""

from __future__ import annotations

import re
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medical_kg import StorageError
from medical_kg.orchestration.contract.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 50_000
"""Characters given to the tokenizer at once, up to the next white space; words are never cut."""
SPACE = re.compile(r"\s")


class EmbedderUnavailable(UsageError):
    """What the embedder needs is not installed: no item's fault, so it fails the stage."""

    def __init__(self, missing: str, extra: str = "minilm") -> None:
        """Name what is missing and how to get it."""
        self.missing = missing
        super().__init__(f"the embedder needs {missing}, which is not installed; pip install 'medical-kg[{extra}]'")


class TokenizerFile:
    """The tokenizer in a file of Hugging Face's format; loaded at first use.

    Raises (at first use):
        EmbedderUnavailable: the package ``tokenizers`` is not installed.
        StorageError: the file cannot be read, or has another digest.
    """

    def __init__(self, path: Any, digest: str) -> None:
        """Keep the place: a path, or a file of a package."""
        self._path = Path(path) if isinstance(path, str) else path
        self._digest = digest

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return start and end of every token, without special ones."""
        offsets: list[tuple[int, int]] = []
        for start, piece in _pieces(text):
            found = self._counter.encode(piece, add_special_tokens=False).offsets
            offsets += [(start + first, start + last) for first, last in found]
        return offsets

    def cutter(self, max_tokens: int) -> Any:
        """Return a tokenizer that cuts texts at so many tokens, special ones counted."""
        tokenizer = self._load()
        tokenizer.enable_truncation(max_tokens)
        return tokenizer

    @cached_property
    def _counter(self) -> Any:
        return self._load()

    def _load(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EmbedderUnavailable("tokenizers") from error
        tokenizer = Tokenizer.from_str(checked(self._path, self._digest).decode())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Cut a long text where white space stands: the tokenizer needs some 160 bytes of memory per character."""
    start = 0
    while start < len(text):
        gap = SPACE.search(text, min(start + PIECE, len(text)))
        end = gap.start() if gap else len(text)
        yield start, text[start:end]
        start = end


def checked(path: Any, digest: str) -> bytes:
    """Return the bytes of a file.

    Raises:
        StorageError: it cannot be read, or has another sha256.
    """
    try:
        data: bytes = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise StorageError(msg) from error
    if (found := sha256(data).hexdigest()) != digest:
        msg = f"{path} has sha256 {found}, expected {digest}; it is not the file that was meant, so it is not loaded"
        raise StorageError(msg)
    return data
