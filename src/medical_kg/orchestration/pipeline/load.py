"""YAML text to plain values, with the place of every key and value; whatever is wrong becomes a problem."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any

from medical_kg.orchestration.pipeline.nodes import Builder, Node
from medical_kg.orchestration.pipeline.problems import Path, Place, show
from medical_kg.orchestration.pipeline.tree import MAX_DEPTH, MAX_NODES, LoadFailed, Tree, failed

__all__ = ["MAX_BYTES", "LoadFailed", "Tree", "load", "need_mapping", "parse", "read_text"]

MAX_BYTES = 1024 * 1024

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what YAML 1.1 counts as lines, so that marks agree
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_text(path: FilePath) -> str:
    """Return a file's text.

    Raises:
        LoadFailed: it cannot be read, is larger than ``MAX_BYTES`` or is not UTF-8.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise failed(Place(file), "MKG001", f"cannot read the file: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise failed(Place(file), "MKG002", f"the file is larger than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = _LINE_BREAK.split(data[: error.start].decode())
        place = Place(file, len(before), len(before[-1]) + 1)
        message = f"byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise failed(place, "MKG003", message, "save the file as UTF-8") from error


def parse(text: str, file: str) -> Tree:
    """Return the values of a YAML text with their places; duplicate keys are in ``Tree.problems``.

    Raises:
        LoadFailed: the text is too large, not valid YAML, holds several documents, a tag, a recursive alias, or more
            than ``MAX_NODES`` values once aliases are followed.
    """
    lines = _LINE_BREAK.split(text)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise failed(Place(file), "MKG002", f"the text is larger than {MAX_BYTES} bytes")
    if wrong := _UNPRINTABLE.search(text):
        before = _LINE_BREAK.split(text[: wrong.start()])
        place = Place(file, len(before), len(before[-1]) + 1)
        raise failed(place, "MKG003", f"character U+{ord(wrong[0]):04X} is not text", "remove it")
    builder = Builder(file, lines)
    tree = Tree(file, None, {}, {}, builder.problems)
    tree.value = _expand(builder.build(text), (), tree)
    return tree


def load(path: FilePath) -> tuple[str, Tree]:
    """Return a file's text and tree.

    Raises:
        LoadFailed: as for ``read_text`` and ``parse``.
    """
    text = read_text(path)
    return text, parse(text, str(path))


def need_mapping(tree: Tree) -> None:
    """Raise ``LoadFailed`` unless the tree is a mapping with something in it."""
    if tree.value is None:
        raise failed(Place(tree.file), "MKG010", "the file is empty", "start from a shipped pipeline")
    if not isinstance(tree.value, dict):
        kind = "list" if isinstance(tree.value, list) else "single value"
        raise failed(tree.place(()), "MKG010", f"the file is a {kind}; it must be a mapping of keys to values")


def _expand(node: Node, path: Path, tree: Tree) -> Any:
    tree.values[path] = node.place
    if len(tree.values) > MAX_NODES:
        raise failed(node.place, "MKG008", f"the file holds more than {MAX_NODES} values, aliases followed", "", path)
    if len(path) > MAX_DEPTH:
        message = f"values are nested deeper than {MAX_DEPTH} levels at {show(path[:3])}…"
        raise failed(node.place, "MKG008", message, "", path)
    if node.items is None:
        return node.value
    pairs = []
    for key, place, child in node.items:
        inner = (*path, key)
        tree.keys[inner] = place
        pairs.append((key, _expand(child, inner, tree)))
    return dict(pairs) if node.is_map else [value for _, value in pairs]
