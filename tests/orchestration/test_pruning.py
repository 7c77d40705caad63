"""Pruning: what goes, what stays whatever its age, what is told, and being killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from support import DIAMOND, GATED, make_workspace

from medical_kg.orchestration import Report, api, prune
from medical_kg.orchestration.contract import Attachment
from medical_kg.orchestration.contract.database import open_engine, writing
from medical_kg.orchestration.contract.errors import StorageError
from medical_kg.orchestration.ledger.contract import NewSubmission, NextBatch, Submission
from medical_kg.orchestration.ledger.history import PRUNED
from medical_kg.orchestration.pruning import Amount
from medical_kg.orchestration.tenants import provide
from medical_kg.orchestration.workspace import Workspace

NOW = timedelta(0)
KEEPING = ("batch", "signal", "table", "tenant")
Make = Callable[..., Workspace]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Where the settings say the database is; empty for the workspace's own file."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres")
    emptied = server.emptied("pruning")
    server.query("DROP SCHEMA IF EXISTS dagster CASCADE", "pruning")
    return emptied


@pytest.fixture
def make(tmp_path: Path, url: str) -> Iterator[Make]:
    """A workspace with these pipelines, on either database."""
    opened = []

    def made(*pipelines: str) -> Workspace:
        folder = tmp_path / "kg"
        folder.mkdir(exist_ok=True)
        if url:
            (folder / "medical_kg.toml").write_text(f'[workspace]\ndatabase_url = "{url}"\n')
        opened.append(make_workspace(folder, *pipelines))
        return opened[-1]

    yield made
    for one in opened:
        one.close()


def age(workspace: Workspace) -> None:
    """Make every stored file and leftover ten days old."""
    old = time.time() - 10 * 86_400
    for path in (*workspace.root.glob("checkpoints/**/*"), *workspace.root.glob("files/**/*")):
        if path.is_file():
            os.utime(path, (old, old))


def digests(workspace: Workspace) -> set[str]:
    return {one.digest for one in workspace.checkpoints.stored()}


def mentioned(workspace: Workspace, report: Report) -> set[str]:
    found = (workspace.ledger.results(batch.id) for batch in workspace.ledger.batches(report.submission.id))
    return {ref.digest for results in found for record in results.values() for ref in record.outputs.values()}


def told(workspace: Workspace, report: Report) -> list[str]:
    history = workspace.ledger.history(report.submission.id)
    return [batch for entry in history if entry.event == PRUNED for batch in entry.detail["batches"]]


def test_what_is_finished_goes_and_is_told(make: Make) -> None:
    """Checkpoints of a completed submission go, with their number and bytes; the history says so, the counts stay."""
    workspace = make(DIAMOND)
    report = api.submit(workspace, "diamond", engine="plain")
    age(workspace)
    size = sum(one.size for one in workspace.checkpoints.stored())
    number = len(digests(workspace))
    done = prune(workspace, older_than=NOW)
    assert (done.checkpoints, done.files, done.leftovers, done.runs) == (Amount(number, size), Amount(), Amount(), 0)
    assert done.submissions == (report.submission.id,)
    assert digests(workspace) == set()
    assert told(workspace, report) == [batch.id for batch in report.batches]
    assert api.report(workspace, report.submission.id).stages == report.stages
    assert prune(workspace, older_than=NOW).submissions == ()


def test_a_dry_run_says_the_same_and_changes_nothing(make: Make) -> None:
    """What would go is what then goes."""
    workspace = make(DIAMOND)
    report = api.submit(workspace, "diamond")
    age(workspace)
    before = digests(workspace)
    would = prune(workspace, older_than=NOW, dry_run=True, compact=True)
    assert (would.runs, would.compacted) == (3, None)
    assert digests(workspace) == before
    assert told(workspace, report) == []
    done = prune(workspace, older_than=NOW)
    assert (done.checkpoints, done.submissions, done.runs) == (would.checkpoints, would.submissions, would.runs)


def test_what_a_waiting_batch_needs_stays(make: Make) -> None:
    """Also where a finished submission has equal checkpoints; the batch then goes on, nothing runs twice."""
    workspace = make(GATED)
    finished = api.submit(workspace, "gated", engine="plain", tenant="other")
    api.signal(workspace, finished.submission.id, "open")
    api.resume(workspace, finished.submission.id, engine="plain")
    waiting = api.submit(workspace, "gated")
    age(workspace)
    needed = mentioned(workspace, waiting)
    done = prune(workspace, older_than=NOW)
    assert done.submissions == (finished.submission.id,)
    assert done.runs == 0  # the waiting batch's own
    assert digests(workspace) == needed
    api.signal(workspace, waiting.submission.id, "open")
    assert api.resume(workspace, waiting.submission.id).submission.status == "completed"
    events = [entry.event for entry in workspace.ledger.history(waiting.submission.id)]
    assert "stage runs again" not in events


@pytest.mark.parametrize("status", ["pending", "running", "failed"])
def test_what_an_unfinished_batch_needs_stays(make: Make, status: str) -> None:
    """Whatever its age: a batch that is pending, running or failed keeps its checkpoints."""
    workspace = make(DIAMOND)
    report = api.submit(workspace, "diamond", engine="plain")
    ledger = workspace.ledger
    opened = ledger.open_submission(like(report, tenant="other"))[0]
    batch = ledger.claim(ledger.batches(opened.id)[0].id, "ana", lease_seconds=60)
    kept = ledger.results(report.batches[0].id)["feed"].model_copy(update={"batch_id": batch.id})
    ledger.commit(kept, batch.generation, next_batch=NextBatch(cursor="2"))
    if status == "pending":
        ledger.settle(batch.id, batch.generation, ["feed", "shout"])
    elif status == "failed":
        broken = kept.model_copy(update={"stage": "shout", "status": "failed", "outputs": {}, "error": "x"})
        ledger.commit(broken, batch.generation)
    assert ledger.batch(batch.id).status == status
    age(workspace)
    prune(workspace, older_than=NOW)
    assert digests(workspace) == {kept.outputs["words"].digest}


def like(report: Report, **changes: str) -> NewSubmission:
    kept = NewSubmission.model_fields.keys() & Submission.model_fields.keys() - {"id"}
    given = {name: getattr(report.submission, name) for name in kept}
    return NewSubmission.model_validate(given | changes)


def test_what_was_finished_lately_stays(make: Make) -> None:
    """Only what was finished longer ago than asked for goes; the settings' age counts unless one is given."""
    workspace = make(DIAMOND)
    api.submit(workspace, "diamond", engine="plain")
    age(workspace)
    before = digests(workspace)
    assert prune(workspace).checkpoints == prune(workspace, older_than=timedelta(days=1)).checkpoints == Amount()
    assert digests(workspace) == before


def test_waste_goes_by_its_own_age(make: Make) -> None:
    """What no ledger mentions, and what killed processes left, goes when it is old; the newest hour never."""
    workspace = make(DIAMOND)
    workspace.checkpoints.put(b"waste")
    assert prune(workspace, older_than=NOW).checkpoints == Amount()
    (workspace.root / "checkpoints" / "00").mkdir()
    (workspace.root / "checkpoints" / "00" / ".half.tmp").write_bytes(b"123")
    age(workspace)
    assert prune(workspace, older_than=timedelta(days=20)).checkpoints == Amount()
    done = prune(workspace, older_than=timedelta(days=5))
    assert (done.checkpoints, done.leftovers) == (Amount(1, 5), Amount(1, 3))
    assert done.submissions == ()
    assert not list(workspace.root.glob("checkpoints/*/*"))


def test_a_file_goes_when_nothing_mentions_it(make: Make) -> None:
    """A live checkpoint, a signal of an unfinished submission and a table of any tenant's database each keep a file."""
    workspace = make(GATED)
    kept = {name: workspace.files.put([name.encode()], suffix=".pdf") for name in (*KEEPING, "none")}
    report = api.submit(workspace, "gated", engine="plain")
    batch = report.batches[0]
    digest = workspace.checkpoints.put(f'{{"uri": "{kept["batch"].uri}"}}\n'.encode(), ".jsonl")
    feed = workspace.ledger.results(batch.id)["feed"]
    refs = {"words": feed.outputs["words"].model_copy(update={"digest": digest})}
    claimed = workspace.ledger.claim(batch.id, "ana", lease_seconds=60)
    workspace.ledger.commit(feed.model_copy(update={"outputs": refs}), claimed.generation)
    attached = Attachment(uri=kept["signal"].uri, media_type="application/pdf")
    api.signal(workspace, report.submission.id, "other", attachments=[attached])
    provide(workspace, "lab")
    for where, name in (("default", "table"), ("lab", "tenant")):
        engine = open_engine(workspace.of_tenant(where).database_url)
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE index_things (id INTEGER, json TEXT)")
            connection.exec_driver_sql(f'INSERT INTO index_things VALUES (1, \'{{"uri": "{kept[name].uri}"}}\')')
        engine.dispose()
    age(workspace)
    done = prune(workspace, older_than=NOW)
    assert done.files == Amount(1, 4)
    left = {path.name[:64] for path in workspace.root.glob("files/??/*")}
    assert left == {kept[name].sha256 for name in KEEPING}


def test_dagster_runs_go_with_their_events(make: Make, url: str) -> None:
    """Runs of what was finished leave Dagster's history; younger ones stay, and a new run works."""
    from medical_kg.orchestration.dagster.instance import open_instance

    workspace = make(DIAMOND)
    report = api.submit(workspace, "diamond")
    assert prune(workspace).runs == 0
    done = prune(workspace, older_than=NOW, compact=True)
    assert done.runs == 3
    assert done.compacted is not None
    assert url or done.compacted > 0
    with open_instance(workspace) as instance:
        assert instance.get_runs_count() == 0
        assert instance.all_logs(report.batches[0].run_id or "") == []
    assert api.submit(workspace, "diamond").submission.status == "completed"


KILLED = """
import os, sys
from datetime import timedelta
from pathlib import Path
from medical_kg.orchestration import Workspace, prune
from medical_kg.orchestration.checkpoints import CheckpointStore
discard = CheckpointStore.discard
def once(self, *args, **more):
    discard(self, *args, **more)
    os._exit(9)
CheckpointStore.discard = once
prune(Workspace(Path(sys.argv[1])), older_than=timedelta(0))
"""


def test_killed_in_the_middle_it_is_told_and_goes_on(make: Make) -> None:
    """What went is in the history although the process died; pruning again takes the rest."""
    workspace = make(DIAMOND)
    report = api.submit(workspace, "diamond", engine="plain")
    age(workspace)
    number = len(digests(workspace))
    assert subprocess.run([sys.executable, "-c", KILLED, str(workspace.root)], check=False).returncode == 9
    assert len(digests(workspace)) == number - 1
    assert told(workspace, report) == [batch.id for batch in report.batches]
    assert prune(workspace, older_than=NOW).checkpoints.number == number - 1
    assert digests(workspace) == set()


def test_a_damaged_checkpoint_that_is_needed_stops_it_before_anything_goes(make: Make) -> None:
    """Which files it mentions cannot be known, so nothing is removed; the message names it."""
    workspace = make(GATED)
    report = api.submit(workspace, "gated", engine="plain")
    workspace.files.put([b"x"])
    age(workspace)
    [digest] = {ref.digest for ref in workspace.ledger.results(report.batches[0].id)["feed"].outputs.values()}
    (workspace.root / "checkpoints" / digest[:2] / f"{digest}.jsonl").write_bytes(b"?")
    age(workspace)
    with pytest.raises(StorageError, match="is damaged"):
        prune(workspace, older_than=NOW)
    assert len(list(workspace.root.glob("files/??/*"))) == 1
