"""Models in ONNX's format that give a vector per token, run on the CPU: pooled into one vector per text, without torch.

Texts go through a model one at a time: on a CPU that is faster than batches, which would be padded, and it makes a vector
independent of its neighbours: int8 arithmetic scales a whole batch by its largest number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from medical_kg import StorageError
from medical_kg.embedders.tokens import EmbedderUnavailable, checked

Array = np.ndarray[Any, Any]
Pooling = Literal["mean", "cls", "max", "lasttoken"]
POOLINGS: dict[str, Callable[[Array], Array]] = {
    "mean": lambda tokens: tokens.mean(axis=0),
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.max(axis=0),
    "lasttoken": lambda tokens: tokens[-1],
}
"""How the vectors of tokens, special ones among them, become one, by the names that sentence-transformers has."""
TOKEN_VECTORS = ("last_hidden_state", "token_embeddings")
"""What exports call the output that is wanted; a model without these gives it first."""


class OnnxModel(NamedTuple):
    """A file and how it is run. ``threads`` 0 leaves it to onnxruntime."""

    path: Path
    sha256: str
    dimension: int
    pooling: Pooling = "mean"
    normalized: bool = True
    threads: int = 1


class Encoder:
    """Turns texts into vectors.

    Raises:
        EmbedderUnavailable: onnxruntime is not installed.
        StorageError: the file cannot be read, has another digest, or is no model that can be run so.
    """

    def __init__(self, model: OnnxModel, cutter: Any) -> None:
        """Load the model; ``cutter`` is a tokenizer that cuts texts at the model's length."""
        self._model, self._cutter = model, cutter
        self._session = load_session(model.path, model.sha256, model.threads)
        self._inputs = tuple(one.name for one in self._session.get_inputs())
        names = [one.name for one in self._session.get_outputs()]
        self._output = next((name for name in TOKEN_VECTORS if name in names), names[0])

    def vectors(self, texts: Sequence[str]) -> Array:
        """Return one vector per text, float32 of shape (texts, dimension)."""
        found = np.empty((len(texts), self._model.dimension), dtype=np.float32)
        for row, text in zip(found, texts, strict=True):
            row[:] = self._vector(text)
        return found

    def _vector(self, text: str) -> Array:
        ids = np.array([self._cutter.encode(text).ids], dtype=np.int64)
        if not ids.size:  # a tokenizer without special tokens finds nothing in an empty text
            return np.zeros(self._model.dimension, dtype=np.float32)
        tokens = self._session.run([self._output], self._asked(ids))[0]
        pooled: Array = POOLINGS[self._model.pooling](tokens[0].astype(np.float32, copy=False))
        if pooled.shape != (self._model.dimension,):
            shape, wanted = pooled.shape, self._model.dimension
            raise StorageError(f"the model gives vectors of shape {shape}, the option dimension is {wanted}")
        length = np.linalg.norm(pooled)
        if not np.isfinite(length):
            raise StorageError(f"{self._model.path} gives vectors with numbers that are not finite")
        return pooled / length if self._model.normalized and length else pooled

    def _asked(self, ids: Array) -> dict[str, Array]:
        """Give what the model takes of the usual three: not every model tells texts of a pair apart."""
        usual = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        if unusual := [name for name in self._inputs if name not in usual]:
            wants = ", ".join(unusual)
            raise StorageError(f"{self._model.path} wants inputs that no text encoder does: {wants}")
        return {name: usual[name] for name in self._inputs}


@lru_cache(maxsize=4)
def load_session(path: Path, digest: str, threads: int) -> Any:
    """Load a model once per process; the bytes that are checked are the bytes that are loaded."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EmbedderUnavailable("onnxruntime") from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = checked(path, digest)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but this
        reason = " ".join(str(error).split())[:300]
        raise StorageError(f"{path} is no ONNX model that can be run: {reason}") from error
