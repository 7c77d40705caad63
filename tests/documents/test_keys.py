"""The pack's state keys: what is stored comes back, and every list of items is named by id and root."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import BaseModel

from medical_kg import StateKey
from medical_kg.documents import keys
from medical_kg.documents.records import EmbedderIdentity, Embedding

KEYS = [key for key in vars(keys).values() if isinstance(key, StateKey)]


def test_the_keys_are_those_of_the_design() -> None:
    """The pack's slots, under the constants of their names."""
    assert {key.name for key in KEYS} == {
        "payloads",
        "files",
        "documents",
        "chunks",
        "embeddings",
        "index_receipt",
        "entities",
        "claims",
        "graph_receipt",
        "removed",
    }
    assert [getattr(keys, key.name.upper()) for key in KEYS] == KEYS


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_holds_records_and_says_what_they_are(key: StateKey[object]) -> None:
    """Records are frozen models that refuse unknown fields; a list's items have id and root, a receipt has neither."""
    assert issubclass(key.item_type, BaseModel)
    assert key.item_type.model_config["frozen"]
    assert key.item_type.model_config["extra"] == "forbid"
    assert re.fullmatch(r"\S.*\S", key.description)
    assert (key.id_of is not None) is (key.root_of is not None) is key.is_list
    if isinstance(key.id, str):
        assert {key.id, key.root} <= set(key.item_type.model_fields)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_what_every_key_stores_comes_back(key: StateKey[object]) -> None:
    """An empty list, or a record with nothing but what it needs, survives the key's codec."""
    assert key.codec is not None
    if key.is_list:
        assert key.codec.decode(key.codec.encode([])) == []
    else:
        receipt = key.item_type(
            **{
                name: "x" if field.annotation is str else 1
                for name, field in key.item_type.model_fields.items()
                if field.is_required()
            }
        )
        assert key.codec.decode(key.codec.encode(receipt)) == receipt


def test_embeddings_are_stored_as_arrays() -> None:
    """A vector comes back bit by bit, as float32, with what made it."""
    made_by = EmbedderIdentity(model="m", sha256="0", dimension=3, max_tokens=64, pooling="mean", normalized=True)
    stored = [
        Embedding(id=f"c{n}", root="r", embedder=made_by, vector=np.array([0.1, -0.0, n], dtype=np.float32))
        for n in range(2)
    ]
    codec = keys.EMBEDDINGS.codec
    assert codec is not None
    found = codec.decode(codec.encode(stored))
    assert [one.vector.tobytes() for one in found] == [one.vector.tobytes() for one in stored]
    assert [(one.id, one.root, one.embedder) for one in found] == [(one.id, one.root, made_by) for one in stored]
    assert codec.suffix == ".vectors"
