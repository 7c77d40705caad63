"""Pydantic's errors as problems with places: unknown keys with their neighbours, missing fields, wrong values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from medical_kg.orchestration.contract.errors import near
from medical_kg.orchestration.contract.model import plainly
from medical_kg.orchestration.pipeline.problems import Path, Problem, show

if TYPE_CHECKING:
    from medical_kg.orchestration.isolation.taking import Details
    from medical_kg.orchestration.pipeline.tree import Tree

_SUBJECT = re.compile(r"^(Input|List|String|Tuple|Dictionary|Value) should")
_OUR_MODEL = re.compile(r"(?<=mapping) or instance of \w+")


def explain(errors: Iterable[Details], tree: Tree, base: Path) -> list[Problem]:
    """Return a problem for each thing the validation of the value at ``base`` found wrong (see ``details_of``)."""
    problems: list[Problem] = []
    wrong: dict[Path, list[Details]] = {}
    for details in errors:
        if details["type"] == "missing":
            problems.append(_missing(details, tree, base))
        elif details["type"] == "extra_forbidden":
            problems.append(_unknown(details, tree, base))
        else:
            wrong.setdefault(locate(tree, base, details["loc"]), []).append(details)
    problems += [_wrong(path, found, tree) for path, found in wrong.items() if not _deeper(path, wrong)]
    return problems


def _deeper(path: Path, wrong: Iterable[Path]) -> bool:
    """Whether something inside the value is wrong too: then it is of the right kind, and only another branch differs."""
    return any(len(other) > len(path) and other[: len(path)] == path for other in wrong)


def locate(tree: Tree, base: Path, loc: Iterable[str | int]) -> Path:
    """Return the path in the file of a pydantic location.

    Parts that stand for no key (the branch of a union, a wrapping validator) are left out.
    """
    path = base
    for part in loc:
        for spelling in (part, str(part)):
            if (*path, spelling) in tree.values:
                path = (*path, spelling)
                break
    return path


def _missing(details: Details, tree: Tree, base: Path) -> Problem:
    *around, name = details["loc"]
    path = locate(tree, base, around)
    where = f"{show(path)} " if path else "the file "
    return tree.problem("MKG012", f"{where}needs the field {name!r}", path, f"add {name}: …", key=bool(path))


def _unknown(details: Details, tree: Tree, base: Path) -> Problem:
    name, known = details["loc"][-1], details["known"]
    path = locate(tree, base, details["loc"])
    where = f" in {show(path[:-1])}" if path[:-1] else ""
    advice = near(str(name), known) if known else "remove it; nothing is configured here"
    return tree.problem("MKG011", f"unknown key {str(name)!r}{where}", path, advice, key=True)


def _wrong(path: Path, found: list[Details], tree: Tree) -> Problem:
    reasons = " or ".join(dict.fromkeys(_reason(details) for details in found))
    given = found[0]["input"]
    shown = f"; it is {_short(given)}" if _tells(found[0]) else ""
    suggestion = "put it in quotes" if _is_number(given) and all(d["type"] == "string_type" for d in found) else ""
    message = f"{show(path) or 'the file'}: {reasons}{shown}"
    return tree.problem("MKG013", message, path, suggestion)


def _tells(details: Details) -> bool:
    """Whether showing the value says more: always for a plain one, for a collection only where its kind is wrong.

    A mapping's key that is wrong stands in the path already.
    """
    given = details["input"]
    if details["loc"][-1:] == ("[key]",):
        return False
    return given is None or isinstance(given, (str, int, float)) or str(details["type"]).endswith("_type")


def _reason(details: Details) -> str:
    text = plainly(str(details["msg"]))
    text = _SUBJECT.sub("must", text).replace("valid dictionary", "mapping").replace(" after validation", "")
    return _OUR_MODEL.sub("", text)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004  # keeps the message on one line


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))
