from __future__ import annotations

import numpy as np
import pytest

from medical_kg import PluginName
from medical_kg.documents.keys import EMBEDDINGS
from medical_kg.documents.records import Chunk, Embedding
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.orchestration.contract.errors import PluginNotFound
from medical_kg.stages.embed import EmbedConfig, EmbedStage
from medical_kg.testing import FakeHttp, run_stage

HTTP = {"http": FakeHttp()}


def chunk(number: int, text: str) -> Chunk:
    return Chunk(
        id=f"d#{number}",
        root="r",
        document="d",
        ordinal=number,
        start=0,
        end=len(text),
        section="",
        text=text,
        tokens=1,
    )


def embed(chunks: list[Chunk]) -> list[Embedding]:
    result = run_stage(EmbedStage, {"embedder": "hashing", "options": {"dimension": 64}}, services=HTTP, chunks=chunks)
    assert result.dead_letters == ()
    found: list[Embedding] = result.output["embeddings"]
    return found


def test_every_chunk_gets_a_vector_with_its_maker() -> None:
    """One embedding per chunk, with its id and root, and the identity of the embedder with the options given."""
    found = embed([chunk(number, f"text {number}") for number in range(20)])
    assert [one.id for one in found] == [f"d#{number}" for number in range(20)]
    assert {one.root for one in found} == {"r"}
    assert {one.embedder for one in found} == {HashingEmbedder({"dimension": 64}).identity}
    assert all(one.vector.shape == (64,) and one.vector.dtype == np.float32 for one in found)


def test_batch_borders_do_not_change_results() -> None:
    """A chunk's vector is the same wherever it falls among the calls; same text, same vector."""
    chunks = [chunk(number, f"text {number % 5}") for number in range(20)]
    together, alone = embed(chunks), [embed([one])[0] for one in chunks]
    assert all(np.array_equal(left.vector, right.vector) for left, right in zip(together, alone, strict=True))
    assert np.array_equal(together[0].vector, together[5].vector)


def test_embeddings_survive_their_codec() -> None:
    """Vectors come back from a checkpoint as they were, bit by bit."""
    assert EMBEDDINGS.codec is not None
    found = embed([chunk(0, "aspirin"), chunk(1, "")])
    back = EMBEDDINGS.codec.decode(EMBEDDINGS.codec.encode(found))
    assert all(np.array_equal(left.vector, right.vector) for left, right in zip(found, back, strict=True))
    assert back[0].embedder == found[0].embedder


def test_the_embedder_is_a_plugin_by_name() -> None:
    """The check can refuse an embedder nobody installed, and so does the stage."""
    assert EmbedConfig.model_fields["embedder"].metadata == [PluginName("medical_kg.embedders")]
    with pytest.raises(PluginNotFound, match="hashing"):
        run_stage(EmbedStage, {"embedder": "hasing"}, services=HTTP, chunks=[])
