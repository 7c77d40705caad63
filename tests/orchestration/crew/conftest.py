"""A workspace whose own stage types meet, die, spoil or hang: what whole processes are tried with."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from medical_kg.orchestration import api
from medical_kg.orchestration.workspace import Workspace

STAGES = '''
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from medical_kg import Model, Page, Stage, StageMetadata, StateKey

NUMBERS = StateKey("numbers", list[int])
HERE = Path(__file__).parent


class Config(Model):
    batches: int = 4
    does: str = ""


class Feed(Stage[Config]):
    metadata = StageMetadata(
        stage_type="feed", version="1.0", description="Counts.", writes=(NUMBERS,), mode="stream", config_model=Config
    )

    def pull(self, ctx, cursor, limit):
        number = int(cursor or 0)
        return Page([number], str(number + 1) if number + 1 < self.config.batches else None)


class Act(Stage[Config]):
    """Does what its config says, by batch: 0, 1, 2 …"""

    metadata = StageMetadata(
        stage_type="act", version="1.0", description="Acts.", reads=(NUMBERS,), config_model=Config,
        output_counter=lambda out: {"acted": 1},
    )

    def run(self, ctx, numbers):
        (number,) = numbers
        if self.config.does:
            getattr(self, self.config.does)(ctx, number)

    def meet(self, ctx, number):
        """The first two batches wait for each other."""
        (HERE / f"met-{number}").touch()
        if number < 2:
            wait_for(HERE / f"met-{1 - number}")

    def die_once(self, ctx, number):
        if number == 1 and not (HERE / "died").exists():
            (HERE / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def die(self, ctx, number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def spoil(self, ctx, number):
        """The file goes bad, and the history has no former text of it."""
        if number == 1:
            with closing(sqlite3.connect(HERE / "kg" / "medical-kg.db")) as ledger, ledger:
                ledger.execute("UPDATE history SET detail = '{}'")
            (HERE / "kg" / "pipelines" / "acts.yaml").write_text("name: acts")

    def hang(self, ctx, number):
        (HERE / f"met-{number}").touch()
        wait_for(HERE / "never")

    def speak(self, ctx, number):
        ctx.logger.warning("batch %d speaks", number)
        print(f"batch {number} prints")


def wait_for(file):
    for _ in range(6000):
        if file.exists():
            return
        time.sleep(0.02)
    raise TimeoutError(f"{file} did not come")
'''

SETTINGS = """
[plugins.local.stages]
feed = "MODULE:Feed"
act = "MODULE:Act"
"""

PIPELINE = """
name: acts
version: "1"
batch_size: 1
stages:
  - {name: feed, type: feed}
  - {name: act, type: act, depends_on: [feed], config: {does: DOES}}
"""


class Acting:
    """A workspace with the pipeline ``acts``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "kg"
        self.pipelines = self.root / "pipelines"
        self.pipelines.mkdir(parents=True)
        # A name of its own: this process keeps the modules of the tests before.
        module = f"acting_{secrets.token_hex(4)}"
        (folder / f"{module}.py").write_text(STAGES)
        (folder / "medical_kg.toml").write_text(SETTINGS.replace("MODULE", module))

    def does(self, what: str) -> Workspace:
        """Write the pipeline, whose stage does this, and open the workspace."""
        (self.pipelines / "acts.yaml").write_text(PIPELINE.replace("DOES", what or '""'))
        return Workspace(self.root)

    def run(self, what: str, **more: Any) -> api.Report:
        return api.submit(self.does(what), "acts", **{"engine": "plain", "workers": 2, **more})


@pytest.fixture
def acting(tmp_path: Path) -> Acting:
    return Acting(tmp_path)
