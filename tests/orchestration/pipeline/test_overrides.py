"""``--set stage.field=value``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.pipeline.load import parse
from medical_kg.orchestration.pipeline.overrides import apply, parse_override
from medical_kg.orchestration.pipeline.problems import Place, Problem

TEXT = (
    "name: p\nstages:\n  - {name: a, config: &c {x: {y: 1, z: 2}}}\n  - {name: b, config: *c}\n  - {name: d}\n  - 5\n"
)


@pytest.mark.parametrize(
    ("text", "target", "value"),
    [
        ("a.x=1", "a.x", 1),
        ("a.x.y = true", "a.x.y", True),
        ("a.x=no", "a.x", "no"),
        ("a.x=", "a.x", None),
        ("a.x='1'", "a.x", "1"),
        ("a.x=[1, {k: v}]", "a.x", [1, {"k": "v"}]),
        ("a.x=http://h/?q=1", "a.x", "http://h/?q=1"),
    ],
)
def test_an_override_is_target_and_yaml_value(text: str, target: str, value: Any) -> None:
    """What stands behind the first equals sign is YAML."""
    assert parse_override(text) == (target, value)


@pytest.mark.parametrize("text", ["", "a.x", "a=1", "=1", ".x=1", "a.=1", "a..x=1", "a.x=[1"])
def test_another_form_is_refused(text: str) -> None:
    """The message repeats what was given."""
    with pytest.raises(UsageError, match=r"^--set"):
        parse_override(text)


def test_a_value_that_is_no_yaml_says_so() -> None:
    """The message has the target, what was given and why it cannot be read."""
    with pytest.raises(UsageError, match=r"^--set a\.x: '\[1' is not a YAML value: .+"):
        parse_override("a.x=[1")


def test_values_are_put_where_they_belong() -> None:
    """Nested fields are made where they are missing; what the file shares by an alias is changed in one stage only."""
    tree = parse(TEXT, "f")
    assert apply({"a.x.y": 9, "d.new.deep": [1], "b.x": 3}, tree) == []
    configs = [stage["config"] for stage in tree.value["stages"][:3]]
    assert configs == [{"x": {"y": 9, "z": 2}}, {"x": 3}, {"new": {"deep": [1]}}]
    assert tree.place(("stages", 0, "config", "x", "y")).file == "--set a.x.y=9"
    assert tree.place(("stages", 0, "config", "x", "z")).file == "f"
    assert tree.place(("stages", 1, "config", "x", "y")).file == "--set b.x=3"
    assert tree.place(("stages", 2, "config", "new")).file == "--set d.new.deep=[1]"
    assert tree.place(("stages", 2, "config", "new", "deep", 0), key=True) == Place("--set d.new.deep=[1]", 0, 0)


def test_a_mapping_that_is_set_is_placed_throughout() -> None:
    """Every key and value in it stands where it was given; what the file had there is forgotten."""
    tree = parse(TEXT, "f")
    assert apply({"a.x": {"q": {"r": [1]}}}, tree) == []
    paths = [path for path in tree.values if path[:4] == ("stages", 0, "config", "x")]
    assert [path[4:] for path in paths] == [(), ("q",), ("q", "r"), ("q", "r", 0)]
    assert {tree.values[path] for path in paths} == {tree.keys[path] for path in paths}


def test_what_cannot_be_applied_is_a_problem() -> None:
    """An unknown stage is named with its neighbours, a wrong form shown; a file without stages has none."""
    found = apply({"aa.x": 1, "a": Path("z")}, parse(TEXT, "f"))
    form = "write stage.field: the name of a stage, a dot, and a field of its config"
    assert found == [
        Problem("MKG080", "no stage is named 'aa'", "--set aa.x=1", 0, 0, suggestion="did you mean 'a'?"),
        Problem("MKG080", "'a' is not a field of a stage", '--set a="z"', 0, 0, suggestion=form),
    ]
    assert apply({"a.x": 1}, parse("stages: 5", "f"))[0].suggestion == "none are known"
