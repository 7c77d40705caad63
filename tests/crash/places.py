"""A workspace of the crash suite, and the programs that are started over it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from databases import Database, Ledger, ledger_of
from programs import Program, Programs
from scenarios import Scenario

MARK = "CRASH_SUITE"


class Place:
    """A workspace in a folder of its own, with its database."""

    def __init__(
        self, programs: Programs, folder: Path, database: Database, scenario: Scenario, given: Path, engine: str
    ) -> None:
        """Write the settings and the pipelines; ``given`` is the input."""
        self._programs = programs
        self.folder, self.root, self.database = folder, folder / "workspace", database
        self.scenario, self.given, self.engine = scenario, given, engine
        self.witness = folder / "begun"
        (self.root / "pipelines").mkdir(parents=True)
        settings = database.settings() + scenario.settings(given)
        (self.root / "medical_kg.toml").write_text(settings, encoding="utf-8")
        for name in scenario.files:
            (self.root / "pipelines" / f"{name}.yaml").write_text(scenario.text(name), encoding="utf-8")
        self._started = 0

    def ledger(self) -> Ledger:
        """How the ledger stands."""
        return ledger_of(self.database)

    def next_words(self, ledger: Ledger) -> tuple[object, ...] | None:
        """What to type next; nothing once everything has ended."""
        words = self.scenario.next_words(ledger, self.given)
        return None if words is None else (*words, "--engine", self.engine)

    def start(self, words: tuple[object, ...], orders: Mapping[str, Any] | None = None) -> Program:
        """Start a program that is to follow the orders, in a process group of its own."""
        self._started += 1
        told = {"witness": str(self.witness), **(orders or {})}
        every = ("--workspace", self.root, *words)
        return self._programs.start(self.folder, self.folder / f"said-{self._started}", list(map(str, every)), told)

    def begun(self) -> list[tuple[str, str]]:
        """Batch and stage of every stage that was begun since this was last asked."""
        if not self.witness.exists():
            return []
        lines = self.witness.read_text(encoding="utf-8").splitlines()
        self.witness.unlink()
        return [(batch, stage) for batch, stage in map(json.loads, lines)]

    def left_behind(self) -> list[str]:
        """Programs that are still there although what started them is gone; they are given a while to notice."""
        deadline = time.monotonic() + 30
        while (found := list(_marked(str(self.folder)))) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [f"process {pid} is still there" for pid in found]

    def close(self) -> None:
        """Remove the database where it is not in the folder."""
        self.database.close()


def _marked(folder: str) -> list[int]:
    wanted, found = f"{MARK}={folder}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (path / "environ").read_bytes().split(b"\0") and b") Z " not in (path / "stat").read_bytes():
                found.append(int(path.name))
    return found
