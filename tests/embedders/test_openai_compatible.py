"""The embedder that asks an endpoint, against a server on the loopback address through the engine's own service."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest

from medical_kg import ItemRejected, TransientError
from medical_kg.documents.records import Chunk
from medical_kg.embedders import minilm
from medical_kg.embedders.conformance import EmbedderCase, EmbedderConformance
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.embedders.minilm import MiniLmEmbedder
from medical_kg.embedders.openai_compatible import OpenAICompatibleEmbedder
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.fetching import HttpService
from medical_kg.stages.embed import EmbedStage
from medical_kg.testing import run_stage

KEY = "sk-very-secret"
MODEL = HashingEmbedder({"dimension": 16})


class Endpoint:
    """Answers as OpenAI's API does, last vector first and none of length 1; ``canned`` is answered instead."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.canned: tuple[int, Any] | None = None
        self.headers: dict[str, str] = {}
        endpoint = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, asked))
                status, told = endpoint.canned or (200, endpoint.vectors(asked["input"]))
                body = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in endpoint.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.host = f"127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @staticmethod
    def vectors(texts: list[str]) -> dict[str, Any]:
        found = MODEL.embed_documents(texts) * 3
        data = [{"object": "embedding", "index": at, "embedding": one.tolist()} for at, one in enumerate(found)]
        return {"object": "list", "data": data[::-1], "model": "m", "usage": {"total_tokens": 1}}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.http.shutdown()
    running.http.server_close()


def made(endpoint: Endpoint, **options: Any) -> OpenAICompatibleEmbedder:
    embedder = OpenAICompatibleEmbedder(
        {"base_url": f"http://{endpoint.host}/v1/", "model": "m", "dimension": 16, **options}
    )
    embedder.connect(HttpService(allow_hosts=[endpoint.host]))
    return embedder


class TestConformance(EmbedderConformance):
    @pytest.fixture
    def case(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> EmbedderCase:
        monkeypatch.setenv("KG_TEST_KEY", KEY)
        options = {"base_url": f"http://{endpoint.host}/v1", "model": "m", "dimension": 16, "query_prefix": "query: "}
        return EmbedderCase(
            OpenAICompatibleEmbedder,
            options,
            others=[{"revision": "2"}, {"model": "n"}, {"query_prefix": "q"}, {"base_url": "https://x/v2"}],
            same=[{"api_key": {"env": "KG_TEST_KEY"}}],
            wrong=[{"dimension": 0}, {"base_url": "ftp://x"}],
            unusable=[{"base_url": "http://192.0.2.1/v1"}, {"dimension": 8}],
            http=HttpService(allow_hosts=[endpoint.host]),
            own_queries=True,
            cuts=False,
        )


def test_vectors_come_in_order_and_of_length_1(endpoint: Endpoint) -> None:
    """One request for all texts; the answer's order does not matter; an empty text is sent as a space."""
    texts = ["aspirin", "", "insulin"]
    found = made(endpoint).embed_documents(texts)
    assert np.allclose(found, MODEL.embed_documents(texts), atol=1e-6)
    [(path, headers, asked)] = endpoint.seen
    assert (path, asked) == ("/v1/embeddings", {"model": "m", "input": ["aspirin", " ", "insulin"]})
    assert "authorization" not in headers


def test_documents_and_queries_get_their_prefix(endpoint: Endpoint) -> None:
    """As models of the E5 family want it; the prefix takes room from the text."""
    embedder = made(endpoint, document_prefix="passage: ", query_prefix="query: ")
    embedder.embed_documents(["a"])
    embedder.embed_query("b")
    assert [asked["input"] for _, _, asked in endpoint.seen] == [["passage: a"], ["query: b"]]
    assert embedder.max_tokens < made(endpoint).max_tokens == 510


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is sent to the endpoint; neither logs nor errors nor the identity have it, also where the endpoint repeats it."""
    caplog.set_level(logging.DEBUG)
    embedder = made(endpoint, api_key={"env": "KG_TEST_KEY"})
    monkeypatch.delenv("KG_TEST_KEY", raising=False)
    with pytest.raises(UsageError, match="the environment variable KG_TEST_KEY, which is not set"):
        embedder.embed_query("x")
    monkeypatch.setenv("KG_TEST_KEY", KEY)
    embedder.embed_query("x")
    assert endpoint.seen[-1][1]["authorization"] == f"Bearer {KEY}"
    endpoint.canned = (401, {"error": {"message": f"wrong key {KEY}"}})
    with pytest.raises(UsageError, match=r"HTTP 401: wrong key \*\*\*; check base_url, model and key") as caught:
        embedder.embed_query("x")
    assert KEY not in f"{caught.value} {caught.value.__cause__} {caplog.text} {embedder.identity} {embedder.options}"


def test_only_hosts_that_the_operator_allows_are_asked(endpoint: Endpoint) -> None:
    """The settings decide, not the pipeline; a redirect is not followed; nothing is asked without the service."""
    embedder = made(endpoint)
    embedder.connect(HttpService(allow_hosts=["example.org"]))
    with pytest.raises(UsageError, match=rf'host {endpoint.host} is not allowed; to allow it, add "{endpoint.host}"'):
        embedder.embed_query("x")
    assert endpoint.seen == []
    embedder = made(endpoint)
    endpoint.canned, endpoint.headers = (307, b""), {"Location": f"http://{endpoint.host}/other"}
    with pytest.raises(UsageError, match="answers HTTP 307"):
        embedder.embed_query("x")
    assert len(endpoint.seen) == 1
    unconnected = OpenAICompatibleEmbedder({"base_url": "http://x/v1", "model": "m", "dimension": 16})
    with pytest.raises(UsageError, match="was not given the service http"):
        unconnected.embed_query("x")


@pytest.mark.parametrize(
    ("status", "told", "error", "says"),
    [
        (400, {"error": {"message": "too  long"}}, ItemRejected, "refuses the text: HTTP 400: too long"),
        (413, b"", ItemRejected, "refuses the text: HTTP 413$"),
        (404, {"error": "no model m"}, UsageError, "HTTP 404: no model m"),
        (429, b"", TransientError, "HTTP 429"),
        (503, b"", TransientError, "HTTP 503"),
        (200, b"<html>", UsageError, "no embeddings as OpenAI's API has them"),
        (200, {"data": []}, UsageError, "no embeddings as OpenAI's API has them"),
        (200, {"data": [{"index": 0, "embedding": [1, 2]}]}, UsageError, "dimension 2, the option dimension is 16"),
        (200, {"data": [{"index": 0, "embedding": 1}]}, UsageError, r"dimension \?, the option"),
        (200, {"data": [{"index": 0, "embedding": [float("nan")] * 16}]}, UsageError, "not finite"),
        (200, b'{"data": [{"index": 1e999, "embedding": [1]}]}', UsageError, "no embeddings .*OverflowError"),
        (200, b"[" * 2000, UsageError, "no embeddings as OpenAI's API has them"),
        (404, b"[" * 2000, UsageError, "HTTP 404; check base_url"),
        (200, b" " * 200_000, UsageError, "longer than the limit"),
    ],
)
def test_each_refusal_is_its_own(endpoint: Endpoint, status: int, told: Any, error: type[Exception], says: str) -> None:
    """A text that is refused is one item's; what may pass is tried again; all else stops the stage and says what to do."""
    embedder = made(endpoint)
    endpoint.canned = (status, told)
    with pytest.raises(error, match=says):
        embedder.embed_query("x")


def test_the_identity_names_the_endpoint_but_no_key() -> None:
    """Neither the address's path nor where the key is found."""
    base = {"base_url": "https://api.example.org/v1", "model": "m", "dimension": 16}
    first = OpenAICompatibleEmbedder(base).identity
    assert (first.model, first.dimension, first.max_tokens) == ("m at api.example.org", 16, 512)
    assert OpenAICompatibleEmbedder({**base, "api_key": {"env": "K"}}).identity == first


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"base_url": "ftp://x"}, "http or https"),
        ({"base_url": "https://u:p@x/v1"}, "api_key: "),
        ({"base_url": "https://x/v1?key=1"}, "api_key: "),
        ({"tokenizer_path": "t.json"}, "go together"),
        ({"dimension": 0}, "dimension"),
        ({"api_key": {"env": "a b"}}, "api_key.env: "),
        ({"api_key": "s3cret"}, "a secret is not written out"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any], says: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=says):
        OpenAICompatibleEmbedder({"base_url": "https://x/v1", "model": "m", "dimension": 16, **wrong})


def test_tokens_are_guessed_with_caution_or_counted() -> None:
    """Without a tokenizer there are at least as many guessed tokens as the real ones of English; with one, its own."""
    base = {"base_url": "https://x/v1", "model": "m", "dimension": 16}
    text = "Tirzepatide 3.5 mg reduced HbA1c (p<0.001) in patients."
    guessed = OpenAICompatibleEmbedder(base).token_offsets(text)
    assert [text[start:end] for start, end in guessed][:6] == ["Tir", "zep", "ati", "de", "3", "."]
    path = str(minilm.__file__).replace("minilm.py", "data/tokenizer.json")
    own = OpenAICompatibleEmbedder({**base, "tokenizer_path": path, "tokenizer_sha256": minilm.TOKENIZER_SHA256})
    counted = own.token_offsets(text)
    assert counted == MiniLmEmbedder().token_offsets(text)
    assert len(guessed) >= len(counted)


def test_a_text_that_is_refused_is_a_dead_letter_alone(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipeline's stage the others of the same request get their vectors."""
    chunks = [
        Chunk(id=f"d#{n}", root="r", document="d", ordinal=n, start=0, end=1, section="", text=text, tokens=1)
        for n, text in enumerate(["one", "BAD", "three"])
    ]

    http = HttpService(allow_hosts=[endpoint.host])
    posted = http.post

    def post(url: str, body: bytes, **more: Any) -> Any:
        endpoint.canned = (400, {"error": "bad"}) if b"BAD" in body else None
        return posted(url, body, **more)

    monkeypatch.setattr(http, "post", post)
    options = {"base_url": f"http://{endpoint.host}/v1", "model": "m", "dimension": 16}
    result = run_stage(
        EmbedStage, {"embedder": "openai-compatible", "options": options}, services={"http": http}, chunks=chunks
    )
    assert [one.id for one in result.output["embeddings"]] == ["d#0", "d#2"]
    assert [letter.item_id for letter in result.dead_letters] == ["d#1"]
