"""``medical-kg graph``: nodes with their evidence, what is around them, and the graph as files and pages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from medical_kg.commands.graph import NodeNotFound, app
from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Claim, Entity, Mention
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.stores.database import DatabaseStore
from medical_kg.testing import FakeWorkspace


class Stores:
    """The plugins service with the default store alone."""

    def get(self, door: str, name: str) -> Any:
        assert (door, name) == ("medical_kg.stores", "database")
        return DatabaseStore


@dataclass
class Context:
    """What the command line hands to a command."""

    workspace: FakeWorkspace
    json: bool = False
    plugins: Stores = field(default_factory=Stores)

    def workspace_of(self, tenant: str) -> FakeWorkspace:
        assert tenant == "default"
        return self.workspace


def entity(root: str, node: str, name: str, kind: str = "condition") -> Entity:
    return Entity(id=f"{root}{node}", root=root, node=node, kind=kind, name=name, identifiers=(node,))


def claim(root: str, subject: str, object_: str) -> Claim:
    return Claim(
        id=f"{root}{subject}{object_}",
        root=root,
        subject=subject,
        predicate="studies",
        object=object_,
        evidence=Mention(pointer="/c/0", block="b1", start=8, end=23, text="Heart [Failure]"),
        method="structured",
        provenance=Provenance(source="files", uri="file:///a.json"),
    )


@pytest.fixture
def workspace(tmp_path: Path) -> FakeWorkspace:
    """Two trials that share a condition, and a condition with a like name."""
    found = FakeWorkspace(tmp_path)
    graph = DatabaseStore(found.database_url).graph()
    graph.replace(
        ["r1", "r2"],
        [
            entity("r1", "nct:1", "First trial", "trial"),
            entity("r2", "nct:2", "Second trial", "trial"),
            entity("r1", "mesh:D1", "Heart Failure"),
            entity("r2", "mesh:D1", "Heart Failure"),
            entity("r2", "mesh:D2", "Heart Failure, Diastolic"),
        ],
        [claim("r1", "nct:1", "mesh:D1"), claim("r2", "nct:2", "mesh:D1"), claim("r2", "nct:2", "mesh:D2")],
        version=0,
    )
    graph.close()
    return found


def run(context: Context, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=context)


def test_show_gives_a_node_with_its_evidence(workspace: FakeWorkspace) -> None:
    """A node is shown with its edges in both directions, the words, their place and origin; nothing is cut."""
    result = run(Context(workspace), "show", "MESH:d1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "Heart Failure",
        "  id:        mesh:D1",
        "  kind:      condition",
        "  known as:  mesh:D1",
        "  stated by: 2",
        "  <- studies  nct:1  First trial",
        '       "Heart [Failure]" at /c/0 (structured; files: file:///a.json)',
        "  <- studies  nct:2  Second trial",
        '       "Heart [Failure]" at /c/0 (structured; files: file:///a.json)',
    ]


def test_a_text_that_matches_several_is_said(workspace: FakeWorkspace) -> None:
    """The best match is shown; on stderr stands what else there is."""
    result = run(Context(workspace), "show", "heart")
    assert result.stderr.splitlines() == [
        "'heart' matches 2 nodes; showing the first:",
        "  mesh:D1  Heart Failure (condition, stated by 2)",
        "  mesh:D2  Heart Failure, Diastolic (condition, stated by 1)",
    ]
    assert result.stdout.startswith("Heart Failure\n")


def test_a_text_that_matches_one_needs_no_words(workspace: FakeWorkspace) -> None:
    """A clear match is just shown."""
    result = run(Context(workspace), "show", "diastolic failure")
    assert (result.stderr, result.stdout.splitlines()[0]) == ("", "Heart Failure, Diastolic")


def test_a_whole_name_is_a_clear_match(workspace: FakeWorkspace) -> None:
    """A name as it stands is that node, but for a better known match or another node of this name: then all are told."""
    result = run(Context(workspace), "show", "heart failure")
    assert (result.stderr, result.stdout.splitlines()[1]) == ("", "  id:        mesh:D1")
    graph = DatabaseStore(workspace.database_url).graph()
    graph.replace(["r3"], [entity("r3", "umls:C1", "Heart failure")], [], version=0)
    graph.close()
    result = run(Context(workspace), "show", "heart failure")
    assert "'heart failure' matches 3 nodes" in result.stderr
    assert result.stdout.splitlines()[1] == "  id:        mesh:D1"
    graph = DatabaseStore(workspace.database_url).graph()
    graph.replace(["r4"], [entity("r4", "umls:C2", "Failure")], [], version=0)
    graph.close()
    assert "'failure' matches 4 nodes" in run(Context(workspace), "show", "failure").stderr


def test_many_matches_are_not_all_listed(workspace: FakeWorkspace) -> None:
    """Beyond ten matches the rest is left unnamed."""
    graph = DatabaseStore(workspace.database_url).graph()
    graph.replace(["r3"], [entity("r3", f"x:{number:02}", f"Pain {number:02}") for number in range(12)], [], version=0)
    graph.close()
    lines = run(Context(workspace), "show", "pain").stderr.splitlines()
    assert lines[0] == "'pain' matches 10 nodes and more; showing the first:"
    assert len(lines) == 11


@pytest.mark.parametrize(("flag", "wide"), [(("--json",), False), ((), True)])
def test_show_as_json(workspace: FakeWorkspace, flag: tuple[str, ...], wide: Any) -> None:
    """JSON goes to stdout whole, asked for here or for all commands."""
    result = run(Context(workspace, json=wide), "show", "mesh:D2", *flag)
    found = json.loads(result.stdout)
    assert found["node"]["name"] == "Heart Failure, Diastolic"
    assert [(edge["subject"], edge["evidence"]) for edge in found["edges"]] == [("nct:2", "Heart [Failure]")]
    assert [(edge["pointer"], edge["block"], edge["start"], edge["end"]) for edge in found["edges"]] == [
        ("/c/0", "b1", 8, 23)
    ]


@pytest.mark.parametrize(("depth", "expected"), [("1", ["nct:2"]), ("3", ["nct:2", "mesh:D1", "nct:1"])])
def test_neighbors_lists_the_nearest_first(workspace: FakeWorkspace, depth: str, expected: list[str]) -> None:
    """Below the node itself stand the nodes around it; depth says how far to go."""
    shown = run(Context(workspace), "neighbors", "mesh:D2", "--depth", depth).stdout
    assert [line.split()[0] for line in shown.splitlines()[5:]] == expected


def test_neighbors_as_json(workspace: FakeWorkspace) -> None:
    """Nodes and the edges between them come as JSON."""
    found = json.loads(run(Context(workspace), "neighbors", "nct:2", "--json").stdout)
    assert found["node"]["id"] == "nct:2"
    assert [node["id"] for node in found["nodes"]] == ["mesh:D1", "mesh:D2"]
    assert len(found["edges"]) == 2


def test_limits_are_said(workspace: FakeWorkspace) -> None:
    """Where the limit may have cut something, stderr says so."""
    assert "at most 1 edges are shown" in run(Context(workspace), "show", "mesh:D1", "--limit", "1").stderr
    assert "at most 1 nodes are shown" in run(Context(workspace), "neighbors", "mesh:D1", "--limit", "1").stderr


def test_an_unknown_node_is_a_clear_error(workspace: FakeWorkspace, tmp_path: Path) -> None:
    """What is not there is an error with advice: another word, or a first run."""
    for place, advice in [(workspace, "it holds 4 nodes"), (FakeWorkspace(tmp_path / "new"), "run a pipeline with")]:
        place.root.mkdir(exist_ok=True)
        result = run(Context(place), "show", "zebra")
        assert isinstance(result.exception, NodeNotFound)
        assert result.exception.exit_code == 2
        assert "no node 'zebra'" in str(result.exception)
        assert advice in str(result.exception)


def test_show_says_who_denies_what(workspace: FakeWorkspace) -> None:
    """An edge found in a text is shown with its sentence, denial, document where it is another, stage and confidence."""
    graph = DatabaseStore(workspace.database_url).graph()
    support = {
        "sentence": Mention(text="No heart [failure]."),
        "polarity": "negated",
        "document": "pmid:9",
        "stage": "extract 2.1.0",
        "confidence": 0.8,
        "method": "dictionary",
    }
    graph.replace(["r9"], [], [claim("r9", "drug:x", "mesh:D2").model_copy(update=support)], version=0)
    graph.close()
    said = '"No heart [failure]." at /c/0 (denied, in pmid:9, dictionary, extract 2.1.0, confidence 0.8; files: '
    assert said in run(Context(workspace), "show", "mesh:D2").stdout


def idents(graphml: str) -> list[str]:
    return re.findall(r'<node id="([^"]+)"', graphml)


def test_export_writes_what_is_around_a_node(workspace: FakeWorkspace) -> None:
    """The surroundings of a node go to stdout in the format asked for; where the limit cut them, stderr says so."""
    result = run(Context(workspace), "export", "mesh:D2", "--depth", "2")
    assert (result.exit_code, result.stderr, idents(result.stdout)) == (0, "", ["mesh:D2", "nct:2", "mesh:D1"])
    cut = run(Context(workspace), "export", "mesh:D2", "--depth", "2", "--limit", "1")
    assert idents(cut.stdout) == ["mesh:D2", "nct:2"]
    assert cut.stdout.count("<edge ") == 1
    assert "Only the 1 nearest nodes are shown; there are more." in cut.stderr


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("graphml", "<?xml "),
        ("mermaid", "flowchart LR"),
        ("dot", "digraph "),
        ("rdf", "<urn:medical-kg:node:mesh:D1> "),
        ("neo4j", "CREATE CONSTRAINT "),
    ],
)
def test_export_writes_the_whole_graph(workspace: FakeWorkspace, tmp_path: Path, form: str, begins: str) -> None:
    """With --all every node and edge is in the file, in each format, and nothing else is left beside it."""
    out = tmp_path / "out" / "graph"
    out.parent.mkdir()
    result = run(Context(workspace), "export", "--all", "--format", form, "--out", str(out))
    assert (result.exit_code, result.stdout, list(out.parent.iterdir())) == (0, "", [out])
    written = out.read_text(encoding="utf-8")
    assert written.startswith(begins)
    assert written.endswith("\n")
    assert written.count("Heart Failure, Diastolic") == 1
    assert written.count("Second trial") == 1


@pytest.mark.parametrize("arguments", [(), ("mesh:D1", "--all")])
def test_export_wants_a_node_or_all(workspace: FakeWorkspace, arguments: tuple[str, ...]) -> None:
    """Neither and both are refused, with both ways named."""
    result = run(Context(workspace), "export", *arguments)
    assert isinstance(result.exception, UsageError)
    assert "--all" in str(result.exception)


def test_a_file_that_cannot_be_written_is_a_clear_error(workspace: FakeWorkspace, tmp_path: Path) -> None:
    """The error names the file and the option."""
    result = run(Context(workspace), "export", "--all", "--out", str(tmp_path / "absent" / "graph.xml"))
    assert isinstance(result.exception, UsageError)
    assert "graph.xml: No such file or directory; name another file with --out" in str(result.exception)


def test_page_writes_one_file(workspace: FakeWorkspace, tmp_path: Path) -> None:
    """The page holds the node and what is around it, names no other file to load, and says what it left out."""
    out = tmp_path / "page.html"
    result = run(Context(workspace), "page", "mesh:D1", "--out", str(out))
    assert (result.exit_code, result.stderr) == (0, f"{out}: Heart Failure and 2 nodes around it\n")
    html = out.read_text(encoding="utf-8")
    assert re.findall(r"<title>([^<]*)</title>\n<style>", html) == ["Heart Failure · medical-kg"]
    assert "First trial" in html
    assert re.findall(r"<(?:link|img|iframe|script)[^>]* (?:src|href)=", html) == []
    run(Context(workspace), "page", "mesh:D1", "--out", str(out), "--limit", "1")
    assert "Only the 1 nearest nodes are shown; there are more." in out.read_text(encoding="utf-8")


def test_the_graph_alone_shows_its_commands() -> None:
    """Without a command the help names them all."""
    result = CliRunner().invoke(app, [])
    assert [name for name in ("show", "neighbors", "export", "page") if name not in result.output] == []
