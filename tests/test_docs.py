"""The documentation is held to the code: its blocks run, its pipelines pass the check, its lists are complete."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import yaml

import medical_kg
from medical_kg.orchestration.pipeline import KINDS, Catalog
from medical_kg.orchestration.registry import Installation
from medical_kg.orchestration.workspace import HttpSettings, StorageSettings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 2, match[1], match[2])


def all_blocks(language: str) -> list[Block]:
    return [
        block for page in PAGES if "_build" not in page.parts for block in blocks(page) if block.language == language
    ]


PIPELINES = [
    block
    for block in all_blocks("yaml")
    # The pages of checks show what is wrong; a test of their own runs them.
    if block.text.startswith("name: ") and "\nstages:" in block.text and block.page.parent.name != "checks"
]
# The notebook's page has a test of its own, in an event loop.
SCRIPTS = sorted(
    {block.page for block in all_blocks("python") if block.page.parent.name != "checks"}
    - {DOCS / "how-to" / "use-in-a-notebook.md"}
)


@pytest.mark.parametrize("page", SCRIPTS, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run from top to bottom, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDICAL_KG_WORKSPACE", str(tmp_path / "workspace"))
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    names: dict[str, Any] = {"__name__": f"docs_{page.stem.replace('-', '_')}"}
    for block in (block for block in blocks(page) if block.language == "python"):
        exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)


@pytest.mark.parametrize("block", PIPELINES, ids=str)
def test_the_pipelines_shown_pass_the_check(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every whole pipeline on a page is valid as it stands."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "medical-kg-readability" / "src"))
    from medical_kg_readability import ReadabilityStage

    installation = Installation()
    installation.stages.add("readability", ReadabilityStage)
    path = tmp_path / f"{yaml.safe_load(block.text)['name']}.yaml"
    path.write_text(block.text, encoding="utf-8")
    result = Catalog().check(path, installation)
    assert [str(problem) for problem in result.problems if problem.severity != "note"] == []


COMMANDS = [
    (f"{block}", line.removeprefix("$ ").removeprefix(".venv/bin/"))
    for block in all_blocks("console")
    for line in block.text.splitlines()
    if line.startswith(("$ medical-kg", "$ .venv/bin/medical-kg"))
]


@pytest.mark.parametrize(("place", "line"), COMMANDS, ids=lambda text: text.replace("/", "."))
def test_the_commands_shown_exist(place: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command on a page can be parsed: its name, its options and its arguments are there."""
    import typer

    from medical_kg.cli.app import app
    from medical_kg.cli.state import State

    monkeypatch.chdir(ROOT)
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(app)
    context = command.make_context("medical-kg", [], resilient_parsing=True, obj=State())
    while hasattr(command, "list_commands"):
        command = command.get_command(context, words[0])
        assert command is not None, f"{place}: there is no command {words[0]!r}"
        context = type(context)(command, info_name=words.pop(0), parent=context, obj=context.obj)
    command.make_context(context.info_name, words, parent=context.parent)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A relative link names a file that exists."""
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_picture_is_shown_is_small_and_is_told_in_words() -> None:
    """No picture is left over, none is above 150 KiB, and whoever cannot see one reads what it shows."""
    shown = [
        (words, (page.parent / target).resolve())
        for page in PAGES
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    ]
    assert {path for _, path in shown} == set((DOCS / "images").glob("*.png"))
    assert [path.name for words, path in shown if len(words) < 20] == []
    assert [path.name for _, path in shown if path.stat().st_size > 150 * 1024] == []


def test_the_files_named_on_a_page_exist() -> None:
    """A path in backticks is a file of the checkout or of the package; capitals stand for any name."""
    homes = (ROOT, ROOT / "src", ROOT / "src" / "medical_kg", ROOT / "examples" / "medical-kg-readability")
    named = [
        (page.name, path)
        for page in PAGES
        if page.name != "migrate.md"  # names files of the old runtime
        for path in re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|yaml|md))`", page.read_text(encoding="utf-8"))
    ]
    assert named
    assert [name for name in named if not re.search("[A-Z]{4}", name[1]) and not in_any(homes, name[1])] == []


def in_any(homes: tuple[Path, ...], path: str) -> bool:
    return any((home / path).exists() for home in homes)


@cache
def reference(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")


def missing(names: list[str], page: str) -> list[str]:
    return [name for name in names if f"`{name}`" not in reference(page)]


@pytest.mark.parametrize("page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.stem)
def test_what_a_page_takes_from_the_code_is_current(page: Path) -> None:
    """Errors, exit codes, stages, fields and commands are as the code has them; ``make fix`` writes them anew."""
    text = page.read_text(encoding="utf-8")
    assert runpy.run_path(str(ROOT / "scripts" / "reference.py"))["render"](text) == text


def test_every_built_in_stage_type_has_its_page() -> None:
    """The pages of the stage types are written from their metadata; ``make fix`` writes them anew."""
    pages = runpy.run_path(str(ROOT / "scripts" / "reference.py"))["stage_pages"]()
    found = {page.name: page.read_text(encoding="utf-8") for page in (DOCS / "reference" / "stages").glob("*.md")}
    assert found == pages


def test_every_config_field_of_a_built_in_stage_type_says_what_it_means() -> None:
    """No page has an empty cell where the meaning of a field should stand."""
    stages = Installation().stages
    models = {name: stages.get(name).metadata.config_model for name in stages.names()}
    assert [
        f"{name}.{field}"
        for name, model in models.items()
        for field, info in model.model_fields.items()
        if not info.description
    ] == []


def test_every_verdict_of_explain_is_documented() -> None:
    """The page that says how to read an explanation has every verdict."""
    from medical_kg.orchestration.inspection.verdicts import Verdict

    page = (DOCS / "how-to" / "explain.md").read_text(encoding="utf-8")
    assert [verdict for verdict in get_args(Verdict) if f"| `{verdict}` |" not in page] == []


def test_every_code_of_the_check_is_documented() -> None:
    """The page of checks has every code."""
    assert [code for code in KINDS if code not in reference("checks")] == []


def test_every_setting_is_documented() -> None:
    """The settings page has every field of every table the engine reads."""
    from medical_kg.orchestration.registry import PluginSettings

    fields = [name for model in (StorageSettings, HttpSettings, PluginSettings) for name in model.model_fields]
    assert missing(fields, "settings") == []


def test_every_name_of_the_author_s_api_is_documented() -> None:
    """The author's page has every exported name."""
    assert missing(list(medical_kg.__all__), "author-api") == []
