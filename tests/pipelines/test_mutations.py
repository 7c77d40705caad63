"""Right pipelines made wrong, one mistake at a time and at every place: the check says what was done, and where."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mutations import Edit, Mutation, Pipeline, back_edges, cut_edges, examples, mutations, pairs

from medical_kg.orchestration.pipeline import CheckResult
from medical_kg.orchestration.pipeline.catalog import shipped_folder
from medical_kg.orchestration.pipeline.policies import FILE_NAMES
from medical_kg.orchestration.registry import Installation

# Thousands of files, of which those of the other modules reach the same lines.
pytestmark = pytest.mark.no_cover

Check = Callable[..., CheckResult]
Problems = list[tuple[str, int]]

OLD = Path(__file__).parents[1] / "orchestration" / "pipeline" / "data"
WRONG_AS_IT_STANDS = OLD / "pdf-two-phase.yaml"


class Block(yaml.SafeDumper):
    """Writes every list and mapping over several lines, lists further in than their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: FBT001, FBT002  # PyYAML's
        return super().increase_indent(flow, indentless=False)


def corpus() -> dict[str, str]:
    """Return right pipelines by name: as they stand, and the shipped ones with nothing in flow style."""
    folders = [("shipped", shipped_folder()), ("old", OLD), *(("example", one / "pipelines") for one in examples())]
    found = {
        f"{kind}-{path.stem}": path.read_text(encoding="utf-8")
        for kind, folder in folders
        for path in sorted(folder.glob("*.yaml"))
        if path.name not in FILE_NAMES and path != WRONG_AS_IT_STANDS
    }
    blocks = {
        name.replace("shipped", "block"): yaml.dump(yaml.safe_load(text), Dumper=Block, sort_keys=False)
        for name, text in found.items()
        if name.startswith("shipped")
    }
    return {**found, **blocks}


RIGHT = corpus()
ALL = {name: list(mutations(Pipeline(text))) for name, text in RIGHT.items()}
KINDS = sorted({one.kind for found in ALL.values() for one in found})


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def place_of(text: str, offset: int) -> tuple[int, int]:
    return line_of(text, offset), offset - (text.rfind("\n", 0, offset) + 1) + 1


def this_and_next(text: str, offset: int) -> tuple[int, int]:
    line = line_of(text, offset)
    later = enumerate(text.split("\n")[line:], start=line + 1)
    return line, next((number for number, one in later if one.strip() and not one.strip().startswith("#")), line)


def found_in(result: CheckResult) -> list[tuple[str, int, int]]:
    return [(one.code, one.line, one.column) for one in result.problems if one.severity != "note"]


def wrong(text: str, one: Mutation, judge: Check) -> str:
    """Return what is wrong with the check's answer to a mutation, or nothing."""
    changed = one.edit(text)
    result = judge(changed)
    found = found_in(result)
    if result.plan is not None:
        return "it passes"
    for code, offset in one.expected:
        if offset < 0:
            lines = this_and_next(changed, one.edit.start)
            if len(found) != 1 or found[0][0] != code or found[0][1] not in lines:
                return f"{code} on one of the lines {lines}; found {found}"
        elif (code, *place_of(changed, offset)) not in found:
            return f"no {code} at {place_of(changed, offset)}; found {found}"
    if one.alone and len(found) != len(one.expected):
        return f"something else than {one.expected}: {found}"
    advice = next(p for p in result.problems if p.code == one.expected[0][0]).suggestion
    return "" if one.suggests in advice else f"no {one.suggests!r} in {advice!r}"


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_mutated_is_right(name: str, judge: Check) -> None:
    """Each pipeline passes before anything is done to it."""
    assert found_in(judge(RIGHT[name])) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_mistake_is_told_in_its_place(kind: str, judge: Check) -> None:
    """Wherever the mistake is made, it gives just the problems it is, in their places, and names what was meant."""
    judged = 0
    for name, text in RIGHT.items():
        for one in (one for one in ALL[name] if one.kind == kind):
            judged += 1
            assert not (said := wrong(text, one, judge)), f"{name}: {one}: {said}\n{one.edit(text)}"
    assert judged


def test_there_are_enough_of_them() -> None:
    """The promise is 150; the places where one can go wrong are many more."""
    assert sum(map(len, ALL.values())) >= 2000
    assert len(KINDS) >= 20


def reach(value: dict[str, Any]) -> dict[str, set[str]]:
    above: dict[str, set[str]] = {}
    for stage in value["stages"]:
        direct = stage.get("depends_on", [])
        above[stage["name"]] = set(direct).union(*(above[name] for name in direct))
    return above


def lacking(text: str, installed: Installation) -> set[tuple[str, int, int]]:
    """Return, by brute force, where stages lack a key: a type that reads it, and no writer among those upstream."""
    value = yaml.safe_load(text)
    types = {stage["name"]: installed.stages.get(stage["type"]).metadata for stage in value["stages"]}
    above = reach(value)
    places = {
        pairs(stage)["name"][1].value: place_of(text, pairs(stage)["name"][1].start_mark.index)
        for stage in Pipeline(text).stages
    }
    return {
        ("MKG050", *places[name])
        for name, metadata in types.items()
        for key in metadata.read_keys
        if key not in metadata.optional_keys
        and not any(key.name == one.name for other in above[name] for one in types[other].writes)
    }


@pytest.mark.parametrize("name", RIGHT)
def test_an_edge_that_is_cut_is_missed_where_its_data_is_read(name: str, judge: Check, installed: Installation) -> None:
    """Every stage that then lacks a key is named, and no other; an edge that carries none may go."""
    cut = 0
    for edit, stage, gone in cut_edges(Pipeline(RIGHT[name])):
        changed = edit(RIGHT[name])
        found = {one for one in found_in(judge(changed)) if one[0] in ("MKG050", "MKG055")}
        assert found == lacking(changed, installed), (stage, gone)
        cut += bool(found)
    assert cut >= 2


@pytest.mark.parametrize("name", RIGHT)
def test_a_circle_is_told_whatever_its_length(name: str, judge: Check) -> None:
    """Each edge back to a stage upstream gives circles through both stages, and nothing is concluded from them."""
    lengths = set()
    for edit, stage, later in back_edges(Pipeline(RIGHT[name])):
        problems = [one for one in judge(edit(RIGHT[name])).problems if one.severity != "note"]
        assert problems, (stage, later)
        assert {one.code for one in problems} == {"MKG032"}
        for one in problems:
            around = one.message.rpartition(": ")[2].split(" -> ")
            assert {stage, later} <= set(around)
            assert around[0] == around[-1]
            assert f"depends_on: [{around[-2]}" in one.text or around[-2] in one.text
            lengths.add(len(around) - 1)
    assert set(range(2, min(5, len(reach(yaml.safe_load(RIGHT[name])))))) <= lengths


def apart(one: Mutation, other: Mutation, text: str) -> bool:
    touched = [text[edit.start : edit.end] + edit.text for edit in (one.edit, other.edit)]
    return line_of(text, one.edit.start) != line_of(text, other.edit.start) and "\n" not in "".join(touched)


def stays(one: Mutation, text: str) -> bool:
    """Whether its problem is in the line that is edited, and not where the name it changes is mentioned."""
    return one.edit.start > 0 and line_of(one.edit(text), one.expected[0][1]) == line_of(text, one.edit.start)


READABLE = {"MKG011", "MKG012", "MKG013", "MKG020", "MKG023", "MKG030", "MKG042", "MKG043", "MKG061"}
"""Codes of mistakes that leave the rest of the file readable."""


# In these a mapping stands in one line; where it stands below its key, a misspelt key rightly hides what is in it.
@pytest.mark.parametrize("name", [name for name in RIGHT if not name.startswith(("block", "example"))])
def test_two_mistakes_are_told_at_once(name: str, judge: Check) -> None:
    """Mistakes in two lines do not hide each other: both are there, in their places."""
    text = RIGHT[name]
    single = [one for one in ALL[name] if one.expected[0][0] in READABLE and stays(one, text)]
    both = [pair for pair in itertools.combinations(single, 2) if apart(*pair, text)]
    assert len(both) > 500
    for first, second in both[:: len(both) // 200]:
        low, high = sorted((first, second), key=lambda one: one.edit.start)
        changed = low.edit(high.edit(text))
        found = {(code, line) for code, line, _ in found_in(judge(changed))}
        for one in (first, second):
            code, offset = one.expected[0]
            assert (code, line_of(one.edit(text), offset)) in found, (first, second, found, changed)


def test_an_edit_replaces_what_it_says() -> None:
    """The tool itself: the text before and after is kept."""
    assert Edit(1, 3, "xyz")("abcd") == "axyzd"
