"""Progress, and the small things that results are made of."""

from __future__ import annotations

import io
import json
import sys

import pytest

from medical_kg.cli.output import counts, moment, number, plural, seconds
from medical_kg.cli.progress import line_of, shown
from medical_kg.cli.report import example
from medical_kg.cli.state import State
from medical_kg.orchestration.contract import Clause
from medical_kg.orchestration.telemetry.events import (
    BatchSettled,
    BatchStarted,
    CallOverran,
    CallRetried,
    CircuitChanged,
    ItemDeadLettered,
    StageCompleted,
    StageFailed,
    StagePaused,
    StagePutOff,
    StageReused,
    StageStarted,
)

BATCH = {"submission_id": "s1", "batch_id": "s1-0001", "at": 0.0}
STAGE = {**BATCH, "stage": "parse", "stage_type": "parse"}
EVENTS = [
    BatchStarted(**BATCH, pipeline="p", generation=1, stages=8),
    StageStarted(**STAGE),
    CallRetried(**STAGE, attempt=1, delay=0.5, error="TransientError: busy"),
    CallOverran(**STAGE, calls=2),
    ItemDeadLettered(**STAGE, item_id="x", error="ItemRejected: odd"),
    StageCompleted(**STAGE, counts={"documents": 1200.0, "share": 0.25}, dead_letters=1, retries=2, duration=1.234),
    StageReused(**STAGE),
    StagePaused(**STAGE, condition="[done] exists"),
    StagePutOff(**STAGE, until=90.0, reason="CircuitOpen: it is open"),
    CircuitChanged(**STAGE, policy="polite", host="a.org", change="opened", failures=5, open_until=90.0),
    CircuitChanged(**STAGE, policy="polite", host="", change="half-open"),
    StageFailed(**STAGE, error="no power"),
    BatchSettled(**BATCH, pipeline="p", status="failed"),
]
LINES = [
    None,
    None,
    "parse tries again in 0.5 s after attempt 1: TransientError: busy",
    "parse: 2 calls took longer than the policy's timeout_seconds",
    None,
    "parse completed, 1,200 documents, 0.25 share, 1 dead letter, 2 retried calls (1.23 s)",
    "parse reused: its stored result still fits",
    "parse waits for [done] exists",
    "parse is put off until 1970-01-01 00:01:30Z: CircuitOpen: it is open",
    "parse: the circuit breaker of host a.org (policy polite) is open",
    "parse: the circuit breaker of its calls (policy polite) is half-open: one attempt tries it",
    "parse failed",
    None,
]


def test_each_event_has_its_line() -> None:
    """Counts, dead letters, retries and seconds are told; what is only a beginning is not."""
    assert [line_of(event) for event in EVENTS] == LINES


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def played(state: State, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with shown(state) as events:
        for event in EVENTS:
            events.emit(event)
    return stream.getvalue()


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal: one plain line per event with the batch, no control characters."""
    text = played(State(), io.StringIO(), monkeypatch)
    assert text.splitlines() == [f"batch s1-0001: {line}" for line in LINES if line] + ["batch s1-0001 failed"]


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: a bar for the running batch, which goes away, and the same lines above it."""
    text = played(State(), Terminal(), monkeypatch)
    assert "\x1b[" in text
    assert [line for line in LINES if line and f"  {line}" not in text] == []
    assert "batch s1-0001 failed" in text


@pytest.mark.parametrize(
    "state", [State(json=True), State(log_format="json"), State(verbose=True)], ids=["json", "log", "verbose"]
)
def test_no_progress_for_programs_or_beside_a_full_log(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``--json``, ``-v`` or a log in JSON there is no progress, not even on a terminal."""
    assert played(state, Terminal(), monkeypatch) == ""


@pytest.mark.parametrize(
    ("clause", "value"),
    [
        (Clause(field="x", value="yes"), "yes"),
        (Clause(field="x", value="true"), '"true"'),
        (Clause(field="x", value="a: ["), '"a: ["'),
        (Clause(field="x", value=True), "true"),
        (Clause(field="x", operator="gte", value=3), "3"),
        (Clause(field="x", operator="in", value=["a", "b"]), "a"),
        (Clause(field="x", operator="in", value=[]), "VALUE"),
        (Clause(field="x", operator="exists"), "true"),
        (Clause(field="x", operator="exists", value=False), "VALUE"),
        (Clause(field="x", operator="changed"), "VALUE"),
        (Clause(field="x", operator="not_equals", value=1), "VALUE"),
    ],
)
def test_an_example_value_fulfils_its_clause(clause: Clause, value: str) -> None:
    """The value in a suggested command is YAML that makes the clause true; where many would, ``VALUE`` stands for it."""
    from medical_kg.orchestration.pipeline.overrides import yaml_value

    assert example(clause) == value
    if value != "VALUE":
        assert clause.holds({"x": yaml_value(value, "test")}, {})


def test_numbers_and_times() -> None:
    """Whole numbers have no decimals, times are UTC, nouns agree with their number."""
    assert (number(1204.0), number(0.5), counts({"a": 1, "b": 2.0})) == ("1,204", "0.50", "1 a, 2 b")
    assert (seconds(1.005), moment(0.0), moment(None)) == ("1.00", "1970-01-01 00:00:00Z", "")
    assert (plural(1, "batch"), plural(2, "batch"), plural(0, "item")) == ("1 batch", "2 batches", "0 items")


ROWS = [("[red]x[/red]", 7), ("y" * 50, 12)]


def test_a_table_in_a_pipe_has_a_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe, columns are aligned, numbers to the right, and no row is broken."""
    State().print_table(("name", "count"), [*ROWS, ("two\nlines", 3)], right=("count",))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["name", "[red]x[/red]", "y" * 50, "two lines"]
    assert [line[-2:] for line in lines] == ["nt", " 7", "12", " 3"]
    assert len({len(line) for line in lines}) == 1


def test_a_table_on_a_terminal_is_folded_to_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, long cells are folded, not cut off, and square brackets are text."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "30")
    State().print_table(("name", "count"), ROWS, right=("count",))
    text = stream.getvalue()
    assert "[red]x[/red]" in text
    assert text.count("y") == 50
    assert "…" not in text


def test_commands_are_quoted_for_the_shell() -> None:
    """A suggested command can be pasted into a shell."""
    from pathlib import Path

    assert State().command("run", "a b") == "medical-kg run 'a b'"
    assert State(root=Path("w s")).command("dev") == "medical-kg --workspace 'w s' dev"


def test_json_output_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """What has no form in JSON is printed as text."""
    from pathlib import Path

    State().print_json({"path": Path("/a")})
    assert json.loads(capsys.readouterr().out) == {"path": "/a"}
