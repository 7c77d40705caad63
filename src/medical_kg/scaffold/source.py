"""Python source, laid out as ruff and black would: imports in order, long calls broken over lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

WIDTH = 120
INDENT = "    "
PAIRS: Mapping[str, str] = {"(": ")", "[": "]", "{": "}"}


def wrapped(head: str, parts: Sequence[str], tail: str, indent: int = 0) -> str:
    """Return a call or signature, ``head part, part tail``: on one line, else its parts on one of their own, else one each.

    Args:
        head: what opens, e.g. ``run(``.
        parts: what stands between, without commas; one that is too long for its line is broken in turn.
        tail: what closes, e.g. ``)``.
        indent: levels of the line that it stands on; the text given back begins without them.
    """
    pad, inner = INDENT * indent, INDENT * (indent + 1)
    flat = ", ".join(parts)
    if len(f"{pad}{head}{flat}{tail}") <= WIDTH:
        return f"{head}{flat}{tail}"
    if len(inner + flat) <= WIDTH:
        return f"{head}\n{inner}{flat}\n{pad}{tail}"
    return _one_each(head, parts, tail, indent)


def parted(head: str, parts: Sequence[str], tail: str, indent: int = 0) -> str:
    """Return the same for a list, tuple or mapping, an import too: on one line with what follows it, else one part each."""
    if len(f"{INDENT * indent}{head}{', '.join(parts)}{tail}") <= WIDTH:
        return f"{head}{', '.join(parts)}{tail}"
    return _one_each(head, parts, tail, indent)


def _one_each(head: str, parts: Sequence[str], tail: str, indent: int) -> str:
    inner = INDENT * (indent + 1)
    lines = "".join(f"{inner}{_broken(part, indent + 1)},\n" for part in parts)
    return f"{head}\n{lines}{INDENT * indent}{tail}"


def _broken(part: str, indent: int) -> str:
    """Return an argument or element as it is, or, where it is too long for its line, broken at its first bracket."""
    opening = next((position for position, sign in enumerate(part) if sign in PAIRS), None)
    if len(f"{INDENT * indent}{part},") <= WIDTH or opening is None or part[-1] != PAIRS[part[opening]]:
        return part
    head, inside = part[: opening + 1], split(part[opening + 1 : -1])
    # The comma that follows counts, so the tail is taken as one longer.
    lay_out = wrapped if part[opening] == "(" and opening else parted
    return lay_out(head, inside, f"{part[-1]},", indent).removesuffix(",")


def split(text: str) -> list[str]:
    """Return source text split at its outermost commas."""
    parts, depth, quote, begin = [], 0, "", 0
    for position, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[position - 1] != "\\" else quote
        elif sign in "\"'":
            quote = sign
        elif sign == "," and depth == 0:
            parts.append(text[begin:position].strip())
            begin = position + 1
        else:
            depth += (sign in PAIRS) - (sign in PAIRS.values())
    return [*parts, last] if (last := text[begin:].strip()) else parts


class Imports:
    """What a module imports; ``own`` is the package whose imports stand last."""

    def __init__(self, own: str = "") -> None:
        """Start empty."""
        self._own = own
        self._names: dict[str, set[str]] = {}

    def add(self, module: str, *names: str) -> None:
        """Import names from a module, or, without names, the module."""
        self._names.setdefault(module, set()).update(names or [""])

    def render(self) -> str:
        """Return the import block: standard library, other packages, our own."""
        sections: dict[int, list[str]] = {0: [], 1: [], 2: []}
        for module in self._names:
            sections[self._rank(module)].append(module)
        return "\n\n".join("\n".join(self._section(modules)) for modules in sections.values() if modules)

    def _rank(self, module: str) -> int:
        top = module.partition(".")[0]
        return 2 if self._own and top == self._own else 0 if top in sys.stdlib_module_names else 1

    def _section(self, modules: Iterable[str]) -> Iterable[str]:
        ordered = sorted(modules)
        yield from (f"import {module}" for module in ordered if "" in self._names[module])
        for module in ordered:
            if names := sorted(self._names[module] - {""}, key=_member):
                flat = f"from {module} import {', '.join(names)}"
                yield flat if len(flat) <= WIDTH else parted(f"from {module} import (", names, ")")


def _member(name: str) -> tuple[int, str, str]:
    """Sort constants before classes before the rest, each without regard to capitals."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2, name.lower(), name)
