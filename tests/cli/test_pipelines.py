"""``medical-kg pipelines``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]

SHIPPED = ["auto", "clinical-trials", "pdf-convert", "pdf-two-phase", "pmc-fulltext", "pubmed"]


def test_shipped_pipelines_are_listed(cli: Cli) -> None:
    """The shipped pipelines are found by name, each with its description."""
    entries = json.loads(cli("pipelines", "list", "--json").stdout)
    assert [entry["name"] for entry in entries if entry["shipped"]] == SHIPPED
    assert all(entry["description"] for entry in entries)
    assert "shipped" in cli("pipelines", "list").stdout


def test_a_workspaces_pipelines_are_listed_with_their_path(cli: Cli, here: Path, feed: Path) -> None:
    """A file in the workspace's folder ``pipelines`` can be named, checked and drawn."""
    folder = here / ".medical-kg" / "pipelines"
    folder.mkdir(parents=True)
    feed.rename(folder / "feed.yaml")
    assert str(folder / "feed.yaml") in cli("pipelines", "list").stdout
    assert cli("pipelines", "check", "feed").stdout == "feed: ok\n"
    assert "parse: payloads ← ingest" in cli("pipelines", "graph", "feed").stdout


def test_all_shipped_pipelines_pass_the_check(cli: Cli) -> None:
    """The shipped pipelines are without errors; notes and warnings do not fail."""
    result = cli("pipelines", "check", *SHIPPED)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [name for name in SHIPPED if f"{name}: ok" not in result.stdout] == []


def test_all_problems_are_printed_with_place_and_caret(cli: Cli, here: Path, feed: Path) -> None:
    """A check prints every problem of every file and exits with 2 when any is an error."""
    bad = here / "bad.yaml"
    bad.write_text(feed.read_text().replace("type: parse", "type: prase").replace("NAME", "bad") + "colour: red\n")
    result = cli("pipelines", "check", "auto", "bad.yaml")
    assert result.exit_code == 2
    assert "auto: ok" in result.stdout
    assert "bad.yaml:6:" in result.stdout
    assert "did you mean 'parse'" in result.stdout
    assert "unknown key 'colour'" in result.stdout
    assert "bad.yaml: cannot run (2 errors" in result.stdout
    assert "^" in result.stdout


def test_warnings_do_not_fail(cli: Cli, here: Path, feed: Path) -> None:
    """What is likely a mistake is told, and the pipeline is fine; no field of a policy is named as not enforced."""
    feed.write_text(feed.read_text().replace("type: ingest,", "type: ingest, policy: polite-api,"))
    assert cli("pipelines", "check", "feed.yaml").stdout.splitlines() == ["feed.yaml: ok"]
    feed.write_text(feed.read_text() + "gates:\n  - {name: g, condition: {field: g}}\n")
    result = cli("pipelines", "check", "feed.yaml")
    assert (result.exit_code, "MKG060" in result.stdout) == (0, True)
    assert "feed.yaml: ok (1 warning)" in result.stdout


def test_a_verdict_can_be_read_by_a_program(cli: Cli, here: Path) -> None:
    """``--json`` gives one verdict for one pipeline, a list for several, with every problem's code and place."""
    (here / "bad.yaml").write_text("name: bad\n")
    one = cli("pipelines", "check", "bad.yaml", "--json")
    verdict = json.loads(one.stdout)
    assert (one.exit_code, verdict["ok"]) == (2, False)
    assert {"severity", "code", "file", "line", "column", "message"} <= set(verdict["problems"][0])
    several = json.loads(cli("pipelines", "check", "auto", "nope", "--json").stdout)
    assert [found["ok"] for found in several] == [True, False]
    assert "no pipeline is named 'nope'" in several[1]["error"]


def test_an_unknown_pipeline_does_not_hide_the_others(cli: Cli) -> None:
    """A name nothing has is an error of its own; the rest is checked."""
    result = cli("pipelines", "check", "nope", "auto")
    assert (result.exit_code, result.stdout) == (2, "auto: ok\n")
    assert "no pipeline is named 'nope'" in result.stderr


@pytest.mark.parametrize(
    ("form", "start"), [("text", "auto 2"), ("mermaid", "flowchart TD"), ("dot", 'digraph "auto"')]
)
def test_a_pipeline_is_drawn(cli: Cli, form: str, start: str) -> None:
    """A plan is drawn as a tree, for Mermaid or for Graphviz."""
    result = cli("pipelines", "graph", "auto", "--format", form)
    assert (result.exit_code, result.stdout.startswith(start)) == (0, True)
    drawn = json.loads(cli("--json", "pipelines", "graph", "auto", "--format", form).stdout)
    assert drawn == {"pipeline": "auto", "format": form, "graph": result.stdout}


def test_an_invalid_pipeline_is_not_drawn(cli: Cli, here: Path) -> None:
    """Drawing a file with errors prints the errors, with code 2."""
    (here / "bad.yaml").write_text("name: bad\n")
    result = cli("pipelines", "graph", "bad.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "bad.yaml" in result.stderr


def test_the_schema_knows_installed_types_and_policies(cli: Cli) -> None:
    """The JSON schema offers every installed stage type."""
    schema = json.loads(cli("pipelines", "schema").stdout)
    assert schema["title"] == "medical-kg pipeline"
    assert '"knowledge-graph"' in json.dumps(schema)
    assert '"gpu-bound"' in json.dumps(schema)


def test_a_check_that_fails_points_to_the_page_of_its_first_code(cli: Cli, here: Path) -> None:
    """The command named on standard error prints the page; a program that reads the verdict is not disturbed."""
    (here / "bad.yaml").write_text("name: bad\n")
    assert "`medical-kg pipelines explain MKG012` shows an example" in cli("pipelines", "check", "bad.yaml").stderr
    assert cli("pipelines", "check", "bad.yaml", "--json").stderr == ""
    page = cli("pipelines", "explain", "mkg012").stdout
    assert page.startswith("# MKG012: a field is missing\n")
    assert "## The fix" in page
    told = json.loads(cli("pipelines", "explain", "MKG012", "--json").stdout)
    assert told == {"code": "MKG012", "page": page}


def test_a_code_that_does_not_exist_is_refused(cli: Cli) -> None:
    """The nearest codes are named, with code 2."""
    result = cli("pipelines", "explain", "MKG999")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no code 'MKG999'; did you mean" in result.stderr
