"""Tables on a terminal: they fit it, and no id is broken."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from medical_kg.cli.output import LONGEST, fitted
from medical_kg.cli.state import State, columns_of

Table = tuple[Sequence[str], list[list[str]], Collection[str]]


@pytest.fixture
def tables(cli: Any, feed: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> list[Table]:
    """What commands print as tables, of a submission with a dead letter and of what is installed."""
    found: list[Table] = []

    def keep(
        _: State, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Collection[str] = ()
    ) -> None:
        found.append((columns, [[str(cell) for cell in row] for row in rows], right))

    (notes / "broken.json").write_text('{"protocolSection": ')
    assert cli("run", feed, "--engine", "plain", "--input", notes).exit_code == 0
    monkeypatch.setattr(State, "print_table", keep)
    assert cli("submissions", "list").exit_code == 0
    ident = found[0][1][0][0]
    for words in (
        ("submissions", "show", ident),
        ("submissions", "dead-letters", ident),
        ("plugins", "list"),
        ("plugins", "show", "chunk"),
        ("pipelines", "list"),
        ("documents", "trace", "file:note1.txt"),
        ("documents", "debug", "file:note1.txt", "--from", "parse"),
        ("run", feed, "--dry-run"),
    ):
        assert cli(*words).exit_code == 0, words
    return found


@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_fit_and_break_no_id(tables: list[Table], width: int) -> None:
    """Whatever the width, no line is longer, and every word as long as an id or shorter stands whole."""
    assert len(tables) > 9
    for columns, rows, right in tables:
        lines = fitted(columns, rows, width, right=right)
        assert max(map(len, lines)) <= width, "\n".join(lines)
        words = {word for line in lines for word in line.split()}
        lost = [word for row in rows for cell in row for word in cell.split() if len(word) <= LONGEST]
        assert [word for word in lost if word not in words] == []


def test_rows_become_blocks_where_columns_do_not_fit() -> None:
    """A line per cell, below its name where a word would not fit beside it; long words are broken in the end."""
    run = "f3a1c2d4-0000-4000-8000-123456789abc"
    assert fitted(("batch", "dagster run"), [("1", run)], 40) == ["batch        1", "dagster run", f"  {run}"]
    assert fitted(("a", "b"), [("x", "two words"), ("y", "")], 6) == ["a  x", "b", "  two", "  word", "  s", "", "a  y"]
    assert fitted(("name",), [("y" * 30,)], 20) == ["name", f"  {'y' * 18}", f"  {'y' * 12}"]


def test_the_columns_with_most_to_spare_give_way() -> None:
    """Numbers stay to the right, and a column that is folded stays in its place."""
    told = fitted(("name", "count"), [("many words in here", "12"), ("b", "3")], 16, right=("count",))
    assert told == ["name       count", "many          12", "words in", "here", "b              3"]


@pytest.mark.parametrize(("columns", "expected"), [("100", 100), ("", 80), ("wide", 80)])
def test_the_width_is_the_terminal_s(monkeypatch: pytest.MonkeyPatch, columns: str, expected: int) -> None:
    """As COLUMNS says; where nobody says it, the usual one."""
    monkeypatch.setenv("COLUMNS", columns)
    assert columns_of(io.StringIO()) == expected
