"""Mistakes made in right pipeline files, one at a time and at every place, each with what the check must say of it.

Places come from PyYAML's own nodes, not from the reader under test. Nothing is random.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Edit:
    """A piece of a text replaced by another."""

    start: int
    end: int
    text: str

    def __call__(self, text: str) -> str:
        return text[: self.start] + self.text + text[self.end :]


@dataclass(frozen=True)
class Mutation:
    """A mistake: what is edited, and the problems it must give as ``(code, offset in the mutated text)``.

    ``suggests`` is a word that the first problem's advice must contain. ``alone`` is False where other problems may
    come with it, because other stages then lack something. An ``offset`` below zero stands for the line of the edit or
    the next that says anything: where an indentation or a bracket goes wrong, the text is often fine until what follows.
    """

    kind: str
    edit: Edit
    expected: tuple[tuple[str, int], ...]
    suggests: str = ""
    alone: bool = True


ROOT = Path(__file__).parents[2]


def entries_of(project: Path) -> dict[str, str]:
    """Return the stage types that a project's folder declares."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(about.get("entry-points", {}).get("medical_kg.orchestration.stages", {}))


def examples() -> list[Path]:
    """Return the example packages that can be installed beside ours: one takes the place of a type of ours."""
    folders = [path.parent for path in sorted(ROOT.glob("examples/*/pyproject.toml"))]
    return [folder for folder in folders if not entries_of(folder).keys() & entries_of(ROOT).keys()]


def misspelt(word: str) -> str:
    """Return a word with two letters in its middle swapped, or one doubled where they are the same."""
    middle = len(word) // 2
    swapped = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    return swapped if swapped != word else word[:middle] + word[middle - 1 :]


def pairs(node: Any) -> dict[str, tuple[Any, Any]]:
    return {key.value: (key, value) for key, value in node.value}


@dataclass(frozen=True)
class Pipeline:
    """A right pipeline's text with its nodes."""

    text: str

    @cached_property
    def top(self) -> dict[str, tuple[Any, Any]]:
        return pairs(yaml.compose(self.text))

    @cached_property
    def stages(self) -> list[Any]:
        return list(self.top["stages"][1].value)

    @cached_property
    def gates(self) -> list[Any]:
        return list(self.top["gates"][1].value) if "gates" in self.top else []

    def mentions(self, name: str) -> list[tuple[str, int]]:
        """Return the problems that each mention of a stage gives once no stage has its name."""
        found = []
        for stage in self.stages:
            if "depends_on" in pairs(stage):
                items = pairs(stage)["depends_on"][1].value
                found += [("MKG030", item.start_mark.index) for item in items if item.value == name]
        resumed = (pairs(gate).get("resume_stage") for gate in self.gates)
        return found + [("MKG061", one[1].start_mark.index) for one in resumed if one and one[1].value == name]


def mutations(pipeline: Pipeline) -> Iterator[Mutation]:
    """Give every mistake, at every place it can be made."""
    for stage in pipeline.stages:
        yield from _in_a_stage(stage, pipeline)
        yield from _references(stage)
        yield from _put_in(stage)
        yield from _names(stage, pipeline)
    for gate in pipeline.gates:
        yield from _in_a_gate(gate)
    yield from _at_the_top(pipeline)
    yield from _in_the_text(pipeline)


def _replaced(kind: str, code: str, node: Any, text: str, *more: tuple[str, int], suggests: str = "") -> Mutation:
    """Return the mutation that replaces a node; ``more`` have offsets in the text as it was."""
    edit = _instead_of(node, text)
    return Mutation(kind, edit, ((code, edit.start), *(_moved(one, edit) for one in more)), suggests)


def _instead_of(node: Any, text: str) -> Edit:
    start, end = node.start_mark.index, node.end_mark.index
    # A collection in block style ends, for PyYAML, where the next thing begins.
    return Edit(start, start + len(node.start_mark.buffer[start:end].rstrip()), text)


def _moved(problem: tuple[str, int], edit: Edit) -> tuple[str, int]:
    code, offset = problem
    return code, offset if offset <= edit.start else offset + len(edit.text) - (edit.end - edit.start)


def _in_a_stage(stage: Any, pipeline: Pipeline) -> Iterator[Mutation]:
    for name, (key, value) in pairs(stage).items():
        yield _replaced("misspelt key", "MKG011", key, misspelt(name), *_without(name, stage, pipeline), suggests=name)
        if isinstance(value, yaml.ScalarNode):
            more = pipeline.mentions(value.value) if name == "name" else ()
            for odd in ("5", "true", '""', "[x]", "{x: 1}", *(["~"] if name not in ("policy", "environment") else [])):
                yield _replaced("wrong kind of value", "MKG013", value, odd, *more)
        else:
            for odd in ("5", "text", "{x: 1}" if name == "depends_on" else "[x]"):
                yield _replaced("wrong kind of value", "MKG013", value, odd)


def _references(stage: Any) -> Iterator[Mutation]:
    fields = pairs(stage)
    codes = {"type": "MKG020", "policy": "MKG023", "environment": "MKG026"}
    if "environment" in fields:
        # There the type is looked for, and there it is missed.
        del codes["type"]
    named = [(code, name, fields.get(name)) for name, code in codes.items()]
    inside = pairs(fields["config"][1]) if "config" in fields else {}
    named += [(code, name, inside.get(name)) for name, code in (("adapter", "MKG043"), ("gate", "MKG042"))]
    for code, name, found in named:
        if found:
            yield _replaced(f"misspelt {name}", code, found[1], misspelt(found[1].value), suggests=found[1].value)
    for item in fields["depends_on"][1].value if "depends_on" in fields else ():
        yield _replaced("misspelt dependency", "MKG030", item, misspelt(item.value), suggests=item.value)


def _put_in(stage: Any) -> Iterator[Mutation]:
    key, type_ = pairs(stage)["type"]
    begin = stage.start_mark.index + 1
    if stage.flow_style:
        yield Mutation("key put in", Edit(begin, begin, "colour: red, "), (("MKG011", begin),))
        again = f"type: {type_.value}, "
        second = (("MKG006", key.start_mark.index + len(again)),)
        yield Mutation("key twice", Edit(begin, begin, again), second, "remove")


def _without(name: str, node: Any, pipeline: Pipeline) -> list[tuple[str, int]]:
    """Return the problems of a stage that lacks a field."""
    value = pairs(node)[name][1]
    start = node.start_mark.index
    if name == "name":
        return [("MKG012", start), *pipeline.mentions(value.value)]
    if name == "type" or (name == "config" and pairs(node)["type"][1].value in ("ingest", "signal")):
        return [("MKG012", start)]
    return []


def _names(stage: Any, pipeline: Pipeline) -> Iterator[Mutation]:
    fields = pairs(stage)
    name, type_ = fields["name"][1], fields["type"][1]
    if pipeline.mentions(name.value):
        edit = Edit(name.start_mark.index, name.end_mark.index, misspelt(name.value))
        expected = tuple(_moved(one, edit) for one in pipeline.mentions(name.value))
        yield Mutation("renamed in one place", edit, expected, misspelt(name.value), alone=False)
    for odd in ("a-b", "a b", "é", "_x", "1a", "class", "config"):
        edit = Edit(name.start_mark.index, name.end_mark.index, odd)
        more = tuple(_moved(one, edit) for one in pipeline.mentions(name.value))
        yield Mutation("name that cannot be used", edit, (("MKG014", edit.start), *more))
    if stage.flow_style:
        line = pipeline.text.rindex("\n", 0, stage.start_mark.index) + 1
        end = pipeline.text.index("\n", stage.end_mark.index) + 1
        whole = pipeline.text[line:end]
        twice = [("MKG015", end - line + name.start_mark.index)]
        if type_.value in ("ingest", "attached-files"):
            twice.append(("MKG053", end - line + type_.start_mark.index))
        yield Mutation("stage twice", Edit(end, end, whole), tuple(twice))


def _in_a_gate(gate: Any) -> Iterator[Mutation]:
    fields = pairs(gate)
    condition = fields["condition"][1]
    if "resume_stage" in fields:
        word = fields["resume_stage"][1].value
        yield _replaced("misspelt resume_stage", "MKG061", fields["resume_stage"][1], misspelt(word), suggests=word)
    key = fields["condition"][0]
    yield _replaced("misspelt key", "MKG011", key, "conditoin", ("MKG012", gate.start_mark.index), suggests="condition")
    for name, (key, value) in pairs(condition).items():
        if name not in ("field", "equals"):
            yield _replaced("misspelt key", "MKG011", key, misspelt(name), suggests=name)
            yield _replaced("wrong kind of value", "MKG013", value, "soon")
            yield _replaced("wrong kind of value", "MKG013", value, "-1")
    for odd in ("5", "text", "[x]", "~", "{}", "{field: x, clauses: [{field: x}]}", "{mode: any}"):
        yield _replaced("wrong kind of value", "MKG013", condition, odd)


ODD = {
    "name": ("5", "true", "~", '""', "[x]", "{x: 1}"),
    "version": ("5", "2026.1", "true", "~", '""', "[x]", "{x: 1}"),
    "applicable_sources": ("5", "true", "text", "{x: 1}"),
    "metadata": ("5", "true", "text", "[x]"),
}
"""Values of the wrong kind for the fields of a pipeline."""


def _at_the_top(pipeline: Pipeline) -> Iterator[Mutation]:
    first = pipeline.top["name"][0].start_mark.index
    for name, odd_values in ODD.items():
        if name not in pipeline.top:
            continue  # it may be left out
        key, value = pipeline.top[name]
        needed = [("MKG012", first)] if name in ("name", "version") else []
        yield _replaced("misspelt key", "MKG011", key, misspelt(name), *needed, suggests=name)
        for odd in odd_values:
            yield _replaced("wrong kind of value", "MKG013", value, odd)
    for odd, code in (("colour: red\n", "MKG011"), ("batch_size: 0\n", "MKG013"), ("metadata: {ownr: x}\n", "MKG011")):
        if odd.partition(":")[0] not in pipeline.top:
            at = odd.index("0") if code == "MKG013" else 0
            yield Mutation("key put in", Edit(0, 0, odd), ((code, at),))
    end = len(pipeline.text)
    yield Mutation("key twice", Edit(end, end, "name: x\n"), (("MKG006", end),))
    yield Mutation("two documents", Edit(end, end, "---\na: b\n"), (("MKG005", end),))


def _in_the_text(pipeline: Pipeline) -> Iterator[Mutation]:
    for stage in pipeline.stages:
        start, end = stage.start_mark.index, stage.end_mark.index
        name = pairs(stage)["name"][1].start_mark.index
        yield Mutation("quote not closed", Edit(name, name, '"'), (("MKG004", name),), alone=False)
        yield Mutation("unquoted at sign", Edit(name, name, "@"), (("MKG004", name),), "quotes")
        yield Mutation("tag", Edit(name, name, "!env "), (("MKG009", name),))
        yield Mutation("alias", Edit(name, name, "*"), (("MKG007", name),))
        yield Mutation("control character", Edit(name, name, "\x07"), (("MKG003", name),))
        line = pipeline.text.rindex("\n", 0, start) + 1
        yield Mutation("tab for indentation", Edit(line, start - 2, "\t"), (("MKG004", line),), "tabs")
        if stage.flow_style:
            yield Mutation("brace not closed", Edit(end - 1, end, ""), (("MKG004", -1),))
            yield Mutation("brace closed twice", Edit(end, end, "}"), (("MKG004", end),))
            yield Mutation("indented wrongly", Edit(line, line, " "), (("MKG004", -1),))


def cut_edges(pipeline: Pipeline) -> Iterator[tuple[Edit, str, str]]:
    """Give every edge with the edit that takes it out: ``(edit, stage, dependency)``."""
    for stage in pipeline.stages:
        fields = pairs(stage)
        listed = fields["depends_on"][1] if "depends_on" in fields else None
        if listed is None:
            continue
        for gone in listed.value:
            left = ", ".join(item.value for item in listed.value if item is not gone)
            yield _instead_of(listed, f"[{left}]"), fields["name"][1].value, gone.value


def back_edges(pipeline: Pipeline) -> Iterator[tuple[Edit, str, str]]:
    """Give every edge that closes a circle with one stage or more, with the edit that puts it in."""
    above: dict[str, set[str]] = {}
    for stage in pipeline.stages:
        fields = pairs(stage)
        direct = [item.value for item in fields["depends_on"][1].value] if "depends_on" in fields else []
        above[fields["name"][1].value] = set(direct).union(*(above[name] for name in direct))
    for stage in pipeline.stages:
        fields = pairs(stage)
        name, listed = fields["name"][1].value, fields["depends_on"][1] if "depends_on" in fields else None
        for later in (other for other in above if name in above[other]):
            if listed:
                have = [item.value for item in listed.value]
                yield _instead_of(listed, f"[{', '.join([*have, later])}]"), name, later
