"""What the runner of ONNX models makes of models, with a table of token vectors written as ONNX by hand."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medical_kg import StorageError
from medical_kg.embedders.onnx import Encoder, OnnxModel

pytest.importorskip("onnxruntime", reason="neither extra 'minilm' nor 'hub' is installed")
pytest.importorskip("tokenizers", reason="neither extra 'minilm' nor 'hub' is installed")

WORDS = ["[UNK]", "fever", "cough"]
TABLE = [[0.0, 0.0], [3.0, 4.0], [-3.0, 0.0]]
INT64, FLOAT = 7, 1


def field(number: int, value: int | bytes | str) -> bytes:
    """A field of a protobuf message: a small number, or bytes with their length before them."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    assert len(data) < 1 << 14
    return bytes([number << 3 | 2, len(data) & 127 | 128, len(data) >> 7]) + data


def value_info(name: str, kind: int, *sizes: int | str) -> bytes:
    shape = b"".join(field(1, field(1, size) if isinstance(size, int) else field(2, size)) for size in sizes)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def gather(table: list[list[float]], ids: str = "input_ids", output: str = "last_hidden_state") -> bytes:
    """An ONNX model that looks the vectors of tokens up in a table."""
    matrix = np.array(table, np.float32)
    node = field(1, "table") + field(1, ids) + field(2, output) + field(4, "Gather")
    sizes = field(1, matrix.shape[0]) + field(1, matrix.shape[1])
    initializer = sizes + field(2, FLOAT) + field(8, "table") + field(9, matrix.tobytes())
    graph = field(1, node) + field(2, "g") + field(5, initializer)
    graph += field(11, value_info(ids, INT64, 1, "n"))
    graph += field(12, value_info(output, FLOAT, 1, "n", matrix.shape[1]))
    return field(1, 8) + field(8, field(2, 13)) + field(7, graph)


def encoder(folder: Path, content: bytes, **settings: Any) -> Encoder:
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = folder / "m.onnx"
    path.write_bytes(content)
    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return Encoder(OnnxModel(path, sha256(content).hexdigest(), 2, **settings), words)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("mean", [0.0, 2.0]), ("cls", [3.0, 4.0]), ("max", [3.0, 4.0]), ("lasttoken", [-3.0, 0.0])],
)
def test_token_vectors_become_one(tmp_path: Path, pooling: Any, expected: list[float]) -> None:
    """As the pooling says, and of length 1 only where that is asked for."""
    raw = encoder(tmp_path, gather(TABLE), pooling=pooling, normalized=False).vectors(["fever cough"])[0]
    assert raw.tolist() == expected
    short = encoder(tmp_path, gather(TABLE), pooling=pooling).vectors(["fever cough"])[0]
    assert short.tolist() == pytest.approx((np.array(expected) / np.linalg.norm(expected)).tolist())


def test_a_text_without_tokens_gives_zeros(tmp_path: Path) -> None:
    """Also one whose vectors are zeros themselves: there is nothing to bring to length 1."""
    assert encoder(tmp_path, gather(TABLE)).vectors(["", "unknown"]).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gather(TABLE, ids="pixels"), "wants inputs that no text encoder does: pixels"),
        (gather([[np.inf] * 2] * 3), "numbers that are not finite"),
        (gather([[1.0] * 3] * 3), r"vectors of shape \(3,\), the option dimension is 2"),
        (b"not a model", "is no ONNX model that can be run"),
    ],
)
def test_what_is_no_text_encoder_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    """With the reason, before a vector of it gets into an index."""
    with pytest.raises(StorageError, match=says):
        encoder(tmp_path, content).vectors(["fever"])
