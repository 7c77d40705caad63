"""Plain values with places, by the rules of YAML 1.2."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from medical_kg.orchestration.pipeline.load import LoadFailed, parse, read_text
from medical_kg.orchestration.pipeline.problems import Path as Steps
from medical_kg.orchestration.pipeline.problems import Place
from medical_kg.orchestration.pipeline.scalars import resolve
from medical_kg.orchestration.pipeline.tree import Tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("true", True),
        ("False", False),
        ("2025-01-01", "2025-01-01"),
        ("2025-01-01T10:00:00Z", "2025-01-01T10:00:00Z"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("-3", -3),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("~", None),
        ("", None),
        ("'true'", "true"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[a, 1, {b: c}]", ["a", 1, {"b": "c"}]),
        ("9" * 101, "9" * 101),
        ("1." + "0" * 100, "1." + "0" * 100),
        ("12e03", 12000.0),
        (".", "."),
        ("e3", "e3"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(text: str, value: Any) -> None:
    """The core schema of YAML 1.2: no booleans but true and false, no dates, no base sixty."""
    found = parse(f"key: {text}", "f").value["key"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_whatever_they_would_mean_as_values() -> None:
    """``on``, ``1`` and ``true`` are names when they stand as keys."""
    assert parse("{on: 1, 1: 2, true: 3, ~: 4}", "f").value == {"on": 1, "1": 2, "true": 3, "~": 4}


def test_every_key_and_value_has_its_place() -> None:
    """Lines and columns count from 1, of the key and of the value."""
    tree = parse("name: p\nstages:\n  - name: a\n    config: {x: [1, 22]}\n", "f")
    places = {
        ("name",): (1, 1, 1, 7),
        ("stages",): (2, 1, 3, 3),
        ("stages", 0): (3, 5, 3, 5),
        ("stages", 0, "config", "x"): (4, 14, 4, 17),
        ("stages", 0, "config", "x", 1): (4, 21, 4, 21),
    }
    for path, expected in places.items():
        key, value = tree.place(path, key=True), tree.place(path)
        assert (key.line, key.column, value.line, value.column) == expected
    assert tree.place(("stages", 0, "config", "x")).text == "    config: {x: [1, 22]}"


def test_what_is_not_in_the_file_is_placed_at_what_is_around_it() -> None:
    """A missing field is shown at the mapping it is missing from."""
    tree = parse("a:\n  b: 1\n", "f")
    assert tree.place(("a", "c", "d")) == tree.place(("a",))
    assert tree.place(("z",)) == tree.place(())


def test_an_alias_stands_where_it_is_used_and_its_content_where_it_is_defined() -> None:
    """A problem with the use points to the alias, one with the content to the anchor."""
    tree = parse("a: &x {k: 1}\nb: *x\n", "f")
    assert tree.value == {"a": {"k": 1}, "b": {"k": 1}}
    assert tree.value["a"] is not tree.value["b"]
    assert tree.place(("b",)).line == 2
    assert tree.place(("b", "k")).line == 1


def test_a_later_anchor_of_one_name_takes_over() -> None:
    """As YAML says, an alias means the nearest anchor before it."""
    assert parse("a: &x 1\nb: &x 2\nc: *x\n", "f").value == {"a": 1, "b": 2, "c": 2}


def test_of_a_key_given_twice_the_first_counts() -> None:
    """The rest of the file is still read, so that other problems are found too."""
    tree = parse("a: 1\na: 2\nb: 3\nb: 4\n", "f")
    assert tree.value == {"a": 1, "b": 3}
    assert [(problem.code, problem.line) for problem in tree.problems] == [("MKG006", 2), ("MKG006", 4)]


def test_line_ends_of_every_kind_give_the_same_places() -> None:
    """CR LF, CR, NEL and the line separator end a line for YAML, so they do in places."""
    for end in ("\n", "\r\n", "\r", "\x85", "\u2028"):
        tree = parse(end.join(["a: 1", "b: 2", "b: 3"]), "f")
        (problem,) = tree.problems
        assert (problem.line, problem.column, problem.text) == (3, 1, "b: 3")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Any) -> None:
    """Files from Windows editors load."""
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: p\n")
    assert parse(read_text(path), "f").value == {"name": "p"}
    assert parse("\ufeffname: p\n", "f").value == {"name": "p"}


@given(st.text(st.sampled_from("ab: -[]{}&*!|>'\"%@#\n\t,?~0.\x00\u2028é"), max_size=60))
@example("a: &a\n  - *a")
def test_any_text_gives_a_value_or_one_problem(text: str) -> None:
    """However wrong the text is, the only thing raised is a problem with a place inside the text."""
    try:
        place = parse(text, "f").place(())
    except LoadFailed as error:
        place = Place(error.problem.file, error.problem.line, error.problem.column, str(error.problem))
    assert (place.file, place.line >= 1, place.column >= 1) == ("f", True, True)


def needs_no_quotes_in_yaml_11_only(text: str) -> bool:
    """Whether PyYAML writes the text plain although YAML 1.2 reads a number in it, as in 0E0."""
    return not isinstance(resolve(text), str) and yaml.safe_dump(text).startswith(text)


TEXT = st.text(st.characters(codec="ascii")).filter(lambda text: not needs_no_quotes_in_yaml_11_only(text))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), TEXT),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.sampled_from("abc")), inner, max_size=4),
    max_leaves=15,
)


@given(PLAIN)
def test_what_pyyaml_writes_is_read_back(value: Any) -> None:
    """A dump by PyYAML comes back as it was, and each value in it has a place."""
    tree = parse(yaml.safe_dump(value), "f")
    assert tree.value == value
    paths: list[Steps] = [()]
    for path in paths:
        assert path in tree.values
        inner = value
        for step in path:
            inner = inner[step]
        if isinstance(inner, dict | list):
            steps = inner if isinstance(inner, dict) else range(len(inner))
            paths.extend((*path, step) for step in steps)


def test_without_any_mark_the_place_is_the_file() -> None:
    """A tree that knows no place at all still names its file."""
    assert Tree("a.yaml", None, {}, {}).place(("stages", 0)) == Place("a.yaml")
