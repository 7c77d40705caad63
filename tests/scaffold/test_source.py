"""Source is laid out as the formatter would."""

from __future__ import annotations

import subprocess
import sys

import pytest

from medical_kg.scaffold.source import Imports, parted, split, wrapped

ROWS = ["first", 'second="a, (b"', "third=Thing(one=1, two=[2, 3], three={'a': 'b'})", "fourth=fourth"]


def formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "120", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("repeat", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("indent", [0, 1, 3])
@pytest.mark.parametrize("lay_out", [wrapped, parted])
def test_calls_and_displays_break_as_the_formatter_breaks_them(lay_out: object, indent: int, repeat: int) -> None:
    """However many parts and however deep, the formatter has nothing to change."""
    assert callable(lay_out)
    long = f"long=Long({', '.join(f'name_{number}={number}' for number in range(repeat * 3))})"
    parts = [f'"{number}": {number}' for number in range(repeat * 5)] if lay_out is parted else [*ROWS[:2], long]
    head, tail = ("x = {", "}") if lay_out is parted else ("x = call(", ")")
    body = "    " * indent + lay_out(head, parts, tail, indent) + "\n"
    shell = "".join(f"{'    ' * level}if x:\n" for level in range(indent))
    assert formatted(shell + body).replace("'", '"') == (shell + body).replace("'", '"')


def test_text_is_split_at_its_outermost_commas_only() -> None:
    """Commas in brackets and in quotes do not count, escaped quotes neither."""
    assert split(", ".join(ROWS)) == ROWS
    assert split(r'"a\", b", c') == [r'"a\", b"', "c"]
    assert split("") == []


def test_imports_are_in_the_order_of_the_formatter() -> None:
    """The standard library first, then other packages, then our own; constants, classes, the rest."""
    imports = Imports("own")
    imports.add("own.stage", "thing", "Thing", "THING")
    imports.add("pathlib", "Path")
    imports.add("pytest")
    imports.add("medical_kg", "NOTES", "NOTE_WORDS")
    assert imports.render().splitlines() == [
        "from pathlib import Path",
        "",
        "import pytest",
        "from medical_kg import NOTE_WORDS, NOTES",
        "",
        "from own.stage import THING, Thing, thing",
    ]
