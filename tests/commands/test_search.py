from __future__ import annotations

import io
import json
import re
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner, Result

from medical_kg.commands.passages import snippet
from medical_kg.commands.search import app
from medical_kg.documents.ir import Block, Document, Provenance, Section
from medical_kg.documents.records import Chunk, EmbedderIdentity, Embedding, Entity
from medical_kg.embedders.contract import Embedder
from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.orchestration.contract.errors import PluginBroken, TransientError, UsageError
from medical_kg.stores.database import DatabaseStore
from medical_kg.testing import FakeWorkspace

PROVENANCE = Provenance(source="files", uri="mem:")
STROKE = "Aspirin was given early. It prevented a second stroke in most patients."


class Far(Embedder):
    """Cannot tell its identity now."""

    @property
    def identity(self) -> EmbedderIdentity:
        raise TransientError("the hub does not answer")


class Installed:
    """The plugins service with the default store and three embedders, of which one is broken and one has no hub to ask."""

    def get(self, door: str, name: str) -> Any:
        if name == "broken":
            raise PluginBroken(door, name, "somewhere 1.0", "it does not load")
        return {"database": DatabaseStore, "hashing": HashingEmbedder, "far": Far}[name]

    def names(self, door: str) -> tuple[str, ...]:
        assert door == "medical_kg.embedders"
        return ("broken", "far", "hashing")


@dataclass
class Context:
    """What the command line hands to a command."""

    workspace: FakeWorkspace
    json: bool = False
    http: Any = None
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
    blocks = (Block(id="b0", start=0, end=6, pointer="page=2"), Block(id="b1", start=7, end=78, pointer="page=3"))
    body = {"text": f"Before {STROKE}", "sections": (Section(id="s", blocks=blocks),)}
    more = {"title": "Aspirin [early]", "published": "2019-05", **body}
    documents[0] = documents[0].model_copy(update=more)
    chunks = [
        Chunk(
            id=f"{name}#0",
            root=name,
            document=name,
            ordinal=0,
            start=7 if name == "nct:1" else 0,
            end=len(text) + (7 if name == "nct:1" else 0),
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
    """Each hit has its title (or id), document, score, ranks, section, place and the words around."""
    context = Context(workspace)
    result = run(context, "second", "stroke", "--limit", "1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert context.printed.getvalue().splitlines() == [
        "1. Aspirin [early]  nct:1  1.0000 (text 1, vector 1)",
        "   Results, characters 7-78, page=3",
        f"   {STROKE}",
    ]
    context = Context(workspace)
    run(context, "insulin", "--kind", "text")
    assert context.printed.getvalue().splitlines() == [
        "1. nct:2  nct:2  1.0000 (text 1)",
        "   characters 0-25",
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
    assert found[0]["snippet"] == {
        "text": STROKE,
        "matches": [[47, 53]],
        "section": "Results",
        "start": 7,
        "end": 78,
        "block": "b1",
        "pointer": "page=3",
    }
    assert context.printed.getvalue() == ""


def speak_of(workspace: FakeWorkspace, **nodes: tuple[str, ...]) -> None:
    """A graph where each root speaks of these nodes."""
    roots = [root.replace("_", ":") for root in nodes]
    entities = [
        Entity(id=f"{root}|{node}", root=root, node=node, kind="condition", name=node[5:], identifiers=(node,))
        for root, known in zip(roots, nodes.values(), strict=True)
        for node in known
    ]
    with closing(DatabaseStore(workspace.database_url).graph()) as graph:
        graph.replace(roots, entities, [], version=0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["nct:1", "nct:2"]),
        (("--source", "nobody"), []),
        (("--source", "nobody", "--source", "files"), ["nct:1", "nct:2"]),
        (("--type", "article"), []),
        (("--since", "2019", "--until", "2019"), ["nct:1"]),
        (("--since", "2020"), []),
        (("--concept", "MESH:stroke"), ["nct:1", "nct:2"]),
        (("--concept", "mesh:stroke", "--concept", "mesh:aspirin"), ["nct:1"]),
    ],
)
def test_a_search_can_be_restricted(workspace: FakeWorkspace, options: tuple[str, ...], expected: list[str]) -> None:
    """By sources (any), types, years and concepts (all of them), each with and without the others."""
    speak_of(workspace, nct_1=("mesh:stroke", "mesh:aspirin"), nct_2=("mesh:stroke",))
    result = run(Context(workspace), "aspirin", "insulin", *options, "--json")
    assert sorted(hit["document"] for hit in json.loads(result.stdout)) == expected


def test_a_filter_that_cannot_be_meant_is_an_error(workspace: FakeWorkspace) -> None:
    """Years that end before they begin; a concept that is not in the graph, with those that may be meant."""
    speak_of(workspace, nct_1=("mesh:stroke",))
    for options, expected in {
        ("--since", "2020", "--until", "2019"): "--since 2020 is after --until 2019",
        ("--concept", "stroke"): r"concept with the id 'stroke'; do you mean mesh:stroke \(stroke\)\?",
        ("--concept", "mesh:none"): "'mesh:none'; look for it with: medical-kg graph show WORDS",
    }.items():
        error = run(Context(workspace), "aspirin", *options).exception
        with pytest.raises(UsageError, match=expected):
            raise error or AssertionError


def test_records_of_one_work_share_their_places(workspace: FakeWorkspace) -> None:
    """Of two records of one article the better passage is shown, with the other's id; a program is told both ids."""
    fields: dict[str, Any] = {"kind": "article", "title": "Dengue", "text": "dengue", "sections": ()}
    documents = [
        Document(id=name, root=name, identifiers=(name, "doi:10.1/x"), provenance=PROVENANCE, **fields)
        for name in ("pmid:1", "openalex:W1")
    ]
    place: dict[str, Any] = {"ordinal": 0, "start": 0, "end": 6, "section": "", "tokens": 1}
    texts = {"pmid:1": "dengue among many more words", "openalex:W1": "dengue"}
    chunks = [Chunk(id=name, root=name, document=name, text=text, **place) for name, text in texts.items()]
    with closing(DatabaseStore(workspace.database_url).index()) as index:
        index.replace(documents, chunks, [], version=2)
    words = ("dengue", "--kind", "text")
    context = Context(workspace)
    run(context, *words, "--per-document", "1")
    (first, where, also, _) = context.printed.getvalue().splitlines()
    assert (first.split()[2], where, also) == ("openalex:W1", "   characters 0-6", "   also as pmid:1")
    found = json.loads(run(Context(workspace), *words, "--json").stdout)
    assert [(hit["document"], hit["same_work"]) for hit in found] == [
        ("openalex:W1", ["pmid:1"]),
        ("pmid:1", ["openalex:W1"]),
    ]


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


def shown(text: str, *words: str, size: int = 240) -> str:
    """The snippet of a text in which these words are matches, with matches in capitals."""
    matches = sorted((at.start(), at.end()) for word in words for at in re.finditer(word, text))
    line = snippet(text, tuple(matches), size).styled()
    plain = line.plain
    for span in line.spans:
        plain = plain[: span.start] + plain[span.start : span.end].upper() + plain[span.end :]
    return plain


def test_a_snippet_is_cut_around_the_words_found() -> None:
    """It begins at a word shortly before, marks what is left out, and puts matches in bold, all on one line."""
    text = "alpha " * 30 + "\n the stroke risk " + "omega " * 30
    assert shown(text, "stroke", "risk", size=40) == "… the STROKE RISK omega omega omega omega …"
    assert shown("short  passage ") == "short passage"
    assert shown("y" * 300, size=40) == "y" * 40 + " …"
    assert shown("alpha beta " * 9, size=20) == "alpha beta alpha …"
    assert shown("alpha " * 9 + "omega", "omega", size=20).endswith("alpha OMEGA")


def test_a_snippet_shows_most_different_words() -> None:
    """One word many times tells less than two words once."""
    text = "risk risk risk " + "alpha " * 30 + "stroke risk"
    assert "STROKE RISK" in shown(text, "risk", "stroke", size=40)


@given(st.text(st.sampled_from("ab \n"), max_size=120), st.data(), st.integers(4, 60))
def test_a_snippet_is_a_part_of_its_text(text: str, data: st.DataObject, size: int) -> None:
    """Never longer than asked for, within the text, and every match it names is inside it."""
    ends = st.integers(0, len(text))
    pairs = data.draw(st.lists(st.tuples(ends, ends).filter(lambda one: one[0] < one[1]), max_size=4))
    matches = tuple(
        one for number, one in enumerate(sorted(pairs)) if all(one[0] >= two[1] for two in sorted(pairs)[:number])
    )
    part = snippet(text, matches, size)
    assert 0 <= part.start <= part.end <= len(text)
    assert part.end - part.start <= size
    assert all(part.start <= start < end <= part.end for start, end in part.matches)
