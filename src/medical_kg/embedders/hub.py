"""Sentence-transformers models of the Hugging Face hub, run from their ONNX export on the CPU, without torch.

A repository is named with the full hash of a commit, so what it holds later cannot change vectors. Only ONNX and JSON are
fetched and read; no code and no pickle of a repository is. The digests of the files are part of the identity. What was
fetched once is kept in the hub's own cache (``HF_HOME``), and is used from there without asking the hub.
"""

from __future__ import annotations

import json
from functools import cached_property
from hashlib import file_digest, sha256
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, field_validator, model_validator

from medical_kg import StorageError
from medical_kg.documents.records import EmbedderIdentity
from medical_kg.embedders.contract import Embedder, Options
from medical_kg.embedders.hubcache import snapshot
from medical_kg.embedders.hubmodel import Prompts, Repository
from medical_kg.embedders.onnx import Encoder, OnnxModel, Pooling
from medical_kg.embedders.tokens import EmbedderUnavailable, TokenizerFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from medical_kg.orchestration.contract import Http

SHA256 = "^[0-9a-f]{64}$"


class HubOptions(Options):
    """Options of ``hub``."""

    model: str = Field(
        pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", description="the repository, such as BAAI/bge-small-en-v1.5"
    )
    revision: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{40}$",
        description="the full hash of the commit that is meant; a branch or a tag may come to mean another",
    )
    folder: Path | None = Field(
        default=None, description="a copy of the repository on this machine, in place of the hub; it needs both digests"
    )
    file: str = Field(default="onnx/model.onnx", pattern=r"\.onnx$", description="the ONNX file in the repository")
    model_sha256: str | None = Field(
        default=None, pattern=SHA256, description="the digest that the ONNX file must have"
    )
    tokenizer_sha256: str | None = Field(
        default=None, pattern=SHA256, description="the digest that tokenizer.json must have"
    )
    max_tokens: int | None = Field(
        default=None, ge=16, description="where texts are cut, special tokens counted, in place of what its makers say"
    )
    pooling: Pooling | None = Field(default=None, description="in place of what the repository says")
    normalize: bool | None = Field(default=None, description="likewise")
    document_prefix: str | None = Field(default=None, description="likewise")
    query_prefix: str | None = Field(default=None, description="likewise")
    threads: int = Field(default=1, ge=0, description="how many the model may take; 0 leaves it to onnxruntime")

    @field_validator("file")
    @classmethod
    def _is_inside(cls, text: str) -> str:
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or set(text) & set("*?[\\"):
            msg = "it must be a path inside the repository"
            raise ValueError(msg)
        return text

    @model_validator(mode="after")
    def _contents_are_fixed(self) -> HubOptions:
        if self.folder is None and self.revision is None:
            msg = "revision is needed: the full hash of a commit (40 hexadecimal digits), as the hub's history shows it"
            raise ValueError(msg)
        if self.folder is not None and (self.model_sha256 is None or self.tokenizer_sha256 is None):
            msg = "folder needs model_sha256 and tokenizer_sha256: files of your own are used only by their digest"
            raise ValueError(msg)
        return self


class _Loaded(NamedTuple):
    """What the repository's files say, and what the options say in their place."""

    model: OnnxModel
    tokenizer: TokenizerFile
    tokenizer_sha256: str
    max_tokens: int
    prompts: Prompts


class HubEmbedder(Embedder):
    """Vectors of a sentence-transformers model of the Hugging Face hub."""

    options_model = HubOptions
    _http: Http | None = None

    def connect(self, http: Http) -> None:
        """Keep the service that knows whether the hub may be asked."""
        self._http = http

    @property
    def identity(self) -> EmbedderIdentity:
        """Return the identity; it is read from the repository's files. Raises as ``embed_documents`` does."""
        loaded = self._loaded
        made_of = [loaded.model.sha256, loaded.tokenizer_sha256, *loaded.prompts]
        return EmbedderIdentity(
            model=self.options.model,
            sha256=sha256(json.dumps(made_of).encode()).hexdigest(),
            dimension=loaded.model.dimension,
            max_tokens=loaded.max_tokens,
            pooling=loaded.model.pooling,
            normalized=loaded.model.normalized,
        )

    @property
    def max_tokens(self) -> int:
        """Return how many tokens of a text it takes in, without special ones and the prompt."""
        loaded = self._loaded
        special = len(loaded.tokenizer.cutter(loaded.max_tokens).encode("").ids)
        return loaded.max_tokens - special - len(loaded.tokenizer.offsets(loaded.prompts.document))

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return one vector per text.

        Raises:
            EmbedderUnavailable: the extra is not installed.
            UsageError: the hub may not be asked or does not have it, or the model is of a kind that is not supported.
            StorageError: a file is missing or unreadable, or has another digest.
            TransientError: the hub cannot be reached now.
        """
        return self._encoder.vectors([self._loaded.prompts.document + text for text in texts])

    def embed_query(self, text: str) -> np.ndarray[Any, Any]:
        """Return the vector of a query. Raises as ``embed_documents`` does."""
        vector: np.ndarray[Any, Any] = self._encoder.vectors([self._loaded.prompts.query + text])[0]
        return vector

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return where the model's own tokens stand. Raises as ``embed_documents`` does."""
        return self._loaded.tokenizer.offsets(text)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._loaded.model, self._loaded.tokenizer.cutter(self._loaded.max_tokens))

    @cached_property
    def _loaded(self) -> _Loaded:
        told = self.options
        for package in ("onnxruntime", "tokenizers", *(() if told.folder else ("huggingface_hub",))):
            if find_spec(package) is None:
                raise EmbedderUnavailable(package, "hub")
        folder = told.folder or snapshot(told.model, told.revision, told.file, self._http)
        model, tokenizer = folder / told.file, folder / "tokenizer.json"
        repository = Repository(folder)
        repository.check()
        made = OnnxModel(
            model,
            told.model_sha256 or _digest(model),
            repository.dimension,
            told.pooling or repository.pooling(),
            repository.normalizes() if told.normalize is None else told.normalize,
            told.threads,
        )
        digest = told.tokenizer_sha256 or _digest(tokenizer)
        max_tokens = repository.max_tokens(told.max_tokens)
        return _Loaded(made, TokenizerFile(tokenizer, digest), digest, max_tokens, self._prompts(repository))

    def _prompts(self, repository: Repository) -> Prompts:
        document, query = self.options.document_prefix, self.options.query_prefix
        if document is not None and query is not None:
            return Prompts(document, query)
        said = repository.prompts()
        return Prompts(said.document if document is None else document, said.query if query is None else query)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
