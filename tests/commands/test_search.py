from __future__ import annotations

import io
import json
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from medical_kg.commands.search import app, snippet
from medical_kg.documents.ir import Document, Provenance
from medical_kg.documents.records import Chunk, Embedding
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.orchestration.contract.errors import PluginBroken, UsageError
from medical_kg.stores.database import DatabaseStore
from medical_kg.testing import FakeWorkspace

PROVENANCE = Provenance(source="files", uri="mem:")
STROKE = "Aspirin was given early. It prevented a second stroke in most patients."


class Installed:
    """The plugins service with the default store and two embedders, one of them broken."""

    def get(self, door: str, name: str) -> Any:
        if name == "broken":
            raise PluginBroken(door, name, "somewhere 1.0", "it does not load")
        return {"database": DatabaseStore, "hashing": HashingEmbedder}[name]

    def names(self, door: str) -> tuple[str, ...]:
        assert door == "medical_kg.embedders"
        return ("broken", "hashing")


@dataclass
class Context:
    """What the command line hands to a command."""

    workspace: FakeWorkspace
    json: bool = False
    plugins: Installed = field(default_factory=Installed)
    printed: io.StringIO = field(default_factory=io.StringIO)

    @property
    def console(self) -> Console:
        return Console(file=self.printed, width=60, markup=False)

    def workspace_of(self, tenant: str) -> FakeWorkspace:
        assert tenant == "default"
        return self.workspace


def fill(workspace: FakeWorkspace, embedder: HashingEmbedder | None) -> None:
    """Two documents of one chunk each."""
    texts = {"nct:1": STROKE, "nct:2": "[Insulin] lowers glucose."}
    documents = [
        Document(id=name, root=name, kind="trial", title="", text=text, sections=(), provenance=PROVENANCE)
        for name, text in texts.items()
    ]
    documents[0] = documents[0].model_copy(update={"title": "Aspirin [early]"})
    chunks = [
        Chunk(
            id=f"{name}#0",
            root=name,
            document=name,
            ordinal=0,
            start=0,
            end=len(text),
            section="Results" if name == "nct:1" else "",
            text=text,
            tokens=9,
        )
        for name, text in texts.items()
    ]
    embeddings = [
        Embedding(id=one.id, root=one.root, embedder=embedder.identity, vector=embedder.embed_query(one.text))
        for one in (chunks if embedder else [])
        if embedder
    ]
    with closing(DatabaseStore(workspace.database_url).index()) as index:
        index.replace(documents, chunks, embeddings, version=0)


@pytest.fixture
def workspace(tmp_path: Path) -> FakeWorkspace:
    made = FakeWorkspace(tmp_path)
    fill(made, HashingEmbedder())
    return made


def run(context: Context, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=context)


def test_passages_are_shown_best_first(workspace: FakeWorkspace) -> None:
    """Each hit has its title (or id), document, score, ranks, section and the words around."""
    context = Context(workspace)
    result = run(context, "second", "stroke", "--limit", "1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert context.printed.getvalue().splitlines() == [
        "1. Aspirin [early]  nct:1  0.0328 (text 1, vector 1)",
        f"   Results: {STROKE}",
    ]
    context = Context(workspace)
    run(context, "insulin", "--kind", "text")
    assert context.printed.getvalue().splitlines() == [
        "1. nct:2  nct:2  0.0164 (text 1)",
        "   [Insulin] lowers glucose.",
    ]


@pytest.mark.parametrize(("flag", "wide"), [(("--json",), False), ((), True)])
def test_hits_as_json(workspace: FakeWorkspace, flag: tuple[str, ...], wide: Any) -> None:
    """JSON goes to stdout whole, asked for here or for all commands, and nothing else does."""
    context = Context(workspace, json=wide)
    found = json.loads(run(context, "stroke", *flag).stdout)
    assert [hit["document"] for hit in found] == ["nct:1", "nct:2"]
    assert found[0]["text"] == STROKE
    assert found[0]["ranks"] == {"text": 1, "vector": 1}
    assert context.printed.getvalue() == ""


def fill_long(workspace: FakeWorkspace, chunks: int) -> None:
    """A document of many chunks that say more of dengue than the two others, which have one each."""
    documents = [
        Document(id=name, root=name, kind="article", title="", text="", sections=(), provenance=PROVENANCE)
        for name in ("long", "short", "other")
    ]
    texts = [("long", "dengue dengue")] * chunks + [("short", "dengue in cities"), ("other", "cities with dengue now")]
    parts = [
        Chunk(id=f"{name}#{n}", root=name, document=name, ordinal=n, start=0, end=1, section="", text=text, tokens=1)
        for n, (name, text) in enumerate(texts)
    ]
    with closing(DatabaseStore(workspace.database_url).index()) as index:
        index.replace(documents, parts, [], version=0)


@pytest.mark.parametrize("chunks", [3, 500])
def test_one_document_does_not_fill_the_list(tmp_path: Path, chunks: int) -> None:
    """At most two passages of a document are shown, however many it has that are better than those of others."""
    fill_long(workspace := FakeWorkspace(tmp_path), chunks)
    found = json.loads(run(Context(workspace), "dengue", "--kind", "text", "--limit", "4", "--json").stdout)
    assert [hit["document"] for hit in found] == ["long", "long", "short", "other"]
    assert found[0]["ranks"] == {"text": 1}


@pytest.mark.parametrize(("most", "expected"), [("1", ["long", "short", "other"]), ("0", ["long"] * 4)])
def test_how_many_of_a_document_can_be_chosen(tmp_path: Path, most: str, expected: list[str]) -> None:
    """``--per-document`` says how many; 0 shows the best passages whatever document they are of."""
    fill_long(workspace := FakeWorkspace(tmp_path), 9)
    arguments = ("dengue", "--kind", "text", "--limit", "4", "--per-document", most, "--json")
    assert [hit["document"] for hit in json.loads(run(Context(workspace), *arguments).stdout)] == expected


def test_nothing_found_is_said(workspace: FakeWorkspace) -> None:
    """No hit is no error; as JSON it is an empty list."""
    context = Context(workspace)
    assert run(context, "zebra", "--kind", "text").exit_code == 0
    assert context.printed.getvalue() == "nothing found\n"
    assert json.loads(run(Context(workspace), "zebra", "--kind", "text", "--json").stdout) == []


def test_an_index_without_vectors_is_searched_by_words_and_that_is_said(tmp_path: Path) -> None:
    """Falling back is told on stderr (in JSON the ranks tell it); asking for vectors is an error."""
    workspace = FakeWorkspace(tmp_path)
    fill(workspace, None)
    assert run(Context(workspace), "stroke").stderr == "the index has no vectors: searching by words only\n"
    result = run(Context(workspace), "stroke", "--json")
    assert (result.stderr, json.loads(result.stdout)[0]["ranks"]) == ("", {"text": 1})
    result = run(Context(workspace), "stroke", "--kind", "vector")
    assert isinstance(result.exception, UsageError)
    assert "no vectors; run a pipeline with an embed stage" in str(result.exception)


def test_an_index_of_another_embedder_is_searched_by_words_only_when_asked(tmp_path: Path) -> None:
    """Without the embedder that made the vectors the command says which it needs and what there is."""
    workspace = FakeWorkspace(tmp_path)
    fill(workspace, HashingEmbedder({"dimension": 64}))
    error = run(Context(workspace), "stroke").exception
    assert isinstance(error, UsageError)
    assert "made with feature-hashing (not semantic), sha256 " in str(error)
    assert "64 dimensions, 8192 tokens; installed: broken (unusable: " in str(error)
    assert "hashing (feature-hashing (not semantic), sha256 " in str(error)
    assert run(Context(workspace), "stroke", "--kind", "text").exit_code == 0


def test_an_embedder_s_options_may_stand_in_the_settings(tmp_path: Path) -> None:
    """With the options it was made with in medical_kg.toml, the embedder is found."""
    workspace = FakeWorkspace(tmp_path, {"embedders": {"hashing": {"dimension": 64}}})
    fill(workspace, HashingEmbedder({"dimension": 64}))
    assert json.loads(run(Context(workspace), "stroke", "--json").stdout)[0]["document"] == "nct:1"


def test_a_snippet_is_cut_around_the_first_word_found() -> None:
    """It begins at a word shortly before the query's, marks what is left out, and puts the query's words in bold."""
    text = snippet("Stroke (risk", "alpha " * 30 + "\n the stroke risk " + "omega " * 30, 40)
    assert text.plain == "… alpha the stroke risk omega omega omega …"
    assert [text.plain[span.start : span.end] for span in text.spans] == ["stroke", "risk"]
    assert snippet("a of", "short passage").plain == "short passage"
    assert snippet("x", "y" * 300, 40).plain == "y" * 40 + " …"
