"""The notebook of the how-to: its cells run in order, as Jupyter runs them, and the page shows them as they are."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "notebooks" / "pipelines.ipynb"
PAGE = ROOT / "docs" / "how-to" / "use-in-a-notebook.md"
BLOCK = re.compile(r"^```python\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


def cells() -> list[str]:
    """The code of the notebook, which is kept without output."""
    found = [one for one in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if one["cell_type"] == "code"]
    assert [one["outputs"] for one in found] == [[]] * len(found)
    return ["".join(one["source"]) for one in found]


async def run(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell as a kernel does: in its running event loop, with await allowed; returns what is shown of it."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    for mode, code in (("exec", tree), ("eval", last and ast.Expression(last.value))):  # type: ignore[attr-defined]  # it is an Expr
        if code is not None:
            value = eval(compile(code, "<cell>", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            value = await value if inspect.isawaitable(value) else value
    return value if last is not None else None


def test_the_page_shows_the_notebook_s_cells() -> None:
    """Every cell, in the same order, and nothing else."""
    assert BLOCK.findall(PAGE.read_text(encoding="utf-8")) == cells()


def test_the_cells_run_in_a_running_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both engines' code is synchronous and must not mind the loop; what a cell ends with can be shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDICAL_KG_WORKSPACE", str(tmp_path / "workspace"))
    (tmp_path / "samples").symlink_to(ROOT / "samples")

    async def play() -> list[Any]:
        names: dict[str, Any] = {"__name__": "__main__"}
        return [await run(cell, names) for cell in cells()]

    report, hits, title, lengths, again, sizes, nothing = asyncio.run(play())
    assert report.submission.status == "completed"
    assert "<td>chunk</td>" in report._repr_html_()
    assert hits
    assert title
    assert all(length > 100 for length in lengths.values())
    assert "<td>completed</td>" in again._repr_html_()
    assert sizes
    assert nothing is None
