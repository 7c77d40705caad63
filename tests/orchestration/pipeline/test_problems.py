"""How a problem prints."""

from __future__ import annotations

import re

from medical_kg.orchestration.pipeline.problems import KINDS, WIDTH, Place, Problem, show


def test_a_problem_prints_place_line_caret_and_help() -> None:
    """Place, severity, code and message; the line; a caret below the column; the way out."""
    place = Place("auto.yaml", 12, 5, "    typ: x")
    problem = Problem.at(place, "MKG011", "unknown key 'typ'", ("stages", 2, "typ"), "did you mean 'type'?")
    assert str(problem) == (
        "auto.yaml:12:5: error MKG011: unknown key 'typ'\n        typ: x\n        ^\n  help: did you mean 'type'?"
    )
    assert (problem.path, problem.severity, problem.title) == ("stages[2].typ", "error", "unknown key")


def test_a_tab_stays_a_tab_so_that_the_caret_stands_right() -> None:
    """The caret's line repeats the tabs of the line above it."""
    shown = str(Problem.at(Place("f", 1, 3, "\ta b"), "MKG004", "m")).split("\n")
    assert shown[1:] == ["    \ta b", "    \t ^"]


def test_a_long_line_is_cut_around_the_place() -> None:
    """However long the line, the caret points at the right character of what is shown."""
    text = "x" * 5000 + "!" + "y" * 5000
    line, caret = str(Problem.at(Place("f", 1, 5001, text), "MKG004", "m")).split("\n")[1:]
    assert len(line) <= WIDTH + 4
    assert line[caret.index("^")] == "!"


def test_a_problem_without_line_or_help_is_one_line() -> None:
    """What is missing is left out."""
    assert str(Problem.at(Place("f"), "MKG001", "cannot read it")) == "f:1:1: error MKG001: cannot read it"


def test_paths_are_shown_as_people_write_them() -> None:
    """Keys by dots, positions in brackets."""
    assert show(("stages", 2, "config", "a")) == "stages[2].config.a"
    assert show(()) == ""


def test_codes_are_well_formed_and_titles_differ() -> None:
    """One code per kind of problem, each with a title of its own."""
    assert all(re.fullmatch(r"MKG\d{3}", code) for code in KINDS)
    assert len({kind.title for kind in KINDS.values()}) == len(KINDS)
    assert list(KINDS) == sorted(KINDS)
