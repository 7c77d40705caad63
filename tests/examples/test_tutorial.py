"""The tutorial, followed word for word by somebody in an empty folder: it ends with the package kept in examples/."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-stage.md"
EXAMPLE = ROOT / "examples" / "medical-kg-readability"
FENCE = re.compile(r"^```(\{code-block\} )?(\w+)\n(?::caption: (\S+)\n\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)
MADE = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache")
"""Folders that running something leaves behind."""


class Step(NamedTuple):
    """A block of the page: a file to write, commands to run, or what they print."""

    line: int
    kind: str
    file: str
    text: str


def steps() -> Iterator[Step]:
    page = PAGE.read_text(encoding="utf-8")
    for match in FENCE.finditer(page):
        kind = "file" if match[3] else match[2]
        yield Step(page.count("\n", 0, match.start()) + 1, kind, match[3] or "", match[4])


def squeezed(text: str) -> str:
    return " ".join(text.split())


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not set(MADE) & set(path.parts)
    }


def test_every_block_is_a_step() -> None:
    """The page has blocks of each kind, and every file has a name below the package."""
    found = list(steps())
    assert {step.kind for step in found} == {"console", "file", "text", "toml"}
    assert [step for step in found if step.file and not step.file.startswith(f"{EXAMPLE.name}/")] == []
    assert PAGE.read_text(encoding="utf-8").count("```") == 2 * len(found)


@pytest.mark.slow
def test_the_tutorial_builds_the_example(make_fresh: Callable[..., Any]) -> None:
    """Each command does what the page says, each output is what it shows, and the end is the example, file by file."""
    fresh = make_fresh()
    (fresh.folder / "samples").symlink_to(ROOT / "samples")
    printed = ""
    for step in steps():
        if step.kind == "file":
            (fresh.folder / step.file).write_text(step.text, encoding="utf-8")
        elif step.kind == "console":
            printed = "".join(run(fresh, line.removeprefix("$ ")) for line in step.text.splitlines())
        elif step.kind == "text":
            wanted = [line for line in step.text.splitlines() if squeezed(line) not in squeezed(printed)]
            assert wanted == [], f"line {step.line}: not printed; printed was\n{printed}"
        else:
            assert step.text in (fresh.folder / EXAMPLE.name / "pyproject.toml").read_text(encoding="utf-8")
    assert tree(fresh.folder / EXAMPLE.name) == tree(EXAMPLE)


def run(fresh: Any, line: str) -> str:
    command, _, comment = line.partition("  # ")
    said: str = fresh.run(*shlex.split(command), code=int(comment == "fails"))
    return said
