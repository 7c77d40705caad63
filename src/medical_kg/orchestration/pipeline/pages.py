"""The pages of checks: a wrong file, its message and the fix, for each code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medical_kg.orchestration.contract.errors import UsageError, near
from medical_kg.orchestration.pipeline.problems import KINDS


def page(code: str, folders: Sequence[Path] = ()) -> str:
    """Return the page of a code as Markdown text.

    Args:
        code: such as ``MKG011``.
        folders: where the pages may be; unless given, in the installed package or the checkout it runs from.

    Raises:
        UsageError: there is no such code, or this installation has no pages.
    """
    name = code.strip().upper()
    if name not in KINDS:
        raise UsageError(f"there is no code {code!r}; {near(name, KINDS)}")
    for folder in folders or _installed():
        if (folder / f"{name}.md").is_file():
            return (folder / f"{name}.md").read_text(encoding="utf-8")
    raise UsageError(f"{name} means: {KINDS[name].title}; its page is not in this installation; install it again")


def _installed() -> tuple[Path, ...]:
    from importlib.resources import files

    package = Path(str(files("medical_kg")))
    return package / "checks", package.parents[1] / "docs" / "reference" / "checks"
