"""How far a submission of several batches is, as it is told while it runs."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from medical_kg.cli.progress import shown
from medical_kg.cli.state import State
from medical_kg.cli.totals import Totals
from medical_kg.orchestration import api
from medical_kg.orchestration.ledger.sql import open_ledger
from medical_kg.orchestration.telemetry.events import BatchSettled, BatchStarted, InputPulled

Cli = Callable[..., Result]
PLAIN = ("--engine", "plain")


@pytest.fixture
def small(feed: Path, notes: Path) -> Path:
    """The pipeline that reads and parses files, two at a time; of three notes and a file that is none."""
    (notes / "odd.bin").write_bytes(b"\0\1\2\xff" * 10)
    feed.write_text(feed.read_text().replace("stages:", "batch_size: 2\nstages:"))
    return feed


@pytest.mark.parametrize("workers", [1, 2])
def test_each_batch_ends_with_the_totals(cli: Cli, small: Path, notes: Path, workers: int) -> None:
    """Batches done and opened, records read and dead letters, over all batches, however many processes are at work."""
    result = cli("run", small, "--input", notes, *PLAIN, "--workers", workers)
    assert result.exit_code == 0
    last = [line for line in result.stderr.splitlines() if "2 of 2 batches done" in line]
    assert [line.partition("; ")[2] for line in last] == ["2 of 2 batches done, 3 records read, 1 dead letter"]


def test_one_batch_has_no_totals(cli: Cli, feed: Path, notes: Path) -> None:
    """A small input is told as before."""
    assert "of 1 batch" not in cli("run", feed, "--input", notes, *PLAIN).stderr


def test_a_resumed_submission_counts_from_its_beginning(cli: Cli, gated: Path, notes: Path) -> None:
    """What earlier runs did is part of the totals; what is not known, since nothing was read now, is left out."""
    (notes / "odd.bin").write_bytes(b"\0\1\2\xff" * 10)
    gated.write_text(gated.read_text().replace("stages:", "batch_size: 2\nstages:"))
    waiting = cli("run", gated, "--input", notes, *PLAIN)
    assert waiting.exit_code == 3
    assert "-0002 waiting; 0 of 2 batches done, 3 records read, 1 dead letter" in waiting.stderr
    ident = waiting.stdout.split("submission ")[1].split()[0]
    assert cli("submissions", "signal", ident, "converted", "yes").exit_code == 0
    done = cli("submissions", "resume", ident, *PLAIN)
    assert f"batch {ident}-0001 completed; 1 of 2 batches done, 1 dead letter\n" in done.stderr
    assert f"batch {ident}-0002 completed; 2 of 2 batches done, 1 dead letter\n" in done.stderr


def test_records_of_batches_before_are_counted(cli: Cli, small: Path, notes: Path, here: Path) -> None:
    """A run that goes on with the input counts what was read before it."""
    opened = cli("run", small, "--input", notes, *PLAIN)
    ident = opened.stdout.split("submission ")[1].split()[0]
    ledger = open_ledger(f"sqlite:///{here / '.medical-kg' / 'medical-kg.db'}")
    totals = Totals(lambda: ledger)
    about: dict[str, Any] = {"submission_id": ident, "at": 0.0}
    stage = {"stage": "ingest", "stage_type": "ingest"}
    second = f"{ident}-0002"
    totals(BatchStarted(**about, batch_id=second, pipeline="p", generation=1))
    totals(InputPulled(**about, **stage, batch_id=second, records=7, more=False, total=1200))
    told = totals.of(BatchSettled(**about, batch_id=second, pipeline="p", status="completed"))
    ledger.close()
    assert str(told) == "2 of 2 batches done, 9 records read, 1,200 in the source, 1 dead letter"


def test_a_terminal_has_a_bar_for_all_batches(
    small: Path, notes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a terminal the submission has a bar over its batches, with the totals beside it."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    state = State(root=tmp_path / "kg")
    with shown(state) as events:
        report = api.submit(state.place, str(small), input=notes, engine="plain", events=events)
    state.close()
    text = stream.getvalue()
    assert f"submission {report.submission.id}" in text
    assert "2 of 2 batches done, 3 records read, 1 dead letter" in text
