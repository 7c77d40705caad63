"""``medical-kg submissions`` and ``workspace``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from medical_kg.cli.submissions import parse_attachment
from medical_kg.cli.workspace import without_password
from medical_kg.orchestration import Workspace
from medical_kg.orchestration.contract.errors import UsageError
from medical_kg.orchestration.ledger.contract import Calls, Note

Cli = Callable[..., Result]


@pytest.fixture
def waiting(cli: Cli, gated: Path, notes: Path) -> str:
    """The id of a submission that waits for ``converted=yes``, with one dead letter."""
    (notes / "odd.bin").write_bytes(b"\0\1\2\xff" * 10)
    report = json.loads(cli("run", gated, "--input", notes, "--engine", "plain", "--json").stdout)
    assert report["exit_code"] == 3
    return report["submission"]["id"]


def test_submissions_are_listed_newest_first(cli: Cli, waiting: str, feed: Path, notes: Path) -> None:
    """Id, pipeline, status, time, tenant and input; ``--tenant`` and ``--limit`` choose."""
    cli("run", feed, "--input", notes, "--engine", "plain", "--tenant", "lab")
    found = json.loads(cli("submissions", "list", "--json").stdout)
    assert [(one["pipeline"], one["status"], one["tenant"]) for one in found] == [
        ("feed", "completed", "lab"),
        ("gated", "waiting", "default"),
    ]
    assert [
        one["pipeline"] for one in json.loads(cli("submissions", "list", "--tenant", "default", "--json").stdout)
    ] == ["gated"]
    assert len(json.loads(cli("submissions", "list", "--limit", "1", "--json").stdout)) == 1
    assert waiting in cli("submissions", "list").stdout


def test_show_equals_the_ledger(cli: Cli, waiting: str, here: Path) -> None:
    """The counts, dead letters and retries that are shown per stage are those the ledger keeps."""
    shown = json.loads(cli("submissions", "show", waiting[:6], "--json").stdout)
    with closing(sqlite3.connect(here / ".medical-kg" / "medical-kg.db")) as database:
        rows = database.execute("select stage, counts, dead_letters, retries from stage_results").fetchall()
    kept = {stage: (json.loads(counts), letters, retries) for stage, counts, letters, retries in rows}
    assert {one["stage"]: (one["counts"], one["dead_letters"], one["retries"]) for one in shown["stages"]} == kept
    assert kept["ingest"] == ({"payloads": 3}, 1, 0)
    assert [wait["stage"] for wait in shown["waits"]] == ["gate_ready"]
    assert shown["provenance"]["ingest"].startswith("medical-kg ")
    assert [batch["status"] for batch in shown["batches"]] == ["waiting"]


def test_show_tells_people_what_to_do_next(cli: Cli, waiting: str) -> None:
    """As text: head, stages, batches and provenance on standard output, hints on standard error."""
    result = cli("submissions", "show", waiting)
    assert result.exit_code == 0
    assert f"submission {waiting} waiting, 1 batch" in result.stdout
    assert "medical_kg.stages.gate:GateStage" in result.stdout
    assert f"submissions signal {waiting} converted yes" in result.stderr


def test_show_tells_of_calls_and_circuits(cli: Cli, waiting: str, here: Path) -> None:
    """What calls came to, until when a stage is put off and why, and which circuit breakers are not closed."""
    workspace = Workspace(here / ".medical-kg")
    ledger, now = workspace.ledger, 4_000_000_000.0
    [batch] = ledger.batches(waiting)
    batch = ledger.claim(batch.id, "ana", lease_seconds=60)
    calls = Calls(attempts=1200, waits=40, waited=13.25, refused=2, put_offs=1, put_off_since=1.0, again_at=now)
    former = ledger.results(batch.id)["gate_ready"]
    record = former.model_copy(update={"status": "postponed", "error": "CircuitOpen: open", "calls": calls})
    facts = {"policy": "polite", "host": "a.org", "failures": 5, "open_until": now}
    ledger.commit(record, batch.generation, notes=[Note(event="circuit opened", reason="a.org", detail=facts)])
    ledger.change_host("polite", "a.org", lambda state: (replace(state, failures=5, open_until=now), None))
    ledger.settle(batch.id, batch.generation, ["ingest", "gate_ready", "parse"])
    workspace.close()
    shown = cli("submissions", "show", waiting)
    waited = "40 of them waited for their turn (13.25 s together)"
    refused = "2 more not made as the host was to be left alone"
    assert f"gate_ready: 1,200 attempts, {waited}, {refused}, put off 1 time" in shown.stdout
    until = "2096-10-02 07:06:40Z"
    assert f"stage gate_ready of batch {batch.id} is put off until {until}: CircuitOpen: open" in shown.stderr
    assert f"the circuit breaker of a.org (policy polite) is open, tried again from {until}" in shown.stderr
    found = json.loads(cli("submissions", "show", waiting, "--json").stdout)
    [stage] = [one for one in found["stages"] if one["stage"] == "gate_ready"]
    assert (stage["calls"], found["batches"][0]["ready_at"]) == (calls.model_dump(), now)
    resumed = cli("submissions", "resume", waiting, "--engine", "plain")
    assert (resumed.exit_code, "then go on with" in resumed.stderr) == (3, True)
    told = cli("submissions", "explain", batch.id, "gate_ready").stdout
    assert "put off" in told


def test_dead_letters_are_listed_with_item_and_reason(cli: Cli, waiting: str) -> None:
    """Each item that was left out, by stage, with the reason."""
    letters = json.loads(cli("submissions", "dead-letters", waiting, "--json").stdout)
    assert [(letter["stage"], letter["item_id"], letter["attempts"]) for letter in letters] == [
        ("ingest", "file:odd.bin", 1)
    ]
    assert "no installed format recognises it" in cli("submissions", "dead-letters", waiting).stdout
    assert json.loads(cli("submissions", "dead-letters", waiting, "--stage", "parse", "--json").stdout) == []


def test_signal_and_resume_end_a_wait(cli: Cli, waiting: str) -> None:
    """The commands that a waiting run prints end its wait: exit code 3 before, 0 after."""
    assert cli("submissions", "resume", waiting, "--engine", "plain").exit_code == 3
    told = cli("submissions", "signal", waiting, "converted", "yes")
    assert (told.exit_code, told.stdout) == (0, f"told converted=yes to submission {waiting}; 1 batch ready to go on\n")
    assert f"submissions resume {waiting}" in told.stderr
    result = cli("submissions", "resume", waiting, "--engine", "plain")
    assert result.exit_code == 0
    assert "ingest reused" in result.stderr
    assert "completed, 1 batch" in result.stdout
    assert cli("submissions", "resume", waiting, "--engine", "plain", "--strict").exit_code == 4


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_another_pipeline_ends_a_wait(cli: Cli, waiting: str, feed: Path, notes: Path, engine: str) -> None:
    """Its stage ``signal`` tells every waiting submission of the pipeline it names; the history names who told it."""
    tell = "{signal: ledger.converted, value: 'yes', pipeline: gated}"
    text = feed.read_text(encoding="utf-8").replace("name: feed", "name: converter")
    stage = f"stages:\n  - {{name: tell, type: signal, depends_on: [ingest], config: {tell}}}\n"
    feed.write_text(text.replace("stages:\n", stage), encoding="utf-8")
    assert cli("run", feed, "--input", notes, "--engine", engine).exit_code == 0
    assert cli("submissions", "resume", waiting, "--engine", engine).exit_code == 0
    with closing(sqlite3.connect(Path(".medical-kg") / "medical-kg.db")) as connection:
        ((actor, value),) = connection.execute("select actor, value from signals where name = 'converted'")
    assert (actor, json.loads(value)) == ("converter/tell", "yes")


def test_a_signal_that_wakes_nobody_says_so(cli: Cli, waiting: str) -> None:
    """A value other than the awaited is kept, and no batch becomes ready; without a value it is true."""
    told = cli("submissions", "signal", waiting, "converted")
    assert told.stdout.endswith("0 batches ready to go on\n")
    assert json.loads(cli("submissions", "signal", waiting, "other", "[1, x]", "--json").stdout)["value"] == [1, "x"]


def test_a_signal_to_one_batch_with_attachments(cli: Cli, waiting: str, notes: Path) -> None:
    """``--batch`` takes the batch's number, ``--attach`` an item and a file or URI."""
    result = cli(
        "submissions", "signal", waiting, "converted", "yes", "--batch", "1", "--json",
        "--attach", f"doc:1={notes / 'note1.txt'}", "--attach", "https://example.org/a.json?x=1",
    )  # fmt: skip
    said = json.loads(result.stdout)
    assert said["ready"] == [said["batch"]]
    assert [(one["item_id"], one["uri"], one["media_type"]) for one in said["attachments"]] == [
        ("doc:1", (notes / "note1.txt").as_uri(), "text/plain"),
        (None, "https://example.org/a.json?x=1", "application/json"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "s000000000000"], "no submission 's000000000000'"),
        (["dead-letters", "s000000000000"], "no submission"),
        (["resume", "s000000000000"], "no submission"),
        (["signal", "s000000000000", "x"], "no submission"),
        (["signal", "ID", "x", "--batch", "7"], "no batch '7' in the ledger; known: 1"),
        (["signal", "ID", "x", "[1"], "is not a YAML value"),
        (["signal", "ID", "x", "--attach", "doc:1=nowhere.json"], "there is no file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there_is_code_2(cli: Cli, waiting: str, words: list[str], said: str) -> None:
    """An unknown submission, batch or file is a wrong request."""
    result = cli("submissions", *[waiting if word == "ID" else word for word in words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_signal_to_a_finished_submission_is_code_2(cli: Cli, feed: Path, notes: Path) -> None:
    """Nobody is left to hear it: the request was wrong, nothing has failed."""
    ident = json.loads(cli("run", feed, "--input", notes, "--engine", "plain", "--json").stdout)["submission"]["id"]
    result = cli("submissions", "signal", ident, "late")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot go from completed to told a signal" in result.stderr


def test_signals_are_listed_with_their_attachments(cli: Cli, waiting: str, notes: Path) -> None:
    """The newest of each name, told to the submission or to a batch, with the media type as given."""
    cli("submissions", "signal", waiting, "pages", "3")
    cli(
        "submissions", "signal", waiting, "ready", "--batch", "1", "--media-type", "application/x",
        "--attach", f"doc:1={notes / 'note1.txt'}",
    )  # fmt: skip
    told = json.loads(cli("submissions", "signals", waiting, "--json").stdout)
    assert [(one["name"], one["value"], one["batch"], len(one["attachments"])) for one in told] == [
        ("pages", 3, None, 0),
        ("ready", True, 1, 1),
    ]
    (attachment,) = told[1]["attachments"]
    assert (attachment["item_id"], attachment["media_type"]) == ("doc:1", "application/x")
    assert "ready" in cli("submissions", "signals", waiting).stdout


def test_what_a_signal_starts_is_told_with_how_to_run_it(cli: Cli, waiting: str, here: Path) -> None:
    """By the command that tells it and by ``show``, until it is finished; the started one names who can go on."""
    (here / ".medical-kg" / "pipelines").mkdir(exist_ok=True)
    (here / ".medical-kg" / "pipelines" / "answering.yaml").write_text(ANSWERING, encoding="utf-8")
    told = cli("submissions", "signal", waiting, "rang")
    (line,) = [one for one in told.stderr.splitlines() if one.startswith("signal rang started submission")]
    assert line in cli("submissions", "show", waiting).stderr
    started = line.split()[4]
    assert f"signal rang of {waiting}" in cli("submissions", "list").stdout
    done = cli("submissions", "resume", started, "--engine", "plain")
    assert done.exit_code == 0
    assert f"submission {waiting} can go on with: " in done.stderr
    assert "started submission" not in cli("submissions", "show", waiting).stderr
    for number in range(4):
        many = cli("submissions", "signal", waiting, "rang", "--attach", f"x=file:///{number}").stderr
    assert "signals started 4 submissions of answering; run all that is ready with: medical-kg" in many


ANSWERING = """
name: answering
version: "1"
triggers: [{signal: rang}]
stages:
  - {name: tell, type: signal, config: {signal: converted, value: "yes", reply: true}}
"""


def test_attachments_are_split_at_the_item(tmp_path: Path) -> None:
    """A URI may hold ``=`` of its own; a path must exist and its ending tells the media type."""
    assert parse_attachment("file:///a?b=c").item_id is None
    assert parse_attachment("doc=file:///a?b=c").uri == "file:///a?b=c"
    (tmp_path / "ir.json").write_text("{}")
    assert parse_attachment(f"x={tmp_path / 'ir.json'}").media_type == "application/json"
    with pytest.raises(UsageError, match="there is no file"):
        parse_attachment("x=gone.json")


def test_looking_at_a_workspace_makes_none(cli: Cli, here: Path) -> None:
    """``workspace info`` in an empty folder says that there is none yet and leaves the folder empty."""
    result = cli("workspace", "info")
    assert result.exit_code == 0
    assert "no, nothing has been run in it yet" in result.stdout
    assert list(here.iterdir()) == []
    (here / ".medical-kg").mkdir()
    assert "exists:        yes" in cli("workspace", "info").stdout
    assert list((here / ".medical-kg").iterdir()) == []


def test_a_workspace_tells_what_it_holds(cli: Cli, waiting: str, here: Path) -> None:
    """Folder, settings, database, folders of pipelines, submissions by status, and size."""
    (here / "medical_kg.toml").write_text('[workspace]\npipelines = ["mine"]\n')
    facts = json.loads(cli("workspace", "info", "--json").stdout)
    assert facts["exists"] is True
    assert facts["settings"] == str(here / "medical_kg.toml")
    assert facts["submissions"] == {"waiting": 1}
    assert str(here / "mine") in facts["pipelines"]
    assert facts["size"] > 0
    assert "submissions:   1 waiting" in cli("workspace", "info").stdout


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://:p@ss@host/db", "postgresql://:***@host/db"),
        ("postgresql://me:sec/r?et@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db?password=secret&sslmode=require", "postgresql://me@host/db"),
        ("sqlite:////a/b@c.db", "sqlite:////a/b@c.db"),
        ("secret", "not a database URL"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    """A database's password never reaches the output."""
    assert without_password(url) == shown


def test_what_is_cancelled_or_not_failed_is_told_so(cli: Cli, waiting: str) -> None:
    """``cancel`` ends what waits, once; ``retry`` and ``replay`` say why they have nothing to do."""
    assert cli("submissions", "retry", waiting).exit_code == 2
    assert "cannot go from waiting to retried" in cli("submissions", "retry", waiting).stderr
    done = cli("submissions", "cancel", waiting, "1", "--json")
    assert json.loads(done.stdout)["submission"]["status"] == "cancelled"
    assert json.loads(done.stdout)["cancelled"] == [f"{waiting}-0001"]
    again = cli("submissions", "cancel", waiting)
    assert (again.exit_code, "cannot go from cancelled to cancelled" in again.stderr) == (2, True)
    assert cli("submissions", "retry", waiting, "7").exit_code == 2


def test_a_dead_letter_is_replayed_once_its_file_is_mended(cli: Cli, waiting: str, notes: Path) -> None:
    """``replay --from-input`` reads it again; the letter is resolved and a second replay has nothing to do."""
    letters = json.loads(cli("submissions", "dead-letters", waiting, "--json").stdout)
    front = (
        "<front><article-meta><title-group><article-title>Aspirin</article-title></title-group></article-meta></front>"
    )
    (notes / "odd.bin").write_text(f"<article>{front}<body><p>It helps.</p></body></article>", encoding="utf-8")
    words = ("submissions", "replay", waiting, "--stage", letters[0]["stage"], "--item", letters[0]["item_id"])
    report = json.loads(cli(*words, "--from-input", "--engine", "plain", "--json").stdout)
    assert [one["parent"] for one in report["batches"]] == [None, f"{waiting}-0001"]
    letters = json.loads(cli("submissions", "dead-letters", waiting, "--json").stdout)
    assert [one["status"] for one in letters] == ["replaying"]
    assert report["stages"][0]["counts"] == {"payloads": 4}
    assert cli(*words, "--engine", "plain").exit_code == 2
    human = cli("submissions", "cancel", waiting).stdout
    assert human.startswith(f"submission {waiting} cancelled; cancelled: {waiting}-0001, {waiting}-0002")
