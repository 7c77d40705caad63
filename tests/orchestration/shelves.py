"""Stages that keep what they read, give rare words and files, for tests of what is kept of a document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from support import UPPER, WORDS, Config, Word

from medical_kg.orchestration.contract import Page, Stage, StageContext, StageMetadata, StateKey
from medical_kg.orchestration.contract.errors import TransientError

PAPERS: StateKey[list[Word]] = StateKey("papers", list[Word], id="id", root="root")


class Shelf(Stage[Config]):
    """Keeps words by root in a JSON file, which a test can read."""

    metadata = StageMetadata(
        stage_type="shelf",
        version="1.0",
        description="Keeps.",
        reads=(UPPER,),
        mode="batch",
        config_model=Config,
        keeps=True,
        needs=("workspace",),
    )

    def path(self, ctx: StageContext) -> Path:
        return ctx.workspace.root / f"shelf{self.config.number}.json"

    def held(self, ctx: StageContext) -> dict[str, list[str]]:
        return dict(json.loads(self.path(ctx).read_text())) if self.path(ctx).exists() else {}

    def run(self, ctx: StageContext, **reads: Any) -> None:
        given = {word.root: [word.text] for word in reads["upper"]}
        self.path(ctx).write_text(json.dumps(self.held(ctx) | given))

    def kept(self, ctx: StageContext, root: str) -> Mapping[str, int]:
        if "kept" in self.config.bad:
            raise OSError("the shelf is out of reach")
        return {"books": len(self.held(ctx).get(root, []))}

    def forget(self, ctx: StageContext, root: str) -> Mapping[str, int]:
        found = self.kept(ctx, root)
        self.path(ctx).write_text(json.dumps({name: text for name, text in self.held(ctx).items() if name != root}))
        return found

    def roots_named(self, ctx: StageContext, name: str) -> Iterable[str]:
        return [root for root in self.held(ctx) if name == f"isbn:{root}"]


class Library(Stage[Config]):
    """Gives words with a rare text each, ``limit`` at a time."""

    metadata = StageMetadata(
        stage_type="library", version="1.0", description="Feeds.", writes=(WORDS,), mode="stream", config_model=Config
    )

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        first = int(cursor or 0)
        last = min(first + limit, self.config.number)
        found = [Word(id=f"w{n}", root=f"w{n}", text=rare(f"w{n}")) for n in range(first, last)]
        return Page(found, None if last == self.config.number else str(last))


class Print(Stage[Config]):
    """Puts each word into a file; w0 and w1 have the same one."""

    metadata = StageMetadata(
        stage_type="print",
        version="1.0",
        description="Prints.",
        reads=(WORDS,),
        writes=(PAPERS,),
        mode="item",
        config_model=Config,
        needs=("files",),
    )

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Word:
        text = "shared" if item.id in ("w0", "w1") else item.text
        own = ctx.files.put([item.text.encode()], suffix=".txt")
        both = ctx.files.put([text.encode()], suffix=".txt")
        return Word(id=f"{item.id}#paper", root=item.root, text=f"{own.uri} {both.uri}")


class Grumble(Stage[Config]):
    """Quotes every word in its log, and fails with it."""

    metadata = StageMetadata(
        stage_type="grumble",
        version="1.0",
        description="Grumbles.",
        reads=(WORDS,),
        writes=(UPPER,),
        mode="item",
        config_model=Config,
    )

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Word:
        ctx.logger.warning("about to shout %s", item.text)
        raise TransientError(f"cannot shout {item.text}")


class Collapse(Stage[Config]):
    """Fails, and quotes everything it read."""

    metadata = StageMetadata(
        stage_type="collapse", version="1.0", description="Collapses.", reads=(WORDS,), config_model=Config
    )

    def run(self, ctx: StageContext, **reads: Any) -> None:
        raise ValueError(f"all of this is too much: {', '.join(word.text for word in reads['words'])}")


def rare(root: str) -> str:
    """The text of a word, which stands nowhere else."""
    return f"zyxomma{root}qquill"


SHELVED = """\
name: shelved
version: "1"
batch_size: 2
stages:
  - {name: library, type: library, config: {number: 4}}
  - {name: shout, type: shout, depends_on: [library], config: {bad: [w3]}}
  - {name: print, type: print, depends_on: [library]}
  - {name: shelf, type: shelf, depends_on: [shout]}
"""

TYPES: dict[str, type[Stage[Any]]] = {
    "library": Library,
    "shelf": Shelf,
    "print": Print,
    "grumble": Grumble,
    "collapse": Collapse,
}
