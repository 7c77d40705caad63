"""The command line as a user has it: a program of its own, over a few real documents."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medical_kg.cli.app import app

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
HASHING = ("--set", "chunk.embedder=hashing", "--set", "embed.embedder=hashing")
MAIN = "from medical_kg.cli import main; main()"
GATED = """
name: gated
version: "1"
stages:
  - {name: ingest, type: ingest, config: {adapter: auto}}
  - {name: gate_ready, type: gate, depends_on: [ingest]}
  - {name: parse, type: parse, depends_on: [gate_ready]}
gates:
  - {name: ready, resume_stage: parse, condition: {field: converted, equals: "yes", timeout_seconds: 3600}}
"""
STAGES = 8
"""How many the main pipeline has."""
PATIENCE_SECONDS = 300
"""When a test gives up on a program that does not end; no test measures time."""

# What is known stands in the tables of index and graph: not in FTS5's own segments, not in the counter of changes.
CONTENT = ("index_", "graph_")
INTERNAL = ("index_text_", "index_meta")

Rows = dict[str, list[Any]]


class Kg:
    """``medical-kg`` in a folder of its own, with a workspace there and documents to read."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.source, self.root = folder, source, folder / "work space"

    @property
    def database(self) -> Path:
        return self.root / "medical-kg.db"

    @property
    def auto(self) -> tuple[object, ...]:
        """The words that run the main pipeline over the documents, with the hashing embedder."""
        return ("run", "auto", *HASHING, "--input", self.source)

    def start(
        self,
        *words: object,
        environment: Mapping[str, str] | None = None,
        largest_file: int | None = None,
        through: Sequence[str] = (),
        script: str = MAIN,
        **more: Any,
    ) -> subprocess.Popen[str]:
        """Start it in a process group of its own.

        ``largest_file`` bytes is all that any of its files may have; ``through`` is a program to be started with the
        command behind it; ``script`` is what calls the command line.
        """

        def limited() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MEDICAL_KG"))}
        command = [
            *through,
            sys.executable,
            "-c",
            script,
            "--workspace",
            self.root,
            *words,
        ]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(  # built here
            list(map(str, command)),
            cwd=self.folder,
            env={**ours, **(environment or {})},
            start_new_session=True,
            preexec_fn=limited,  # noqa: PLW1509  # no other thread of the test starts programs
            **{**streams, **more},
        )

    def __call__(self, *words: object, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        with self.start(*words, **more) as process:
            try:
                out, err = process.communicate(timeout=PATIENCE_SECONDS)
            finally:
                end(process)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def within(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run it in this process: what only looks, or is refused, and for which nothing counts but what it says and makes."""
        unset = {name: None for name in os.environ if name.startswith("MEDICAL_KG")}
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(app, ["--workspace", str(self.root), *map(str, words)], env=unset)
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    def add_gated(self) -> Path:
        """Put a pipeline that waits for a signal beside the shipped ones, and return its file."""
        path = self.root / "pipelines" / "gated.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GATED, encoding="utf-8")
        return path

    def json(self, *words: object) -> Any:
        """Return what a command prints with ``--json``."""
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rows(self) -> Rows:
        """Every row of index and graph, by table; the ledger and the roots' versions aside."""
        with closing(sqlite3.connect(self.database)) as connection:
            tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
            kept = [name for name in sorted(tables) if name.startswith(CONTENT) and not name.startswith(INTERNAL)]
            assert len(kept) > 5
            return {name: sorted(connection.execute(f"select * from {name}").fetchall(), key=repr) for name in kept}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return what the database answers, nothing while there is none or it has no tables yet."""
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []

    def finished(self) -> list[str]:
        """The stages that have completed, in the order they did."""
        found = self.ask("select stage from stage_results where status = 'completed' order by finished_at")
        return [stage for (stage,) in found]

    def events(self) -> list[tuple[str | None, str]]:
        """Stage and event of every line of the history."""
        return [(stage, event) for stage, event in self.ask("select stage, event from history order by id")]

    def wait_for(self, process: subprocess.Popen[str], stage: str) -> None:
        """Return as soon as a stage has completed in a running program."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while stage not in self.finished():
            assert process.poll() is None, f"it ended before {stage} did"
            assert time.monotonic() < deadline
            time.sleep(0.002)


def end(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a program's process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four of the sample documents."""
    folder = tmp_path_factory.mktemp("few documents")
    for path in (*sorted((SAMPLES / "trials").iterdir())[:3], SAMPLES / "articles" / "PMC4059091.xml"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def kg(tmp_path: Path, few: Path) -> Kg:
    """The command line over four sample documents, in a folder of its own."""
    return Kg(tmp_path, few)


@pytest.fixture(scope="session")
def rows_of_few(tmp_path_factory: pytest.TempPathFactory, few: Path) -> Rows:
    """What an uninterrupted run over the four documents leaves in index and graph."""
    return _uninterrupted(Kg(tmp_path_factory.mktemp("whole few"), few))


def _uninterrupted(kg: Kg) -> Rows:
    done = kg(*kg.auto, "--engine", "plain")
    assert done.returncode == 0, done.stderr
    rows = kg.rows()
    # No two records of the samples are one work.
    assert [table for table, found in rows.items() if not found] == ["graph_same"]
    return rows


Refused = Callable[[subprocess.CompletedProcess[str], int], str]


@pytest.fixture(scope="session")
def refused() -> Refused:
    """Check that a command ended with a code and one message, or one for each stage that failed; return what it said.

    Stages that failed alike share a message, which then names them.
    """

    def check(done: subprocess.CompletedProcess[str], code: int) -> str:
        messages = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        failed = re.findall(r"^batch \S+: (\S+) failed$", done.stderr, flags=re.MULTILINE)
        assert (done.returncode, bool(messages)) == (code, True), done.stderr
        assert len(messages) == max(1, len(failed)) or all(stage in " ".join(messages) for stage in failed), done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert "please report" not in done.stderr
        return done.stderr

    return check


Goes = Callable[..., None]


@pytest.fixture
def goes_on(rows_of_few: Rows) -> Goes:
    """Check that the same command completes now, and that nothing was lost, doubled or repeated."""

    def check(kg: Kg, *words: object, rows: Rows = rows_of_few) -> None:
        done = kg(*kg.auto, *words)
        assert done.returncode == 0, done.stderr
        assert kg.rows() == rows
        assert kg.ask("select status from submissions") == [("completed",)]
        completed = [stage for stage, event in kg.events() if event == "stage completed"]
        assert len(completed) == len(set(completed)) == STAGES

    return check


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Give a running program, and leave nothing of it behind."""
    try:
        yield process
    finally:
        end(process)
        process.communicate()


@pytest.fixture(scope="session")
def running() -> Callable[[subprocess.Popen[str]], Any]:
    """Give a running program to a block, and leave nothing of it behind."""
    return ended


FLAKY = """
from pathlib import Path

from medical_kg.embedders.hashing import HashingEmbedder
from medical_kg.orchestration.contract.errors import ItemRejected


class Flaky(HashingEmbedder):
    def embed_documents(self, texts):
        if not (Path(__file__).parent / "mended").exists() and any(len(text) % 2 for text in texts):
            raise ItemRejected("its length is odd")
        return super().embed_documents(texts)
"""


@pytest.fixture(scope="session")
def replay_mends() -> Callable[[Kg, Callable[[], Any], Any], None]:
    """Run with an embedder that fails about every second chunk, mend it, replay, and compare what is kept.

    Replayed one letter, then all: documents that were kept with some of their chunks are kept whole, and once.
    """

    def check(kg: Kg, rows: Callable[[], Any], expected: Any) -> None:
        with kg.folder.joinpath("medical_kg.toml").open("a") as settings:
            settings.write('\n[plugins.local.embedders]\nflaky = "flaky:Flaky"\n')
        kg.folder.joinpath("flaky.py").write_text(FLAKY)
        done = kg(*kg.auto, "--set", "embed.embedder=flaky", "--engine", "plain")
        assert done.returncode == 0, done.stderr
        assert rows() != expected
        (submission,) = kg.json("submissions", "list")
        letters = kg.json("submissions", "dead-letters", submission["id"])
        assert len(letters) > 2
        assert {letter["stage"] for letter in letters} == {"embed"}
        kg.folder.joinpath("mended").touch()
        for words in (("--item", letters[0]["item_id"], "--engine", "plain"), ()):
            done = kg("submissions", "replay", submission["id"], *words)
            assert done.returncode == 0, done.stderr
        assert rows() == expected
        letters = kg.json("submissions", "dead-letters", submission["id"])
        assert {letter["status"] for letter in letters} == {"resolved"}

    return check
