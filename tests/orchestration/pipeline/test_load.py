"""Plain values with places, by the rules of YAML 1.2."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from medical_kg.orchestration.pipeline.load import MAX_BYTES, LoadFailed, parse, read_text
from medical_kg.orchestration.pipeline.problems import Path as Steps
from medical_kg.orchestration.pipeline.problems import Place, Problem
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


def problem_of(path: Any) -> Problem:
    with pytest.raises(LoadFailed) as caught:
        read_text(path)
    assert str(caught.value) == caught.value.problem.message
    return caught.value.problem


def test_a_file_that_cannot_be_read_is_told(tmp_path: Any) -> None:
    """The system's own word for it, at the file."""
    path = tmp_path / "absent.yaml"
    expected = "cannot read the file: No such file or directory"
    assert problem_of(path) == Problem("MKG001", expected, str(path))


def test_a_file_may_be_as_large_as_the_limit(tmp_path: Any) -> None:
    """One byte more is refused, with the limit."""
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * MAX_BYTES)
    assert len(read_text(path)) == MAX_BYTES
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert problem_of(path) == Problem("MKG002", f"the file is larger than {MAX_BYTES} bytes", str(path))


def test_the_first_byte_that_is_no_text_is_shown(tmp_path: Any) -> None:
    """Its line and column are those an editor shows."""
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: p\r\nowner: M\xfcller\n")
    message = "byte 0xfc is not UTF-8 text"
    assert problem_of(path) == Problem("MKG003", message, str(path), 2, 9, suggestion="save the file as UTF-8")


def test_a_character_that_is_no_text_is_shown() -> None:
    """A control character in a text is refused where it stands; one as large as the limit is read."""
    with pytest.raises(LoadFailed) as caught:
        parse("a: 1\nb: \x01\n", "f")
    assert caught.value.problem == Problem("MKG003", "character U+0001 is not text", "f", 2, 4, suggestion="remove it")
    assert parse("#" * MAX_BYTES, "f").value is None
    with pytest.raises(LoadFailed, match=f"^the text is larger than {MAX_BYTES} bytes$"):
        parse("#" * (MAX_BYTES - 1) + "é", "f")


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
