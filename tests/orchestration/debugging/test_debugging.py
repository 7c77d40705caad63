"""One document through some stages again, alone, in this process."""

from __future__ import annotations

import os
import sys
from bdb import BdbQuit
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from library import LIBRARY, SEVEN, Library
from shelves import SHELVED, TYPES
from support import DIAMOND, GATED, Shout, Word, edit, make_workspace, planned, stage_type

from medical_kg.orchestration import Workspace, api, debug
from medical_kg.orchestration.contract.errors import (
    ContractError,
    InputError,
    RecordNotFound,
    StorageError,
    UsageError,
)
from medical_kg.orchestration.debugging import opened
from medical_kg.orchestration.debugging.directly import check_here
from medical_kg.orchestration.debugging.session import LayeredFiles
from medical_kg.orchestration.file_area import FileArea
from medical_kg.orchestration.isolation.remote import describe, rebuild

if TYPE_CHECKING:
    from medical_kg.orchestration.isolation.environments import Host


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Four words in two batches, of which w3 cannot be shouted."""
    made = make_workspace(tmp_path / "kg", SHELVED, **TYPES)
    api.submit(made, "shelved", engine="plain")
    return made


def files_of(workspace: Workspace) -> dict[str, bytes]:
    """Everything in a workspace's folder; the ledger's files are looked at by its rows."""
    workspace.close()
    found = (path for path in workspace.root.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in found if "-wal" not in path.name and "-shm" not in path.name}


def test_only_the_document_goes_through_the_stages_behind(workspace: Workspace) -> None:
    """The values are those before the stage, of the document alone; those beside do not run."""
    found = debug(workspace, "w2", "shout")
    assert [(one.stage, one.status, dict(one.counts)) for one in found.stages] == [
        ("shout", "completed", {"upper": 1.0}),
        ("shelf", "completed", {}),
    ]
    assert [word.id for word in found["upper"]] == ["w2"]
    assert (found.document, found.pipeline, found.batch) == ("w2", "shelved", f"{found.submission}-0002")
    with pytest.raises(KeyError, match="given: upper"):
        _ = found["words"]


def test_nothing_of_the_workspace_is_touched(workspace: Workspace) -> None:
    """Neither the ledger, nor checkpoints and files, nor what stages keep; the scratch workspace is gone."""
    before = files_of(workspace)
    with opened(workspace, "w1", "library") as session:
        list(session.run())
        assert (session.scratch.root / "shelf3.json").exists()
    assert not session.scratch.root.exists()
    assert files_of(workspace) == before


def test_a_document_is_found_by_what_a_store_calls_it(workspace: Workspace) -> None:
    """As by the other commands for documents; one that nobody knows is an error, also in another submission."""
    assert debug(workspace, "isbn:w1", "shelf").document == "w1"
    with pytest.raises(RecordNotFound, match="no document of tenant default 'w9'"):
        debug(workspace, "w9", "shout")
    with pytest.raises(RecordNotFound, match="no document of tenant other 'w1'"):
        debug(workspace, "w1", "shout", tenant="other")
    other = api.submit(workspace, "shelved", engine="plain", full_refresh=True).submission.id
    assert debug(workspace, "w1", "shout").submission == other
    first = workspace.ledger.submissions()[-1].id
    assert debug(workspace, "w1", "shout", submission=first[:8]).submission == first


def test_the_stages_end_where_it_is_asked(workspace: Workspace) -> None:
    """Only what leads to the last one runs; a stage that is not behind, or not there, is named with those that are."""
    assert [one.stage for one in debug(workspace, "w1", "library", until="shout").stages] == ["library", "shout"]
    with pytest.raises(UsageError, match="'print' does not depend on 'shout'; these do: shout, shelf"):
        debug(workspace, "w1", "shout", until="print")
    with pytest.raises(UsageError, match=r"no stage 'shot'; did you mean 'shout'\?"):
        debug(workspace, "w1", "shot")


def test_a_dead_letter_is_told_or_raised(workspace: Workspace) -> None:
    """With the traceback of where it was raised; raised, it comes out as it is, from its own frame."""
    (shout, shelf) = debug(workspace, "w3", "shout").stages
    assert [one.item_id for one in shout.dead_letters] == ["w3"]
    assert "ValueError: w3 is bad" in shout.trace
    assert shelf.status == "completed"
    with pytest.raises(ValueError, match="w3 is bad") as caught:
        debug(workspace, "w3", "shout", raise_errors=True)
    assert caught.traceback[-1].name == "process"
    with pytest.raises(UsageError, match=r"nothing of .* 'shelf' read; .*'library'; stage 'shout' rejected it \(w3 is"):
        debug(workspace, "w3", "shelf")


def test_an_edit_of_the_pipeline_counts(workspace: Workspace) -> None:
    """The stages run as the file says now: what was rejected passes."""
    edit(workspace, "bad: [w3]", "bad: []")
    assert [word.text for word in debug(workspace, "w3", "shout")["upper"]] == ["ZYXOMMAW3QQUILL"]


def test_breakpoints_stop_in_the_stage(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process and thread, on the stage's own frame; to quit the debugger ends the run."""
    stopped: list[tuple[str, str]] = []

    def stop() -> None:
        frame = sys._getframe(1)
        stopped.append((frame.f_code.co_name, frame.f_locals["item"].id))
        if len(stopped) > 1:
            raise BdbQuit

    def process(self: Any, ctx: Any, item: Word, **reads: Any) -> Word:
        breakpoint()  # noqa: T100  # what is tested
        assert os.getpid() == pid
        return item

    pid = os.getpid()
    monkeypatch.setattr(sys, "breakpointhook", stop)
    monkeypatch.setattr(Shout, "process", process)
    assert debug(workspace, "w1", "shout").stages[0].status == "completed"
    with pytest.raises(BdbQuit):
        debug(workspace, "w1", "shout")
    assert stopped == [("process", "w1")] * 2


def test_nothing_is_retried_and_no_time_is_up(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the policy says: what may pass is told at once."""
    calls: list[float | None] = []

    def process(self: Any, ctx: Any, item: Word, **reads: Any) -> Word:
        calls.append(ctx.remaining())
        raise ConnectionError("gone")

    monkeypatch.setattr(Shout, "process", process)
    assert debug(workspace, "w1", "shout").stages[0].dead_letters[0].error == "ConnectionError"
    assert calls == [None]


def test_pruned_results_leave_the_source(tmp_path: Path) -> None:
    """It says what can be begun with; the stage that feeds the pipeline reads the document again, and only it."""
    library = Library(tmp_path, LIBRARY.replace("batch_size: 4", "batch_size: 9"))
    library.write(*SEVEN)
    library.run()
    for path in (tmp_path / "checkpoints").rglob("*.jsonl"):
        path.unlink()
    with pytest.raises(
        UsageError, match=r"at stage 'shout': shelf gave .* not stored any more.*begin with shelf"
    ) as told:
        debug(library.workspace, "c", "shout")
    assert "`medical-kg documents debug c --from shelf`" in str(told.value)
    found = debug(library.workspace, "c", "shelf")
    assert [(one.stage, dict(one.counts)) for one in found.stages][:2] == [
        ("shelf", {"words": 1}),
        ("shout", {"upper": 1}),
    ]
    library.write(*SEVEN[:2])
    with pytest.raises(InputError, match="does not give c any more"):
        debug(library.workspace, "c", "shelf")


def test_where_nothing_tells_the_batch_the_input_is_to_be_run_again(tmp_path: Path) -> None:
    """All results of several batches are pruned: it says how."""
    library = Library(tmp_path)
    library.write(*SEVEN)
    library.run()
    for path in (tmp_path / "checkpoints").rglob("*.jsonl"):
        path.unlink()
    with pytest.raises(UsageError, match=r"run its input again: `medical-kg run library --input .*words.json --full"):
        debug(library.workspace, "c", "shelf")


def test_the_page_of_a_later_batch_is_read_again(workspace: Workspace) -> None:
    """At its cursor; of the others on the page nothing is told."""
    found = debug(workspace, "w2", "library", until="shout")
    assert [word.id for word in found["words"]] == ["w2"]


def test_a_folder_keeps_what_the_stages_store(workspace: Workspace, tmp_path: Path) -> None:
    """As a workspace of its own; a folder with something in it is refused."""
    debug(workspace, "w3", "library", into=tmp_path / "kept")
    kept = Workspace(tmp_path / "kept")
    assert [one.item_id for one in kept.ledger.dead_letters(kept.ledger.submissions()[0].id)] == ["w3"]
    with pytest.raises(UsageError, match="is no empty folder"):
        debug(workspace, "w3", "library", into=tmp_path / "kept")


def test_signals_of_the_batch_are_heard(tmp_path: Path) -> None:
    """A gate that was passed is passed again; one that still waits says for what, and what is behind it is skipped."""
    workspace = make_workspace(tmp_path, GATED.replace("number: 1}", "number: 2}"))
    ident = api.submit(workspace, "gated", engine="plain").submission.id
    (barrier, shout) = debug(workspace, "w0", "barrier").stages
    assert (barrier.status, barrier.reason) == ("waiting", "waits for open equals True")
    assert (shout.status, shout.reason) == ("skipped", "barrier gave nothing")
    api.signal(workspace, ident, "open")
    assert [one.status for one in debug(workspace, "w0", "barrier").stages] == ["completed", "completed"]


def test_a_stage_of_an_environment_runs_here(workspace: Workspace) -> None:
    """Its type is imported in this process after all; one that cannot be is named with the way out."""
    edit(workspace, "{name: shout, type: shout,", "{name: shout, type: shout, environment: process,")
    assert debug(workspace, "w1", "shout").stages[0].status == "completed"
    elsewhere = rebuild(describe(stage_type(Shout)), cast("Host", SimpleNamespace(name="old")))
    with pytest.raises(UsageError, match=r"'shout' runs in environment 'old', .* cannot be imported in this process"):
        check_here(replace(planned(Shout), type=elsewhere))


def test_what_the_engine_asks_of_a_stage_is_let_out_too(tmp_path: Path) -> None:
    """An error of an output counter, and a debugger that was quit in it: both lie outside of the call."""
    raised: list[BaseException] = [ZeroDivisionError()]

    def count(_: Any) -> float:
        raise raised[0]

    class Counted(Shout):
        metadata = replace(Shout.metadata, output_counter=count)

    workspace = make_workspace(tmp_path, DIAMOND, shout=Counted)
    api.submit(workspace, "diamond", engine="plain")
    (shout, tally) = debug(workspace, "w0", "shout").stages
    assert (shout.status, tally.status) == ("failed", "skipped")
    assert "ZeroDivisionError" in shout.trace
    with pytest.raises(ContractError, match="its output counter failed"):
        debug(workspace, "w0", "shout", raise_errors=True)
    raised[0] = BdbQuit()
    with pytest.raises(BdbQuit):
        debug(workspace, "w0", "shout")


def test_files_of_the_workspace_can_be_opened(tmp_path: Path) -> None:
    """What is stored goes into the scratch area; what is there is read from either."""
    own, below = FileArea(tmp_path / "own"), FileArea(tmp_path / "below")
    files = LayeredFiles(own, below)
    stored = [below.put([b"old"], suffix=".txt").uri, files.put([b"new"]).uri]
    for uri, content in zip(stored, (b"old", b"new"), strict=True):
        with files.open(uri) as file:
            assert file.read() == content
    assert [one.size for one in below.stored()] == [3]
    with pytest.raises(StorageError, match="cannot be opened"):
        files.open(stored[0].replace("file-area:", "file-area:0")[:-1])
