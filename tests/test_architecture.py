"""The house rules of ARCHITECTURE.md that a program can check. The layers themselves are checked by import-linter."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from medical_kg.orchestration.registry import STAGES, Installation

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "medical_kg"
ENGINE = PACKAGE / "orchestration"
PACK = (
    "commands",
    "documents",
    "downloads",
    "embedders",
    "evaluation",
    "extraction",
    "formats",
    "graphs",
    "pipelines",
    "sources",
    "stages",
    "stores",
    "vocabularies",
)
WITHOUT_THE_PACK = (
    *("execution", "inspection", "pipeline", "seen", "traces"),
    *("test_api.py", "test_recovery.py", "test_registry.py", "test_runner.py", "test_waiting.py", "test_workspace.py"),
)
BUILT_IN = (
    "attached-files",
    "chunk",
    "convert",
    "download",
    "embed",
    "extract",
    "gate",
    "index",
    "ingest",
    "ir-validation",
    "knowledge-graph",
    "parse",
    "signal",
)

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50


def sources(folder: Path = PACKAGE) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_no_module_is_longer_than_400_lines() -> None:
    """A file answers one question, so no module has more than 400 lines."""
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {path: count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    """A function does one thing, so none has more than 50 lines."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("stage_type", BUILT_IN)
def test_the_names_of_a_built_in_type_line_up(stage_type: str) -> None:
    """The YAML's type, its entry point, module, class and test module carry one name."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"][STAGES]
    module = stage_type.replace("-", "_")
    camel = "".join(word.title() for word in stage_type.split("-"))
    assert declared[stage_type] == f"medical_kg.stages.{module}:{camel}Stage"
    assert (PACKAGE / "stages" / f"{module}.py").is_file()
    assert (ROOT / "tests" / "stages" / f"test_{module}.py").is_file()


def test_built_in_types_come_through_entry_points_exactly_once() -> None:
    """Discovery alone finds all built-in types, each once, and each loads under its own name."""
    stages = Installation().stages
    names = [claim.origin.name for claim in stages.claims() if claim.origin.distribution == "medical-kg"]
    assert Counter(names) == Counter(BUILT_IN)
    assert [stages.get(name).metadata.stage_type for name in BUILT_IN] == list(BUILT_IN)


def test_stage_files_are_stage_types() -> None:
    """Every module of the stage pack is a declared type, so nothing lies about unused."""
    files = {path.stem for path in (PACKAGE / "stages").glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in BUILT_IN} == {name for name in files if not name.startswith("_")}


OWN_WORDS = ("gate", "signal")
"""Types whose names are words of the engine too: a field of the pipeline file, and what is told from outside."""


def strings_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text constant that is neither a docstring nor an exported name."""
    left_out = {id(bare.value) for bare in ast.walk(tree) if isinstance(bare, ast.Expr)}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and "__all__" in ast.unparse(statement.targets[0]):
            left_out |= {id(node) for node in ast.walk(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.lineno, node.value


def deciding(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text constant by which a program decides: compared, matched, looked up, or a key of a mapping."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [*node.keys]
        elif isinstance(node, (ast.MatchValue, ast.Subscript)):
            parts = [node.value if isinstance(node, ast.MatchValue) else node.slice]
        for constant in (inner for part in parts if part is not None for inner in ast.walk(part)):
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                yield constant.lineno, constant.value


def test_the_engine_names_no_stage_type() -> None:
    """Metadata decides everything, so no text constant of the engine is a built-in stage type (scenario 2)."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {text!r}"
        for path in [*sources(ENGINE), *sources(PACKAGE / "testing")]
        for tree in [tree_of(path)]
        for line, text in [*(pair for pair in strings_of(tree) if pair[1] not in OWN_WORDS), *deciding(tree)]
        if text in BUILT_IN
    ]
    assert found == []


def exporting() -> list[str]:
    """Every module that says what it exports."""
    return [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in sources()
        if any(
            isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
            for node in tree_of(path).body
        )
    ]


@pytest.mark.parametrize("name", exporting())
def test_exports_are_sorted_and_exist(name: str) -> None:
    """``__all__`` is sorted, free of doubles, and every name in it is there."""
    module = importlib.import_module(name)
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    assert [export for export in module.__all__ if not hasattr(module, export)] == []


def test_the_author_s_api_is_exactly_what_it_exports() -> None:
    """``medical_kg`` offers its ``__all__`` and nothing by accident."""
    bound = {
        alias.asname or alias.name
        for node in tree_of(PACKAGE / "__init__.py").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert bound == set(importlib.import_module("medical_kg").__all__)


COMMANDS = [
    [],
    ["--help"],
    ["plugins", "list"],
    ["pipelines", "check", "auto"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "import")
def test_what_only_looks_does_not_import_dagster(command: list[str], tmp_path: Path) -> None:
    """Importing the package, listing plugins and checking a pipeline stay quick: Dagster and the models stay out."""
    call = "from medical_kg.cli import main; main()" if command else "import medical_kg"
    script = (
        "import json, sys\n"
        f"sys.argv = ['medical-kg', *{command!r}]\n"
        f"try:\n    {call}\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))\n"
    )
    done = run([sys.executable, "-c", script], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert modules & {"dagster", "onnxruntime", "tokenizers"} == set()
    if not command:
        assert [name for name in modules if name.startswith("medical_kg.") and name.split(".")[1] in PACK] == []


@pytest.mark.slow
@pytest.mark.long
def test_the_engine_passes_its_tests_without_the_pack(tmp_path: Path) -> None:
    """With every folder of the pack removed, the tests of what checks and runs pipelines pass."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "src" / "medical_kg", ignore=ignore)
    for folder in PACK:
        shutil.rmtree(tmp_path / "src" / "medical_kg" / folder)
    shutil.copytree(ROOT / "tests" / "orchestration", tmp_path / "tests" / "orchestration", ignore=ignore)
    for name in ("tests/conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    # The folder on PYTHONPATH comes before the one that the editable installation adds.
    path = str(tmp_path / "src")
    assert run([sys.executable, "-c", "import medical_kg.stages"], cwd=tmp_path, PYTHONPATH=path).returncode == 1
    tests = [f"tests/orchestration/{name}" for name in WITHOUT_THE_PACK]
    command = [sys.executable, "-m", "pytest", *tests, "-x", "-q", "-p", "no:cacheprovider"]
    # Neither a server nor Dagster's doubles tell more about the pack.
    command += ["-m", "not slow", "-k", "not postgres and not [dagster and not -dagster"]
    done = run(command, cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def run(command: list[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program from a clean place, as a person would."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    return subprocess.run(
        command, cwd=cwd, env={**ours, **environment}, capture_output=True, text=True, check=False, timeout=1800
    )
