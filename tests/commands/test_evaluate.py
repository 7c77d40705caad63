"""``medical-kg evaluate entities``: a pipeline measured through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from medical_kg.cli.app import app

GOLD = (
    "1|t|Gout and fever.\n1|a|Gout was seen.\n1\t0\t4\tGout\tDisease\tD006073\n1\t9\t14\tfever\tDisease\tD005334\n"
    "1\t16\t20\tGout\tDisease\tD006073\n1\t5\t8\tand\tOdd\t-1\n"
)
PIPELINE = """\
name: concepts
version: "1"
applicable_sources: [files]
metadata: {owner: o, description: d, tags: []}
stages:
  - {name: ingest, type: ingest, config: {adapter: files}}
  - {name: parse, type: parse, depends_on: [ingest]}
  - name: extract
    type: extract
    depends_on: [parse]
    config: {vocabularies: [{vocabulary: tsv, options: {path: TABLE, kind: condition}}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A gold file, a table of two concepts, and a pipeline."""
    (tmp_path / "gold.txt").write_text(GOLD, encoding="utf-8")
    (tmp_path / "table.tsv").write_text("MESH:D006073\tGout\t\nX:1\tseen\t\n", encoding="utf-8")
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("TABLE", str(tmp_path / "table.tsv")), encoding="utf-8")
    return tmp_path


def evaluate(folder: Path, *words: str, pipeline: str = "p.yaml", gold: str = "gold.txt") -> Result:
    where = ["--workspace", str(folder / "w"), "evaluate", "entities", str(folder / gold)]
    return CliRunner().invoke(app, [*where, "--pipeline", str(folder / pipeline), *words])


def test_figures_and_errors_for_a_person(folder: Path) -> None:
    """Two of three spans and one of two ids are found, one of each is made up; errors show their context."""
    result = evaluate(folder, "--errors", "5")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:3] == ["1", "documents", "in"]
    assert [line for line in lines if line[:1] == ["condition"]] == [
        ["condition", "0.667", "0.667", "0.667"],
        ["condition", "0.500", "0.500", "0.500"],
    ]
    assert "not measured: Odd (1); measure a type with --type TYPE=KIND" in result.stdout
    assert "pmid:1 25-29 condition: …Gout and fever. Gout was [seen].…" in result.stdout
    assert "pmid:1 9-14 condition: …Gout and [fever]. Gout was seen.…" in result.stdout
    assert not (folder / "w").exists()


def test_figures_for_a_program(folder: Path) -> None:
    """With --json everything is data, and a type may be measured as a kind."""
    result = evaluate(folder, "--json", "--type", "Odd=oddity")
    data = json.loads(result.stdout)
    assert data["spans"]["condition"]["right"] == 2
    assert data["spans"]["oddity"] == {"right": 0, "wrong": 0, "missed": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert data["not_measured"] == {}
    assert [one["error"] for one in data["errors"]].count("false negative") == 2


@pytest.mark.parametrize(
    ("words", "changes", "says"),
    [
        (["--type", "Odd"], {}, "--type takes TYPE=KIND"),
        ([], {"gold.txt": "no gold"}, "is no PubTator file that can be read"),
        ([], {"gold.txt": "1|t|Gout\n"}, "holds no annotation"),
        ([], {"p.yaml": PIPELINE.partition("  - name: extract")[0]}, "gives no entities; it gives documents, payloads"),
        ([], {"p.yaml": PIPELINE.replace("type: parse", "type: parze")}, "parze"),
        ([], {"p.yaml": PIPELINE.replace("vocabulary: tsv", "vocabulary: tsw")}, "tsw"),
        (
            [],
            {"p.yaml": PIPELINE.replace("[{vocabulary: tsv, options: {path: TABLE, kind: condition}}]", "[hgcn]")},
            "hgnc",
        ),
        ([], {"p.yaml": PIPELINE}, "TABLE does not exist"),
    ],
)
def test_what_cannot_be_measured_is_told(folder: Path, words: list[str], changes: dict[str, str], says: str) -> None:
    """Wrong options, files and pipelines are one message and an exit code, never a traceback."""
    for name, text in changes.items():
        (folder / name).write_text(text, encoding="utf-8")
    result = evaluate(folder, *words)
    assert result.exit_code not in (0, 1) or "Traceback" not in result.output
    assert result.exit_code != 0
    assert says in result.output


def test_items_that_fail_are_told(folder: Path) -> None:
    """A record that the pipeline rejects is named on standard error, and counts as nothing found."""
    with (folder / "gold.txt").open("a", encoding="utf-8") as stream:
        stream.write("\n2|t| \n2|a| \n")
    result = evaluate(folder)
    assert result.exit_code == 0
    assert "1 item could not be processed" in result.stderr
    assert "neither title nor abstract" in result.stderr
