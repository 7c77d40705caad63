"""The embedder of hub models, with the packaged model laid out as a repository, and a hub on the loopback address."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx2 import ConnectError
from loopback import Server, answer

from medical_kg import StorageError, TransientError
from medical_kg.embedders import hub, minilm
from medical_kg.embedders.conformance import EmbedderCase, EmbedderConformance
from medical_kg.embedders.hub import HubEmbedder
from medical_kg.embedders.minilm import MiniLmEmbedder
from medical_kg.embedders.tokens import EmbedderUnavailable
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.fetching import HttpService

pytest.importorskip("onnxruntime", reason="the extra 'hub' is not installed")
pytest.importorskip("huggingface_hub", reason="the extra 'hub' is not installed")

TOKENIZER = Path(minilm.__file__).parent / "data" / "tokenizer.json"
COMMIT = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
DIGESTS = {"model_sha256": minilm.MODEL_SHA256, "tokenizer_sha256": minilm.TOKENIZER_SHA256}
MODULES = [{"idx": at, "path": path, "type": f"sentence_transformers.models.{kind}"}
           for at, (path, kind) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")])]  # fmt: skip
SETTINGS: dict[str, Any] = {
    "modules.json": MODULES,
    "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
    "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
    "config_sentence_transformers.json": {"prompts": {}, "default_prompt_name": None},
    "config.json": {"hidden_size": 384, "max_position_embeddings": 512},
}  # fmt: skip


def repository(folder: Path, **changed: Any) -> Path:
    """Lay the packaged model out as the hub does; ``changed`` settings by the beginning of their file's name."""
    for name, content in SETTINGS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        said = changed.get(Path(name).parent.name.removeprefix("1_") or Path(name).stem, content)
        if said is not None:
            path.write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").symlink_to(minilm._packaged_model())
    (folder / "tokenizer.json").symlink_to(TOKENIZER)
    return folder


def made(folder: Path, **options: Any) -> HubEmbedder:
    return HubEmbedder({"model": "test/minilm", "folder": str(folder), **DIGESTS, **options})


class TestConformance(EmbedderConformance):
    @pytest.fixture
    def case(self, tmp_path: Path) -> EmbedderCase:
        prompts = {"prompts": {"query": "find: "}, "default_prompt_name": None}
        folder = repository(tmp_path, config_sentence_transformers=prompts)
        return EmbedderCase(
            HubEmbedder,
            {"model": "test/minilm", "folder": str(folder), **DIGESTS, "max_tokens": 64},
            others=[{"max_tokens": 32}, {"pooling": "max"}, {"normalize": False}, {"document_prefix": "passage: "}],
            same=[{"threads": 2}, {"query_prefix": "find: "}, {"revision": COMMIT}],
            wrong=[{"model": "minilm"}, {"revision": "main"}, {"file": "../m.onnx"}, {"file": "pytorch_model.bin"},
                   {"model_sha256": None}, {"folder": None}],
            unusable=[{"file": "m.onnx"}, {"model_sha256": "0" * 64}, {"max_tokens": 1000}],
            own_queries=True,
        )  # fmt: skip


class Hub:
    """A hub with one commit of one repository, as its API tells of it."""

    def __init__(self, server: Server, files: dict[str, bytes]) -> None:
        self.server, self.http = server, HttpService(allow_hosts=[server.host])
        server.routes[f"/api/models/test/minilm/revision/{COMMIT}"] = answer(b"{}", media_type="application/json")
        listed = [{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in files.items()]
        tree = answer(json.dumps(listed).encode(), media_type="application/json")
        server.routes[f"/api/models/test/minilm/tree/{COMMIT}"] = tree
        for name, data in files.items():
            head = {"X-Repo-Commit": COMMIT, "ETag": f'"{sha256(data).hexdigest()}"'}
            server.routes[f"/test/minilm/resolve/{COMMIT}/{name}"] = answer(data, **head)

    def embedder(self, http: HttpService | None = None) -> HubEmbedder:
        embedder = HubEmbedder({"model": "test/minilm", "revision": COMMIT})
        embedder.connect(http or self.http)
        return embedder


@pytest.fixture
def the_hub(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    from huggingface_hub import constants

    folder = repository(tmp_path / "repository")
    (folder / "modeling.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://{server.host}")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return Hub(server, {path.relative_to(folder).as_posix(): path.read_bytes()
                        for path in sorted(folder.rglob("*")) if path.is_file()})  # fmt: skip


def test_a_model_is_fetched_once_and_gives_its_own_vectors(the_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched as the commit has it, ONNX and JSON alone; then it is there without the hub, whatever may be asked."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    first, packaged = the_hub.embedder(), MiniLmEmbedder()
    assert np.array_equal(first.embed_query("heart failure"), packaged.embed_query("heart failure"))
    assert first.max_tokens == packaged.max_tokens
    fetched = {path.rpartition(COMMIT)[2][1:] for path in the_hub.server.paths if "/resolve/" in path}
    assert fetched == {*SETTINGS, "onnx/model.onnx", "tokenizer.json"}
    assert {headers.get("authorization") for _, headers in the_hub.server.seen} == {"Bearer hf_secret"}
    the_hub.server.seen.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert the_hub.embedder(HttpService()).identity == first.identity
    assert the_hub.server.seen == []


def test_the_hub_is_asked_only_where_the_operator_allows_it(the_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings decide, and HF_HUB_OFFLINE; each refusal says what to do."""
    from huggingface_hub import constants

    with pytest.raises(UsageError, match=rf"host {the_hub.server.host} is not allowed; to allow it, add"):
        the_hub.embedder(HttpService(allow_hosts=["example.org"])).embed_query("x")
    with pytest.raises(UsageError, match="was not given the service http"):
        HubEmbedder({"model": "test/minilm", "revision": COMMIT}).embed_query("x")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set: fetch it once without"):
        the_hub.embedder().embed_query("x")
    assert the_hub.server.seen == []


def test_what_the_hub_refuses_is_told(the_hub: Hub) -> None:
    """What is not there must be changed; what may pass is tried again; a token is sent only where there is one."""
    asked, tree = f"/api/models/test/minilm/revision/{COMMIT}", f"/api/models/test/minilm/tree/{COMMIT}"
    the_hub.server.routes[asked] = [answer(status=401), answer(status=503), answer(b"{}")]
    with pytest.raises(UsageError, match="HTTP 401 Unauthorized; check model and revision, and HF_TOKEN"):
        the_hub.embedder().embed_query("x")
    with pytest.raises(TransientError, match="HTTP 503"):
        the_hub.embedder().embed_query("x")
    nothing = answer(b"[]", media_type="application/json")
    the_hub.server.routes[tree] = [answer(status=404), answer(status=403), nothing]
    for status in (404, 403):
        with pytest.raises(UsageError, match=f"cannot be fetched from .*{status}"):
            the_hub.embedder().embed_query("x")
    with pytest.raises(StorageError, match=r"model\.onnx cannot be read"):
        the_hub.embedder().embed_query("x")
    assert not [headers for _, headers in the_hub.server.seen if "authorization" in headers]


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (500, TransientError),
        (429, TransientError),
        (403, UsageError),
        (OSError, StorageError),
        (ConnectError, TransientError),
        (KeyError, KeyError),
    ],
)
def test_a_broken_download_is_one_of_our_errors(error: Any, becomes: type[Exception]) -> None:
    """What may pass, what must be changed, and what the disk did are told apart; a slip of the program stays one."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    from medical_kg.embedders import hubcache

    if isinstance(error, int):
        request = httpx2.Request("GET", "http://hub/x")
        raised: Exception = HfHubHTTPError("no", response=httpx2.Response(error, request=request))
    else:
        raised = error("no")
    assert type(hubcache._told(raised, "what")) is becomes


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"modules": [*MODULES, {"type": "sentence_transformers.models.Dense"}]}, "modules that are not supported: Dense"),
        ({"modules": {}}, r"modules\.json is no list"),
        ({"Pooling": {"pooling_mode_weightedmean_tokens": True}}, "pools by 'pooling_mode_weightedmean_tokens'"),
        ({"Pooling": None}, "does not say how its token vectors are pooled; supported are mean, cls"),
        ({"sentence_bert_config": {"do_lower_case": True}}, "do_lower_case"),
        ({"sentence_bert_config": None, "config": {"hidden_size": 384}}, "give option max_tokens"),
        ({"config": {}}, r"config\.json does not say how long"),
        ({"config": "{"}, r"config\.json is no JSON"),
        ({"config": []}, r"config\.json is no JSON object"),
        ({"config": "[" * 100_000}, r"config\.json is no JSON"),
        ({"config_sentence_transformers": {"suffix": "x"}}, "wants a suffix"),
        ({"Pooling": {"pooling_mode": "mean", "include_prompt": False},
          "config_sentence_transformers": {"prompts": {"query": "q"}}}, "leaves its prompts out"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_as_its_makers_mean_it_is_refused(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    """No vector is made that sentence-transformers would not make: the message names what is in the way."""
    embedder = made(repository(tmp_path, **changed))
    with pytest.raises((UsageError, StorageError), match=says):
        embedder.embed_query("x")


def test_settings_are_taken_as_sentence_transformers_takes_them(tmp_path: Path) -> None:
    """Both ways to name a pooling; length 1 unless dot products are compared; prompts by the task, else the usual one."""
    plain = made(repository(tmp_path / "a")).identity
    assert (plain.pooling, plain.dimension, plain.max_tokens, plain.normalized) == ("mean", 384, 256, True)
    said = {
        "modules": MODULES[:2],
        "Pooling": {"embedding_dimension": 384, "pooling_mode": "cls", "include_prompt": True},
        "config_sentence_transformers": {
            "similarity_fn_name": "dot",
            "prompts": {"passage": "passage: ", "usual": "query: "},
            "default_prompt_name": "usual",
        },
        "sentence_bert_config": None,
    }
    other = made(repository(tmp_path / "b", **said))
    assert (other.identity.pooling, other.identity.max_tokens, other.identity.normalized) == ("cls", 512, False)
    assert other._loaded.prompts == ("passage: ", "query: ")
    assert other.max_tokens == 512 - 2 - 2
    assert made(tmp_path / "b", query_prefix="", document_prefix="")._loaded.prompts == ("", "")


def test_without_the_extra_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is named together with the command that installs it; a folder needs no hub."""
    there = util.find_spec
    monkeypatch.setattr(hub, "find_spec", lambda name: None if name == "huggingface_hub" else there(name))
    with pytest.raises(EmbedderUnavailable, match=r"needs huggingface_hub.*; pip install 'medical-kg\[hub\]'"):
        HubEmbedder({"model": "test/minilm", "revision": COMMIT}).embed_query("x")
    assert made(repository(tmp_path)).identity.dimension == 384
