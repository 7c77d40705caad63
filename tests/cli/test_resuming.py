"""``medical-kg submissions resume`` without an ID, and what its options say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from medical_kg.orchestration import ready

Cli = Callable[..., Result]
PLAIN = ("--engine", "plain")


@pytest.fixture
def waiting(cli: Cli, gated: Path, notes: Path) -> str:
    """The id of a submission that waits for ``converted=yes``."""
    report = json.loads(cli("run", gated, "--input", notes, *PLAIN, "--json").stdout)
    ident: str = report["submission"]["id"]
    return ident


def told(cli: Cli, ident: str, value: str = "yes") -> None:
    assert cli("submissions", "signal", ident, "converted", value).exit_code == 0


def test_without_an_id_all_that_is_ready_is_run(cli: Cli, waiting: str, feed: Path, notes: Path) -> None:
    """Each submission that was run is listed; where nothing is ready that is said, and is no error."""
    cli("run", feed, "--input", notes, *PLAIN)
    nothing = cli("submissions", "resume", *PLAIN)
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing is ready\n")
    told(cli, waiting)
    done = cli("submissions", "resume", *PLAIN)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["submission", "pipeline", "status", "batches", "dead", "letters"]
    assert [line.split() for line in lines[1:]] == [[waiting, "gated", "completed", "1", "0"]]
    assert f"batch {waiting}-0001 completed" in done.stderr


SECOND_GATE = """\
  - {name: gate_more, type: gate, depends_on: [parse]}
gates:
  - {name: more, condition: {field: more, equals: true}}
"""


def test_what_still_waits_is_told(cli: Cli, here: Path, gated: Path, notes: Path) -> None:
    """A batch that was run and waits for something else ends the command with 3 and the way out, as JSON too."""
    gated.write_text(gated.read_text().replace("gates:\n", SECOND_GATE))
    idents = [
        json.loads(cli("run", gated, "--input", notes, "--limit", limit, *PLAIN, "--json").stdout)["submission"]["id"]
        for limit in (1, 2)
    ]
    told(cli, idents[0])
    result = cli("submissions", "resume", *PLAIN)
    assert result.exit_code == 3
    assert f"submissions signal {idents[0]} more true" in result.stderr
    told(cli, idents[1])
    said = json.loads(cli("submissions", "resume", *PLAIN, "--json").stdout)
    assert [(one["id"], one["status"]) for one in said["submissions"]] == [(idents[1], "waiting")]
    assert (said["problems"], said["exit_code"]) == ({}, 3)


def test_a_submission_that_cannot_go_on_is_an_error(cli: Cli, waiting: str, feed: Path, notes: Path) -> None:
    """The problem is told with the submission it is in the way of; the exit code is the problem's."""
    told(cli, waiting)
    # With its plugins gone, the version of the file that passed the check does not pass either.
    feed.with_name("medical_kg.toml").write_text('[plugins]\ndeny = ["medical-kg"]\n')
    result = cli("submissions", "resume", *PLAIN)
    assert result.exit_code == 2
    assert f"submission {waiting} could not go on:" in result.stderr
    assert result.stderr.count("Error: ") == 1
    said = json.loads(cli("submissions", "resume", *PLAIN, "--json").stdout)
    assert said["exit_code"] == 2
    assert said["problems"][waiting]["type"] == "PipelineInvalid"


def test_a_watched_submission_is_seen_to_its_end(cli: Cli, waiting: str) -> None:
    """With an ID, ``--watch`` ends with the submission, told as ``resume`` tells it; strictly, if asked."""
    told(cli, waiting)
    result = cli("submissions", "resume", waiting, "--watch", "--every", "0.1", *PLAIN)
    assert result.exit_code == 0
    assert f"watching submission {waiting} every 0.1 s" in result.stderr
    assert f"submission {waiting} completed, 1 batch" in result.stdout
    again = cli("submissions", "resume", waiting, "--watch", *PLAIN, "--json")
    assert json.loads(again.stdout)["submission"]["status"] == "completed"


def test_watching_all_says_that_it_keeps_no_schedules(cli: Cli, feed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches a workspace with a schedule is told that only the daemon keeps it, and for which pipelines."""
    folder = feed.parent / ".medical-kg" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "nightly.yaml").write_text(feed.read_text() + "schedule: 0 3 * * *\n")
    (folder / "broken.yaml").write_text("schedule: [")

    def interrupted(*words: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("medical_kg.orchestration.ready.watch", interrupted)
    assert "not here; of nightly\n" in cli("submissions", "resume", "--watch").stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--every", "3"], "--every says how often --watch looks"),
        (["--watch", "--every", "0"], "every must be a number of seconds above 0"),
        (["--workers", "0"], "--workers"),
        (["s000000000000", "--watch"], "no submission"),
    ],
)
def test_what_cannot_be_done_is_refused(cli: Cli, waiting: str, words: list[str], said: str) -> None:
    """A wrong request ends with 2 and says what is wrong."""
    result = cli("submissions", "resume", *words)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr


def test_interrupted_it_says_how_to_go_on(cli: Cli, waiting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it with 130 and the command to go on with."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ready, "resume_all", interrupted)
    monkeypatch.setattr(ready, "watch", interrupted)
    for words in ([], ["--watch"], [waiting, "--watch"]):
        result = cli("submissions", "resume", *words)
        assert result.exit_code == 130
        assert f"go on with: medical-kg submissions resume {' '.join(words)}".rstrip() in result.stderr
