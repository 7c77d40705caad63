"""Forgetting a document: everywhere, whatever is killed in between, and never against a run that has it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from shelves import SHELVED, TYPES, rare
from support import make_workspace

from medical_kg.orchestration import Workspace, api, forget, forgotten, remember, trace
from medical_kg.orchestration.contract import Attachment
from medical_kg.orchestration.contract.errors import BatchHeld, RecordNotFound
from medical_kg.orchestration.execution import Instances, execute_stage
from medical_kg.orchestration.planning import plan_of
from medical_kg.orchestration.runner import held, make_run, settle
from medical_kg.orchestration.submissions import open_submission
from medical_kg.orchestration.telemetry.events import Events

Make = Callable[..., Workspace]

GATE = "  - {name: gate, type: barrier, depends_on: [library], config: {number: 100}}\n"
HELD_UP = SHELVED.replace("depends_on: [shout]}", "depends_on: [shout, gate]}") + GATE
COLLAPSE = "  - {name: collapse, type: collapse, depends_on: [library]}\n"
LOUD = SHELVED.replace("name: shelved", "name: loud").replace("type: shout", "type: grumble") + COLLAPSE


def places(folder: Path, word: str) -> list[str]:
    """The files below a folder that hold a word, in any case."""
    found = (path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes().lower())
    return sorted(str(path.relative_to(folder)) for path in found)


def checked(workspace: Workspace, root: str) -> None:
    """Nothing of a document is left, and it is on the list, done with."""
    workspace.close()
    assert places(workspace.root, rare(root)) == []
    (listed,) = forgotten(workspace)
    assert (listed.root, listed.remains) == (root, None)
    assert listed.finished_at is not None


def shelved(workspace: Workspace) -> set[str]:
    """The roots of what the shelf keeps."""
    return set(json.loads((workspace.root / "shelf3.json").read_text()))


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_a_document_is_removed_everywhere(make: Make, engine: api.EngineName) -> None:
    """No byte of its text is left in any file of the workspace; what others share stays; what went is told by place."""
    workspace = make()
    api.submit(workspace, "shelved", engine=engine)
    assert len(places(workspace.root, rare("w0"))) > 3
    wanted = forget(workspace, "w0", dry_run=True)
    assert len(places(workspace.root, rare("w0"))) > 3
    done = forget(workspace, "w0")
    assert done.removed == wanted.removed | {"ledger": done.removed["ledger"]}
    assert done.removed["records"] == {"in stored results": 3}
    assert done.removed["shelf (number=3, bad=[])"] == {"books": 1}
    assert done.removed["files"] == {"files": 1}
    assert done.left == ()
    checked(workspace, "w0")
    assert shelved(workspace) == {"w1", "w2"}
    assert trace(workspace, "w1").files[0].size is not None
    assert len(places(workspace.root, "shared")) == 1


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_words_about_it_go_as_well(make: Make, engine: api.EngineName) -> None:
    """Dead letters, the errors of stages and what they logged, in the ledger and in Dagster's events."""
    workspace = make(LOUD)
    ident = api.submit(workspace, "loud", engine=engine).submission.id
    before = places(workspace.root, rare("w0"))
    assert any(name.startswith("medical-kg.db") for name in before)
    assert any(name.startswith("dagster") for name in before) is (engine == "dagster")
    done = forget(workspace, "w0")
    assert done.removed["ledger"]["dead letters"] == 1
    assert done.removed["ledger"]["texts"] > 0
    assert (done.removed.get("dagster", {}).get("events", 0) > 0) is (engine == "dagster")
    checked(workspace, "w0")
    assert {one.item_id for one in workspace.ledger.dead_letters(ident)} == {"w1", "w2", "w3"}
    assert [one.event for one in workspace.ledger.history(ident)].count("forgotten") == 1


def test_nothing_is_left_in_a_dump_of_postgres(make_either: Make, request: pytest.FixtureRequest) -> None:
    """Nor in the files beside it."""
    workspace = make_either(LOUD)
    api.submit(workspace, "loud", engine="plain")
    forget(workspace, "w0")
    checked(workspace, "w0")
    if workspace.database_url.startswith("postgresql"):
        server: PostgresServer = request.getfixturevalue("postgres")
        dump = server.dump(workspace.database_url.rpartition("/")[2]).lower()
        assert rare("w1") in dump
        assert rare("w0") not in dump


def test_attachments_of_signals_go_with_their_files(make: Make) -> None:
    """Those in the workspace; one that lies elsewhere is named, and is its owner's to remove."""
    workspace = make(HELD_UP)
    ident = api.submit(workspace, "shelved", engine="plain").submission.id
    stored = workspace.files.put([b"converted"], suffix=".json").uri
    outside = workspace.root.parent / "outside.json"
    outside.write_text("mine")
    attached = [
        Attachment(uri=uri, media_type="application/json", item_id=item)
        for uri, item in ((stored, "w0"), (outside.as_uri(), "w0"), ("file:///other.json", "w1"))
    ]
    api.signal(workspace, ident, "ready", attachments=attached)
    done = forget(workspace, "w0")
    assert done.removed["ledger"]["attachments"] == 2
    assert ["outside.json came with a signal" in line for line in done.left] == [True]
    assert places(workspace.root, "converted") == []
    assert forgotten(workspace)[0].finished_at is None
    outside.unlink()
    assert forget(workspace, "w0").left == ()
    assert [one.attachment.item_id for one in trace(workspace, "w1").ledger.attached] == ["w1"]


def test_a_waiting_batch_goes_on_without_it(make: Make) -> None:
    """Its finished stages are not run again; what cannot be told apart is."""
    workspace = make(HELD_UP)
    ident = api.submit(workspace, "shelved", engine="plain").submission.id
    forget(workspace, "w0")
    api.signal(workspace, ident, "open")
    report = api.resume(workspace, ident, engine="plain")
    assert report.submission.status == "completed"
    assert shelved(workspace) == {"w1", "w2"}
    events = [(one.stage, one.event) for one in workspace.ledger.history(ident) if one.batch_id == report.batches[0].id]
    assert events.count(("shout", "stage completed")) == 1
    assert ("shout", "stage reused") in events
    checked(workspace, "w0")


def test_a_later_run_leaves_it_out_until_it_is_remembered(make_either: Make) -> None:
    """The count says so, next to the one that failed and comes again; once remembered the same input brings it back."""
    workspace = make_either()
    api.submit(workspace, "shelved", engine="plain")
    forget(workspace, "w0")
    report = api.submit(workspace, "shelved", engine="plain")
    assert dict(report.stages[0].counts) == {"words": 1.0, "forgotten": 1.0}
    assert shelved(workspace) == {"w1", "w2"}
    checked(workspace, "w0")
    remember(workspace, "w0")
    assert forgotten(workspace) == []
    api.submit(workspace, "shelved", engine="plain")
    assert shelved(workspace) == {"w0", "w1", "w2"}
    with pytest.raises(RecordNotFound, match="forgotten document of tenant default"):
        remember(workspace, "w0")


def test_forgetting_again_finds_nothing(make: Make) -> None:
    """It is no error; a document that was never there is."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    assert forget(workspace, "isbn:w0").root == "w0"
    assert forget(workspace, "w0").total == 0
    with pytest.raises(RecordNotFound):
        forget(workspace, "w9")


def test_other_tenants_keep_theirs(make: Make) -> None:
    """The list is the tenant's own, and so are the stored results, even of equal content."""
    workspace = make()
    for tenant in ("one", "two"):
        api.submit(workspace, "shelved", engine="plain", tenant=tenant)
    forget(workspace, "w0", tenant="one")
    assert forgotten(workspace, tenant="two") == []
    assert [stage.made for stage in trace(workspace, "w0", tenant="two").batches[0].stages][:2] == ["gave", "gave"]
    again = api.submit(workspace, "shelved", engine="plain", tenant="two", full_refresh=True)
    assert again.stages[0].counts == {"words": 4.0}


@contextmanager
def at_work(workspace: Workspace, *stages: str) -> Iterator[str]:
    """A batch that a live process holds, with these stages done."""
    submission = open_submission(workspace, "shelved", full_refresh=True)
    plan = plan_of(workspace, submission.id)
    (batch,) = workspace.ledger.batches(submission.id)
    with held(workspace.ledger, batch) as claimed, closing(Instances()) as instances:
        run = make_run(workspace, plan, claimed, Events(), instances)
        for name in stages:
            execute_stage(run, name)
        yield submission.id
        settle(run)


@pytest.mark.parametrize("stages", [(), ("library",)])
def test_it_is_refused_while_a_run_has_it_or_may_get_it(make_either: Make, stages: tuple[str, ...]) -> None:
    """The error names the batch and the way out, and nothing was changed."""
    workspace = make_either()
    api.submit(workspace, "shelved", engine="plain")
    with at_work(workspace, *stages) as ident, pytest.raises(BatchHeld, match=f"cancel {ident}"):
        forget(workspace, "w0")
    assert forgotten(workspace) == []
    assert "w0" in shelved(workspace)
    assert len(places(workspace.root, rare("w0"))) > 3


def test_runs_that_cannot_have_it_go_on_beside_it(make: Make) -> None:
    """A batch that has read its input without the document is in nobody's way."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    with at_work(workspace, "library") as ident:
        assert forget(workspace, "w2").left == ()
    report = api.resume(workspace, ident, engine="plain")
    assert report.submission.status == "completed"
    checked(workspace, "w2")
    assert shelved(workspace) == {"w0", "w1"}


def test_leftovers_of_killed_and_repeated_stages_go_as_well(make: Make) -> None:
    """Checkpoints that no result mentions any more, and files that were not written to their end."""
    workspace = make()
    ident = api.submit(workspace, "shelved", engine="plain").submission.id
    (batch, *_) = workspace.ledger.batches(ident)
    ref = workspace.ledger.results(batch.id)["shout"].outputs["upper"]
    workspace.checkpoints.put(workspace.checkpoints.get(ref.digest, ref.suffix) * 2, ref.suffix)
    folder = workspace.root / "checkpoints" / ref.digest[:2]
    (folder / f".{ref.digest}.jsonl.0000.tmp").write_text(rare("w0"))
    (workspace.root / "files" / ".incoming-x").write_text(rare("w0"))
    forget(workspace, "w0")
    checked(workspace, "w0")


def test_what_cannot_be_removed_is_named_and_done_later(make: Make) -> None:
    """A stage that is out of reach stops nothing else; the list says that it is not finished."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    file = workspace.root / "pipelines" / "shelved.yaml"
    text = file.read_text()
    file.write_text(text.replace("depends_on: [shout]}", "depends_on: [shout], config: {number: 5, bad: [kept]}}"))
    done = forget(workspace, "w0")
    assert ["out of reach" in line for line in done.left] == [True]
    assert done.removed["shelf (number=3, bad=[])"] == {"books": 1}
    assert forgotten(workspace)[0].finished_at is None
    file.write_text(text)
    assert forget(workspace, "w0").left == ()
    checked(workspace, "w0")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
from shelves import TYPES
from support import make_workspace
from medical_kg.orchestration import forget
workspace = make_workspace(Path({root!r}), **TYPES)
workspace.ledger.forgotten("default")
left = [{at}]
def hook(event, args):
    if event in ("os.remove", "os.rename", "sqlite3.connect", "sqlite3.connect/handle"):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
forget(workspace, "w0")
"""


@pytest.mark.parametrize(
    "at",
    [
        1,
        4,
        pytest.param(2, marks=pytest.mark.slow),
        *(pytest.param(n, marks=pytest.mark.slow) for n in (6, 8, 10, 12, 14)),
    ],
)
def test_a_kill_at_any_moment_is_made_good_by_the_same_command(tmp_path: Path, at: int) -> None:
    """Between any two of its steps, told by what it does to files and databases."""
    workspace = make_workspace(tmp_path / "kg", LOUD, SHELVED, **TYPES)
    api.submit(workspace, "shelved", engine="plain")
    api.submit(workspace, "loud", engine="plain")
    workspace.close()
    script = KILLED.format(path=[str(Path(__file__).parents[1])], root=str(workspace.root), at=at)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode in (-signal.SIGKILL, 0), done.stderr
    assert forget(workspace, "w0").left == ()
    checked(workspace, "w0")
    assert shelved(workspace) == {"w1", "w2"}
    assert api.submit(workspace, "shelved", engine="plain").stages[0].counts == {"words": 1.0, "forgotten": 1.0}


def test_the_engine_keeps_the_result_of_a_type_that_is_gone_from_nobody(make: Make) -> None:
    """Where nobody can read a stored value any more, one that names the document is dropped whole, and that is told."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    (workspace.root / "pipelines" / "shelved.yaml").unlink()
    with closing(Workspace(workspace.root, installation=type(workspace.installation)(path=[]))) as bare:
        done = forget(bare, "w0")
        assert all("not installed any more" in line for line in done.left)
        assert places(bare.root / "checkpoints", rare("w0")) == []
    assert forget(workspace, "w0").left == ()
    checked(workspace, "w0")
