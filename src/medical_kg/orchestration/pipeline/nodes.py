"""Nodes of a YAML text from PyYAML's parser events.

The tree is built here and not by PyYAML's composer, which recurses as deep as the text nests and forgets where an
alias stood. The event parser is libyaml's where PyYAML was built with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from medical_kg.orchestration.pipeline.problems import Place, Problem
from medical_kg.orchestration.pipeline.scalars import Scalar, resolve
from medical_kg.orchestration.pipeline.tree import MAX_DEPTH, MAX_NODES, LoadFailed, failed

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAG = "tag:yaml.org,2002:str"
_SIMPLE_KEY = "while scanning a simple key"
_HINTS = {
    "tab": "indent with spaces, never with tabs",
    "cannot start any token": "put the text in quotes",
    "could not find expected ':'": "write the key, a colon, a space and the value",
    "mapping values are not allowed": "check the indentation, or put a text that contains ': ' in quotes",
}


@dataclass(slots=True)
class Node:
    """A value with its place: a scalar, or the items of a mapping or list, each with the place of its key."""

    place: Place
    value: Scalar = None
    items: list[tuple[str | int, Place, Node]] | None = None
    is_map: bool = False


class Builder:
    """Builds nodes; an alias gives the content of the node its anchor named. Duplicate keys are in ``problems``."""

    def __init__(self, file: str, lines: list[str]) -> None:
        """Keep the file's name and its lines."""
        self.problems: list[Problem] = []
        self._file, self._lines = file, lines
        self._anchors: dict[str, Node] = {}
        self._open: set[int] = set()
        self._depth = self._count = 0

    def build(self, text: str) -> Node:
        """Return the root.

        Raises:
            LoadFailed: the text is not valid YAML, or has what is refused.
        """
        try:
            return self._document(yaml.parse(text, Loader=_Loader))
        except yaml.MarkedYAMLError as error:
            raise self._invalid(error) from error

    def _document(self, events: Iterator[Any]) -> Node:
        root = Node(Place(self._file))
        found = False
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found:
                    message = "a second document begins here; a file holds one"
                    raise failed(self._at(event), "MKG005", message, "move it to a file of its own")
                root, found = self._node(next(events), events), True
        return root

    def _at(self, event: Any) -> Place:
        return self._place(event.start_mark)

    def _place(self, mark: Any) -> Place:
        text = self._lines[mark.line] if mark.line < len(self._lines) else ""
        return Place(self._file, mark.line + 1, mark.column + 1, text)

    def _node(self, event: Any, events: Iterator[Any]) -> Node:
        place = self._at(event)
        self._count += 1
        if self._count > MAX_NODES:
            raise failed(place, "MKG008", f"the file holds more than {MAX_NODES} values")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), place)
        node = Node(place, is_map=isinstance(event, yaml.MappingStartEvent))
        if event.anchor:
            self._anchors[event.anchor] = node
        if isinstance(event, yaml.ScalarEvent):
            node.value = self._scalar(event, place)
        else:
            self._collection(node, event, events)
        return node

    def _collection(self, node: Node, event: Any, events: Iterator[Any]) -> None:
        if event.tag is not None:
            raise self._unsupported(node.place, f"tag {event.tag!r}")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise failed(node.place, "MKG008", f"values are nested deeper than {MAX_DEPTH} levels")
        self._open.add(id(node))
        node.items = []
        fill = self._fill_map if node.is_map else self._fill_list
        fill(node.items, events)
        self._open.remove(id(node))
        self._depth -= 1

    def _fill_list(self, items: list[tuple[str | int, Place, Node]], events: Iterator[Any]) -> None:
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            node = self._node(event, events)
            items.append((len(items), node.place, node))

    def _fill_map(self, items: list[tuple[str | int, Place, Node]], events: Iterator[Any]) -> None:
        first: dict[str, Place] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key, place = self._key(event), self._at(event)
            node = self._node(next(events), events)
            if key in first:
                self._duplicate(key, place, first[key])
            else:
                first[key] = place
                items.append((key, place, node))

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._unsupported(self._at(event), "a key that is not plain text")
        if event.value == "<<" and event.implicit[0]:
            raise self._unsupported(self._at(event), "the merge key <<, which YAML 1.2 no longer has,")
        # A key is its text, whatever it would mean as a value: `on:` and `1:` are names.
        return str(event.value)

    def _duplicate(self, key: str, place: Place, first: Place) -> None:
        message = f"key {key!r} is given twice; the first is on line {first.line}"
        self.problems.append(Problem.at(place, "MKG006", message, (), "remove or rename one of them"))

    def _alias(self, name: str, place: Place) -> Node:
        node = self._anchors.get(name)
        if node is None:
            known = ", ".join(f"&{anchor}" for anchor in self._anchors) or "none"
            raise failed(place, "MKG007", f"alias *{name} has no anchor &{name} before it; anchors so far: {known}")
        if id(node) in self._open:
            raise failed(place, "MKG007", f"alias *{name} stands inside its own anchor, so it would never end")
        return Node(place, node.value, node.items, node.is_map)

    def _scalar(self, event: Any, place: Place) -> Scalar:
        if event.tag not in (None, "!", _TEXT_TAG):
            raise self._unsupported(place, f"tag {event.tag!r}")
        plain = event.tag is None and event.implicit[0]
        return resolve(event.value) if plain else str(event.value)

    def _unsupported(self, place: Place, what: str) -> LoadFailed:
        return failed(place, "MKG009", f"{what} is not supported", "write the value out in plain YAML")

    def _invalid(self, error: yaml.MarkedYAMLError) -> LoadFailed:
        mark, context = error.problem_mark or error.context_mark, error.context_mark
        # Something left open is noticed at the end of the text, and a key without colon at what follows it; where it
        # begins helps more.
        if mark and context and (self._nothing_at(mark) or error.context == _SIMPLE_KEY):
            mark = context
        begun = f" that begins on line {context.line + 1}" if mark and context and context.line != mark.line else ""
        message = ": ".join(filter(None, (f"{error.context}{begun}" if error.context else "", error.problem)))
        hint = next((hint for words, hint in _HINTS.items() if words in message), "")
        place = self._end() if mark is None or self._nothing_at(mark) else self._place(mark)
        return failed(place, "MKG004", message, _HINTS["tab"] if self._rest(mark).startswith("\t") else hint)

    def _nothing_at(self, mark: Any) -> bool:
        return not "".join([self._rest(mark), *self._lines[mark.line + 1 :]]).strip()

    def _end(self) -> Place:
        number = max((index for index, line in enumerate(self._lines) if line.strip()), default=0)
        return Place(self._file, number + 1, max(1, len(self._lines[number])), self._lines[number])

    def _rest(self, mark: Any) -> str:
        return self._lines[mark.line][mark.column :] if mark and mark.line < len(self._lines) else ""
