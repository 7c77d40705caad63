"""A pipeline that reads words from a file and keeps them, for tests of the same input again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from support import WORDS, Config, Word, make_workspace

from medical_kg import REMOVED, Page, Rejected, Stage, StageMetadata, StateKey, optional
from medical_kg.orchestration import api
from medical_kg.orchestration.workspace import Workspace

RECEIPT: StateKey[dict[str, int]] = StateKey("receipt", dict[str, int])


class Shelf(Stage[Config]):
    """Gives the words of a JSON file, in its order; one whose text is null is rejected. ``number`` 0: not a full sweep."""

    metadata = StageMetadata(
        stage_type="shelf", version="1.0", description="Feeds.", writes=(WORDS,), mode="stream", config_model=Config
    )
    pages: ClassVar[list[int]] = []

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        items = json.loads(Path(ctx.input["input"]).read_text(encoding="utf-8"))
        first = int(cursor or 0)
        end = int(ctx.input.get("limit", len(items)))
        last = min(first + limit, end)
        self.pages.append(last - first)
        mine = items[first:last]
        found = [Word(id=name, root=name, text=text) for name, text in mine if text is not None]
        rejected = [Rejected(name, "it is empty") for name, text in mine if text is None]
        return Page(found, None if last == end else str(last), rejected, complete=bool(self.config.number))


class Store(Stage[Config]):
    """Keeps what it is given, by root, in a file of its tenant; words named in ``bad`` cannot be kept."""

    metadata = StageMetadata(
        stage_type="store",
        version="1.0",
        description="Keeps.",
        reads=(StateKey("upper", list[Word], id="id", root="root"), optional(REMOVED)),
        writes=(RECEIPT,),
        config_model=Config,
        needs=("workspace",),
    )

    def run(self, ctx: Any, *args: Any, upper: Any, removed: Any = None, **reads: Any) -> dict[str, int]:
        kept = shelf_of(ctx.workspace.root, ctx.tenant)
        kept |= {word.root: word.text for word in upper}
        for root in removed or ():
            kept.pop(root.id, None)
        (ctx.workspace.root / f"{ctx.tenant}.json").write_text(json.dumps(kept), encoding="utf-8")
        return {"kept": len(upper), "removed": len(removed or ())}


def shelf_of(root: Path, tenant: str = "default") -> dict[str, str]:
    file = root / f"{tenant}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


LIBRARY = """\
name: library
version: "1"
batch_size: 4
stages:
  - {name: shelf, type: shelf}
  - {name: shout, type: shout, depends_on: [shelf], config: {bad: []}}
  - {name: store, type: store, depends_on: [shout]}
"""


class Library:
    """A workspace with the pipeline, and the file that it reads."""

    def __init__(self, folder: Path, text: str = LIBRARY, **more: Any) -> None:
        self.workspace: Workspace = make_workspace(folder, text, **{"shelf": Shelf, "store": Store, **more})
        self.file = folder / "words.json"
        self.last: api.Report

    def write(self, *items: tuple[str, str | None]) -> None:
        self.file.write_text(json.dumps(items), encoding="utf-8")

    def run(self, pipeline: str = "library", **more: Any) -> tuple[int, int, int]:
        """Run it; returns how many records were unchanged, changed and removed."""
        more = {"engine": "plain", "input": self.file, **more}
        self.last = api.submit(self.workspace, pipeline, **more)
        found = self.last.sweep
        assert found is not None
        return found.unchanged, found.changed, found.removed

    def edit(self, old: str, new: str) -> None:
        file = self.workspace.root / "pipelines" / "library.yaml"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    @property
    def kept(self) -> dict[str, str]:
        return shelf_of(self.workspace.root)


SEVEN: list[tuple[str, str | None]] = [(name, f"word {name}") for name in "abcdefg"]
