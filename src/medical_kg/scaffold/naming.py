"""What things are called in a generated package, and what they may not be called."""

from __future__ import annotations

import builtins
from collections.abc import Iterable

from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.contract.metadata import STAGE_TYPE
from medical_kg.orchestration.contract.state import wrong_name

TAKEN = frozenset(
    {
        "Any",
        "Field",
        "InputError",
        "ItemRejected",
        "Model",
        "Page",
        "Path",
        "Rejected",
        "Stage",
        "StageCase",
        "StageConformance",
        "StageContext",
        "StageMetadata",
        "StateKey",
    }
)
"""Names that a generated module uses for something else."""


def checked_type(name: str) -> str:
    """Return the name of a new stage type.

    Raises:
        UsageError: it breaks the rule of stage types.
    """
    if not STAGE_TYPE.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a stage type: use lower-case words joined by hyphens, e.g. 'word-count'"
        )
    if name.startswith("test"):
        raise UsageError(
            f"pytest would take the classes of {name!r} for tests; choose a name that does not begin with 'test'"
        )
    return name


def checked_keys(names: Iterable[str], option: str) -> tuple[str, ...]:
    """Return the names of state keys.

    Args:
        names: as they were given.
        option: what they were given to, for the message.

    Raises:
        UsageError: one breaks the rule of state keys, or is there twice.
    """
    checked: list[str] = []
    for name in names:
        if reason := wrong_name(name):
            raise UsageError(f"{option}: {name!r} cannot name a state key: it {reason}")
        if same := [other for other in checked if other.upper() == name.upper()]:
            twice = "is named twice" if same[0] == name else f"differs from {same[0]!r} in capitals only"
            raise UsageError(f"{option}: {name!r} {twice}; name each state key once")
        checked.append(name)
    return tuple(checked)


def camel(name: str) -> str:
    """Return a stage type's or state key's name as a class's."""
    return "".join(word[:1].upper() + word[1:] for word in name.replace("-", "_").split("_"))


def singular(name: str) -> str:
    """Return what one of many English things is called, as well as its ending tells."""
    if name.endswith("ies") and len(name) > len("dies"):
        return name.removesuffix("ies") + "y"
    if name.endswith("s") and not name.endswith(("ss", "us", "is")) and len(name) > len("xs"):
        return name.removesuffix("s")
    return name


def record_class(key: str, taken: Iterable[str]) -> str:
    """Return the class name of a new key's record, unlike those that are taken or built in."""
    unusable = {*taken, *TAKEN, *dir(builtins)}
    plain = camel(singular(key))
    if not plain.isidentifier() or plain in unusable:
        plain += "Record"
    while plain in unusable:
        plain += "_"
    return plain
