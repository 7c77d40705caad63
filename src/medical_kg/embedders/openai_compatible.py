"""Vectors from an endpoint that speaks OpenAI's ``POST /embeddings``: a hosted service, or a server of your own.

What is sent and answered is that of the API reference (``input``, ``model``; ``data[].index``, ``data[].embedding``), which
vLLM, llama.cpp, Ollama, LocalAI and text-embeddings-inference speak too. A host that is not public must be allowed by the
operator, under ``[http] allow_hosts`` in medical_kg.toml. The key is read where it stands when it is needed, and goes nowhere else.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field, field_validator, model_validator

from medical_kg import ItemRejected, Secret
from medical_kg.documents.records import EmbedderIdentity
from medical_kg.embedders.contract import Embedder, Options
from medical_kg.embedders.tokens import TokenizerFile
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.secrets import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medical_kg.orchestration.contract import Http

PIECE = re.compile(r"[^\W\d_]{1,3}|\d|[^\w\s]|_")
"""A cautious guess of a token: three letters, a digit or a sign. Tokenizers of English make longer ones."""
OF_THE_TEXT = frozenset({400, 413, 422})
"""Statuses by which an endpoint refuses a text; others refuse whoever asks."""
OK = 200
BYTES_PER_NUMBER = 32
"""The most that a number takes in an answer."""
HEAD_BYTES = 65_536
BROKEN = (ValueError, KeyError, TypeError, RecursionError, OverflowError)
"""What looking into an answer raises that is not one of OpenAI's API."""


class OpenAICompatibleOptions(Options):
    """Options of ``openai-compatible``."""

    base_url: str = Field(description="what stands before /embeddings, such as http://127.0.0.1:8000/v1")
    model: str = Field(min_length=1, description="the model's name, as the endpoint knows it")
    revision: str = Field(
        default="", description="what tells versions of the model apart; part of the identity, for you to raise"
    )
    dimension: int = Field(
        ge=1, le=65_536, description="how long the model's vectors are; an answer of another length is refused"
    )
    max_tokens: int = Field(default=512, ge=16, description="how many tokens the model takes in")
    api_key: Secret | None = Field(default=None, description="where the key stands; none is sent unless given")
    document_prefix: str = Field(default="", description="put before texts, for models trained so (E5: passage)")
    query_prefix: str = Field(default="", description="put before queries, likewise")
    tokenizer_path: str | None = Field(
        default=None, description="the model's tokenizer.json; without it tokens are guessed, with caution"
    )
    tokenizer_sha256: str | None = Field(
        default=None, pattern="^[0-9a-f]{64}$", description="the digest that the tokenizer must have"
    )

    @model_validator(mode="after")
    def _file_has_digest(self) -> OpenAICompatibleOptions:
        if (self.tokenizer_path is None) != (self.tokenizer_sha256 is None):
            msg = "tokenizer_path and tokenizer_sha256 go together: a file of your own is used only by its digest"
            raise ValueError(msg)
        return self

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "it must be an http or https address"
            raise ValueError(msg)
        if parts.username or parts.password or parts.query or parts.fragment:
            msg = "it holds a user, a query or a fragment; a key is given by api_key: {env: NAME}"
            raise ValueError(msg)
        return text.rstrip("/")


class OpenAICompatibleEmbedder(Embedder):
    """Asks an endpoint for vectors; they are brought to length 1 here."""

    options_model = OpenAICompatibleOptions
    _http: Http | None = None

    def connect(self, http: Http) -> None:
        """Keep the service that reaches the endpoint."""
        self._http = http

    @property
    def identity(self) -> EmbedderIdentity:
        """Return model and endpoint; the endpoint's own model cannot be seen, so ``revision`` must tell of changes."""
        named = {
            name: getattr(self.options, name)
            for name in ("base_url", "model", "revision", "document_prefix", "query_prefix")
        }
        return EmbedderIdentity(
            model=f"{self.options.model} at {urlsplit(self.options.base_url).netloc}",
            sha256=sha256(json.dumps(named, sort_keys=True).encode()).hexdigest(),
            dimension=self.options.dimension,
            max_tokens=self.options.max_tokens,
            pooling="endpoint",
            normalized=True,
        )

    @property
    def max_tokens(self) -> int:
        """Return how many tokens of a text it takes in, without two special ones and the prefix."""
        return int(self.options.max_tokens) - 2 - len(self.token_offsets(self.options.document_prefix))

    def embed_documents(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return one vector per text.

        Raises:
            UsageError: the host is not allowed, the key is missing or refused, or the answer is of another kind.
            ItemRejected: the endpoint refuses one of the texts.
            TransientError: it may pass.
        """
        return self._ask([self.options.document_prefix + text for text in texts])

    def embed_query(self, text: str) -> np.ndarray[Any, Any]:
        """Return the vector of a query. Raises as ``embed_documents`` does."""
        vector: np.ndarray[Any, Any] = self._ask([self.options.query_prefix + text])[0]
        return vector

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Return where tokens stand: the tokenizer's where one is given, else a cautious guess."""
        if self._tokenizer is not None:
            return self._tokenizer.offsets(text)
        return [match.span() for match in PIECE.finditer(text)]

    @cached_property
    def _tokenizer(self) -> TokenizerFile | None:
        path, digest = self.options.tokenizer_path, self.options.tokenizer_sha256
        return TokenizerFile(path, digest) if path and digest else None

    def _ask(self, texts: list[str]) -> np.ndarray[Any, Any]:
        if not texts:
            return np.empty((0, self.options.dimension), np.float32)
        # An empty text is refused by many endpoints; a space says as little.
        status, answer = self._post({"model": self.options.model, "input": [text or " " for text in texts]})
        if status in OF_THE_TEXT:
            raise ItemRejected(f"{self._shown} refuses the text: HTTP {status}{self._reason(answer)}")
        if status != OK:
            raise UsageError(
                f"{self._shown} answers HTTP {status}{self._reason(answer)}; check base_url, model and key"
            )
        return _normalized(self._vectors(answer, len(texts)))

    def _post(self, asked: dict[str, Any]) -> tuple[int, bytes]:
        if self._http is None:
            raise UsageError(
                "embedder 'openai-compatible' was not given the service http; whoever made it must connect it"
            )
        limit = HEAD_BYTES + len(asked["input"]) * self.options.dimension * BYTES_PER_NUMBER
        try:
            body = json.dumps(asked).encode()
            with self._http.post(self._shown, body, headers=self._headers(), max_bytes=limit) as response:
                return response.status, b"".join(response.chunks())
        except ItemRejected as error:  # the address, not the text
            raise UsageError(str(error)) from None

    @property
    def _shown(self) -> str:
        return f"{self.options.base_url}/embeddings"

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.options.api_key:
            headers["Authorization"] = f"Bearer {self.options.api_key.reveal()}"
        return headers

    def _reason(self, answer: bytes) -> str:
        """Return what the endpoint says was wrong, on one line, not for long, and without the key."""
        try:
            error = json.loads(answer)["error"]
            said = str(error["message"] if isinstance(error, dict) else error)
        except BROKEN:
            return ""
        said = redacted(said)
        return f": {' '.join(said.split())[:300]}"

    def _vectors(self, answer: bytes, count: int) -> np.ndarray[Any, Any]:
        try:
            found = {int(one["index"]): one["embedding"] for one in json.loads(answer)["data"]}
            vectors = np.array([found[at] for at in range(count)], dtype=np.float32)
        except BROKEN as error:
            raise UsageError(
                f"{self._shown} gives no embeddings as OpenAI's API has them ({type(error).__name__}: {error})"
            ) from None
        if vectors.shape != (count, self.options.dimension):
            shape = vectors.shape[1:] or ("?",)
            raise UsageError(
                f"{self._shown} gives vectors of dimension {shape[0]}, the option dimension is {self.options.dimension}"
            )
        if not np.isfinite(vectors).all():
            raise UsageError(f"{self._shown} gives vectors with numbers that are not finite")
        return vectors


def _normalized(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    made: np.ndarray[Any, Any] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return made
