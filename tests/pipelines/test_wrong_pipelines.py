"""Wrong pipelines, by hand: each gives all of its problems at once, in their places, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medical_kg.cli.app import app
from medical_kg.orchestration.contract.secrets import redacted
from medical_kg.orchestration.pipeline import KINDS, CheckResult

Check = Callable[..., CheckResult]
Expected = Callable[[str], list[tuple[int, int, str, str]]]

FOLDER = Path(__file__).parent / "wrong"
FILES = sorted(FOLDER.rglob("*.yaml"))
ELSEWHERE = {"MKG001", "MKG002", "MKG080", "MKG081", "MKG082"}
"""Codes of what is no text of a file; the pages of checks set up a case of each."""


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig", "replace")


def first_of_each_code(expected: Expected) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in FILES:
        for _, _, code, _ in expected(read(path)):
            found.setdefault(code, path)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_wrong_pipeline_gives_just_its_problems(path: Path, judge: Check, expected: Expected) -> None:
    """Every problem is found at once, in its place, with words that help, and the pipeline does not pass."""
    text = read(path)
    result = judge(path)
    assert [(one.line, one.column, one.code) for one in result.problems] == [one[:3] for one in expected(text)]
    assert result.plan is None
    assert result.errors
    lines = re.split("\r\n|[\n\r]", text)
    for problem in result.problems:
        shown = str(problem)
        assert shown.startswith(f"{path}:{problem.line}:{problem.column}: {problem.severity} {problem.code}: ")
        assert problem.text in ("", redacted(lines[problem.line - 1]))
        assert "Traceback" not in shown
        assert len(shown) < 2000
    for line, column, code, words in expected(text):
        at = [str(one) for one in result.problems if (one.line, one.column, one.code) == (line, column, code)]
        assert any(words in shown for shown in at), at


def test_a_secret_that_is_written_out_is_not_repeated(judge: Check) -> None:
    """Neither in the message nor in the line that is shown."""
    first, second = judge(FOLDER / "config" / "key-in-a-query.yaml").problems
    assert (first.text.strip(), second.text.strip()) == ("query: {term: asthma, api_key: ***}", "api_key: ***")
    assert first.message.endswith("{env: NAME} or {file: /path}, by an option such as api_key")
    assert second.message.endswith("it is '***'")


def test_there_are_enough_of_them(expected: Expected) -> None:
    """At least 150, every code that a text can give is among them, and the kinds that people hit most often."""
    found = Counter(code for path in FILES for _, _, code, _ in expected(read(path)))
    assert len(FILES) >= 150
    assert set(found) == set(KINDS) - ELSEWHERE
    assert min(found[code] for code in ("MKG011", "MKG012", "MKG013", "MKG020", "MKG030", "MKG043", "MKG050")) >= 10


def test_a_problem_looks_on_the_command_line_as_in_a_program(
    judge: Check, expected: Expected, acme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each code: ``pipelines check`` prints the file's problems and nothing else, and ends with 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "medical_kg.toml").write_text('[environments.gone]\npython = "no-such-python"\n', encoding="utf-8")
    for code, path in first_of_each_code(expected).items():
        outcome = CliRunner().invoke(app, ["pipelines", "check", str(path)])
        assert outcome.exit_code == 2, code
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit), code
        assert f" {code}: " in outcome.stdout
        printed = [line for line in outcome.stdout.splitlines() if re.search(r": (error|warning|note) MKG\d+: ", line)]
        assert [line.split(": ")[1].split()[1] for line in printed] == [one.code for one in judge(path).problems], code
        assert f"{path}: cannot run (" in outcome.stdout
        assert "Traceback" not in outcome.output
