"""Stage types of a plugin that the engine's process never imports: good ones, and what they can be told to do wrong."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from medical_kg import (
    Clause,
    Condition,
    ConditionRef,
    ItemRejected,
    Page,
    PluginName,
    PluginOptions,
    Rejected,
    Stage,
    StageContext,
    StageMetadata,
    StateKey,
    TransientError,
    Waiting,
    optional,
)


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    root: str
    text: str = ""


def words(name: str, **more: Any) -> StateKey[list[Word]]:
    return StateKey(name, list[Word], id="id", root="root", **more)


WORDS, UPPER, LOWER, HALVES = words("words"), words("upper"), words("lower"), words("halves", merge="append")
LENGTHS = StateKey("lengths", list[int], merge="append")
TALLY: StateKey[dict[str, int]] = StateKey("tally", dict[str, int])


class Config(BaseModel):
    """``doing`` says what is done wrong with which word; ``log`` is a file that every call is written to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(default=3, ge=0)
    doing: Mapping[str, str] = {}
    log: Path | None = None
    bytes_each: int = 0
    key: SecretStr = SecretStr("none")


def note(config: Config, what: str) -> int:
    """Write a call to the log; return how often it stands there now."""
    if config.log is None:
        return 1
    with config.log.open("a") as file:
        file.write(what + "\n")
    return config.log.read_text().split().count(what)


def do(config: Config, ident: str) -> None:  # noqa: C901, PLR0912  # a list of misdeeds
    times = note(config, ident)
    match config.doing.get(ident, ""):
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "complain":
            sys.stderr.write(f"something is wrong with {ident}\n")
            os._exit(4)
        case "loop":
            while True:
                pass
        case "hang-once" if times == 1:
            time.sleep(600)
        case "hog":
            kept = [bytearray(50_000_000) for _ in range(1000)]
            del kept
        case "share":
            shared = mmap.mmap(-1, 1 << 30)
            for at in range(0, 1 << 30, 4096):
                shared[at] = 1
            time.sleep(600)
        case "raise":
            raise ValueError(f"{ident} is bad")
        case "reject":
            raise ItemRejected(f"{ident} is not wanted")
        case "quit":
            sys.exit("bye")
        case "pass-once" if times == 1:
            raise TransientError("busy")
        case "print":
            print("printed", ident)  # noqa: T201  # what is tested
            sys.stdout.flush()
            os.write(1, b"written\n")
            subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        case "change":
            os.environ["CHANGED_BY_A_PLUGIN"] = "yes"
            os.chdir("/")


class _Odd(Stage[Config]):
    def open(self, ctx: StageContext) -> None:
        do(self.config, "open")

    def close(self) -> None:
        do(self.config, "close")


def metadata(stage_type: str, **more: Any) -> StageMetadata:
    return StageMetadata(
        **{"stage_type": stage_type, "version": "1.0", "description": "Odd.", "config_model": Config, **more}
    )


class Feed(_Odd):
    metadata = metadata("odd-feed", writes=(WORDS,), mode="stream")

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        do(self.config, "pull")
        first = int(cursor or 0)
        last = min(first + limit, self.config.number)
        text = "word" + "x" * self.config.bytes_each
        found = [Word(id=f"w{n}", root=f"w{n}", text=f"{text} {n}") for n in range(first, last)]
        cursor = None if last == self.config.number else str(last)
        return Page(found, cursor, [Rejected("w-odd", "it is odd")] if first == 0 else [])


class Shout(_Odd):
    metadata = metadata("odd-shout", reads=(WORDS,), writes=(UPPER,), mode="item", cacheable=True)

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Word:
        do(self.config, item.id)
        ctx.logger.warning("shouting %s", item.id)
        return item.model_copy(update={"text": item.text.upper()})


class Chorus(_Odd):
    metadata = metadata("odd-chorus", reads=(WORDS,), writes=(UPPER,), mode="item", items_per_call=4, cacheable=True)

    def process_many(self, ctx: StageContext, items: Sequence[Word], **reads: Any) -> list[Word]:
        for item in items:
            do(self.config, item.id)
        return [item.model_copy(update={"text": item.text.upper()}) for item in items]


class Split(_Odd):
    metadata = metadata("odd-split", reads=(WORDS,), writes=(HALVES,), mode="item", flat=True)

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Iterator[Word]:
        do(self.config, item.id)
        for part in item.text.split():
            yield Word(id=f"{item.id}-{part}", root=item.root, text=part)


class Pair(_Odd):
    metadata = metadata("odd-pair", reads=(WORDS,), writes=(LOWER, LENGTHS), mode="item")

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Any:
        do(self.config, item.id)
        return {LOWER: item.model_copy(update={"text": item.text.lower()}), LENGTHS: len(item.text)}


class Handled(_Odd):
    metadata = metadata(
        "odd-handled",
        reads=(WORDS,),
        writes=(LENGTHS,),
        mode="item",
        output_handler=lambda pairs: {LENGTHS: [length for _, length in pairs]},
        output_counter=lambda out: {"letters": sum(out[LENGTHS])},
    )

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Any:
        do(self.config, item.id)
        return item.id, len(item.text)


class Sink(_Odd):
    metadata = metadata("odd-sink", reads=(WORDS,), mode="item")

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> None:
        do(self.config, item.id)


class Keeper(_Odd):
    """Keeps words in a file of the workspace, one a line."""

    metadata = metadata("odd-keeper", reads=(WORDS,), keeps=True, needs=("workspace",))

    def run(self, ctx: StageContext, **reads: Any) -> None:
        (ctx.workspace.root / "kept.txt").write_text("".join(f"{word.root}\n" for word in reads["words"]))

    def kept(self, ctx: StageContext, root: str) -> dict[str, int]:
        do(self.config, "kept")
        return {"lines": (ctx.workspace.root / "kept.txt").read_text().splitlines().count(root)}

    def forget(self, ctx: StageContext, root: str) -> dict[str, int]:
        found, path = self.kept(ctx, root), ctx.workspace.root / "kept.txt"
        path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines() if line != root))
        return found

    def roots_named(self, ctx: StageContext, name: str) -> list[str]:
        return [line for line in (ctx.workspace.root / "kept.txt").read_text().splitlines() if name == f"the-{line}"]


class Tally(_Odd):
    metadata = metadata(
        "odd-tally",
        reads=(UPPER, optional(HALVES)),
        writes=(TALLY,),
        output_counter=lambda out: {"tallied": sum(out[TALLY].values())},
    )

    def run(self, ctx: StageContext, **reads: Any) -> dict[str, int]:
        do(self.config, "run")
        return {name: len(value or ()) for name, value in reads.items()}


class GateConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: ConditionRef | None = None
    format: Annotated[str, PluginName("medical_kg.formats")] | None = None
    limits: Mapping[str, int] = {}


class Gate(Stage[GateConfig]):
    metadata = StageMetadata(
        stage_type="odd-gate",
        version="1.0",
        description="Waits for the signal open.",
        config_model=GateConfig,
        needs=("signals", "files", "plugins", "workspace"),
    )

    @classmethod
    def configure(cls, config: GateConfig, *, stage: str, conditions: Mapping[str, Any]) -> GateConfig:
        if "refuse" in config.limits:
            raise ValueError("it cannot be completed")
        if "crash" in config.limits:
            os._exit(5)
        return config.model_copy(update={"limits": {**config.limits, stage: len(conditions)}})

    def run(self, ctx: StageContext) -> Waiting | None:
        opened = Condition(clauses=(Clause(field="open", value=True),))
        assert ctx.files.put([b"kept"]).size == 4
        assert "text" in ctx.plugins.names("medical_kg.formats")
        assert ctx.workspace.root.is_dir()
        if ctx.timed_out or ctx.signals.holds(opened):
            assert ctx.timed_out or ctx.signals.all()["open"].value is True
            ctx.signals.tell("passed", {"by": ctx.stage})
            return None
        return Waiting(opened)


class ReaderOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = 1
    key: SecretStr | None = None


class Reader:
    options_model = ReaderOptions


class ReadingConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    reader: Annotated[str, PluginName("medical_kg.readers")] = "odd"
    options: Annotated[dict[str, Any], PluginOptions("reader")] = {}


class Reading(Stage[ReadingConfig]):
    metadata = StageMetadata(
        stage_type="odd-reading", version="1.0", description="Has a reader.", config_model=ReadingConfig
    )

    def run(self, ctx: StageContext) -> None:
        return None


class AskingConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    pace: float | None = None


class Asking(Stage[AskingConfig]):
    metadata = StageMetadata(
        stage_type="odd-asking",
        version="1.0",
        description="Asks an address three times.",
        config_model=AskingConfig,
        needs=("http",),
    )

    def run(self, ctx: StageContext) -> None:
        for _ in range(3):
            with ctx.http.get(self.config.url, per_second=self.config.pace) as found:
                b"".join(found.chunks())
