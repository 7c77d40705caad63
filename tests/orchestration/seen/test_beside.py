"""The same input again, beside what else the engine does: failures, replays, waits, forgetting, other pipelines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from library import LIBRARY, SEVEN, Library, Shelf, Store
from support import Gate, make_workspace

from medical_kg import Page
from medical_kg.orchestration import api, explain, forget, remember, trace
from medical_kg.orchestration.submissions import open_submission

BARRIER = "  - {{name: barrier, type: barrier, depends_on: [{}], config: {{number: 100}}}}"
GATED = LIBRARY.replace("depends_on: [shelf]", "depends_on: [shelf, barrier]") + BARRIER.format("shelf")


class Torn(Shelf):
    """A shelf that breaks at a text ``break``, unless the file ``mended`` stands beside its own."""

    metadata = replace(Shelf.metadata, stage_type="torn")

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        page = super().pull(ctx, cursor, limit)
        if any(word.text == "break" for word in page.output) and not Path(ctx.input["input"] + ".mended").exists():
            raise OSError("the shelf broke down")
        return page


class Post(Shelf):
    """A shelf whose words are requests."""

    metadata = replace(Shelf.metadata, stage_type="post")

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        page = super().pull(ctx, cursor, limit)
        return Page(page.output, page.cursor, page.rejected, process_all=True)


TYPES = {"torn": Torn, "post": Post, "barrier": Gate}


@pytest.fixture
def place(tmp_path: Path) -> Library:
    """The library with more stage types, on SQLite."""
    found = Library(tmp_path)
    found.workspace = make_workspace(tmp_path, shelf=Shelf, store=Store, **TYPES)
    return found


def finish(place: Library, ident: str) -> None:
    """Let a submission through its barrier."""
    api.signal(place.workspace, ident, "open")
    assert api.resume(place.workspace, ident, engine="plain").submission.status == "completed"


def test_a_source_that_fails_midway_removes_nothing(place: Library) -> None:
    """What it did not come to is not gone; its retry, which ends the sweep, tells what is."""
    place.edit("type: shelf}", "type: torn}")
    place.write(*SEVEN)
    place.run()
    place.write(("x", "new"), ("y", "new"), ("z", "new"), *SEVEN[1:], ("q", "break"))
    place.run()
    assert place.last.submission.status == "failed"
    assert "a" in place.kept
    place.file.with_name(place.file.name + ".mended").touch()
    report = api.retry(place.workspace, place.last.submission.id, engine="plain")
    assert (report.submission.status, report.sweep.removed) == ("completed", 1)  # type: ignore[union-attr]
    assert sorted(place.kept) == list("bcdefgqxyz")
    assert place.run() == (10, 0, 0)


def test_a_batch_that_waits_has_seen_nothing(place: Library) -> None:
    """Another submission of the input takes its records on; the one that waited skips none of its own afterwards."""
    place = Library(place.file.parent, GATED)
    place.workspace = make_workspace(place.file.parent, shelf=Shelf, store=Store, **TYPES)
    place.write(*SEVEN[:3])
    assert place.run() == (0, 3, 0)
    first = place.last.submission
    assert first.status == "waiting"
    assert trace(place.workspace, "a").ledger.seen == ()
    assert place.run(limit=2) == (0, 2, 0)
    second = place.last.submission.id
    for ident in (second, first.id):
        finish(place, ident)
    assert sorted(place.kept) == ["a", "b", "c"]
    assert [one.submission_id for one in trace(place.workspace, "a").ledger.seen] == [second]
    place.run()
    assert place.last.sweep.unchanged == 3  # type: ignore[union-attr]


def test_a_forgotten_record_stays_away(library: Library) -> None:
    """It is neither new nor gone from the input; once it is remembered it is new."""
    library.write(*SEVEN)
    library.run()
    forget(library.workspace, "a")
    assert library.run() == (6, 0, 0)
    assert library.last.stages[0].counts["forgotten"] == 1
    remember(library.workspace, "a")
    assert library.run() == (6, 1, 0)


def test_forgetting_covers_the_list_of_what_was_removed(local: Library) -> None:
    """The name of a record that was removed stands in a stored value of the engine's own."""
    local.write(*SEVEN, ("secret-name", "x"))
    local.run()
    local.write(*SEVEN)
    assert local.run() == (7, 0, 1)
    forget(local.workspace, "secret-name")
    stored = [file for file in (local.workspace.root / "checkpoints").rglob("*.jsonl*") if file.is_file()]
    assert stored
    assert [file for file in stored if b"secret-name" in file.read_bytes()] == []


def test_two_pipelines_remember_for_themselves(local: Library) -> None:
    """Each processes the input once; what one removes, another that still finds it processes again."""
    file = local.workspace.root / "pipelines" / "other.yaml"
    file.write_text(LIBRARY.replace("name: library", "name: other"), encoding="utf-8")
    local.write(*SEVEN)
    assert local.run() == (0, 7, 0)
    assert local.run("other") == (0, 7, 0)
    assert local.run("other") == (7, 0, 0)
    shorter = local.file.with_name("shorter.json")
    shorter.write_text(json.dumps(SEVEN), encoding="utf-8")
    assert local.run("other", input=shorter) == (7, 0, 0)
    shorter.write_text(json.dumps(SEVEN[1:]), encoding="utf-8")
    assert local.run("other", input=shorter) == (6, 0, 1)
    assert "a" not in local.kept
    assert local.run() == (6, 1, 0)
    assert "a" in local.kept


def test_what_is_a_request_is_always_processed(place: Library) -> None:
    """A stream stage says so of its page; what it gives is still counted, and a replay still takes only its own."""
    place.edit("type: shelf}", "type: post}")
    place.edit("bad: []", "bad: [c]")
    place.write(*SEVEN)
    assert place.run() == (0, 7, 0)
    assert place.run() == (0, 7, 0)
    ident = place.last.submission.id
    place.edit("bad: [c]", "bad: []")
    report = api.replay(place.workspace, ident, engine="plain", from_input=True)
    results = place.workspace.ledger.results(report.batches[-1].id)
    assert results["shelf"].outputs["words"].items == 1
    assert "c" in place.kept


def test_a_replay_from_the_input_reads_no_further_than_its_batch_did(local: Library) -> None:
    """What stands on later pages is another batch's, or of another run, and is not taken for the record in question."""
    local.edit("bad: []", "bad: [c]")
    local.edit("batch_size: 4", "batch_size: 4\n")
    local.write(*SEVEN)
    local.run()
    local.edit("bad: [c]", "bad: []")
    local.write(*SEVEN, ("x", "new"))
    Shelf.pages.clear()
    report = api.replay(local.workspace, local.last.submission.id, engine="plain", from_input=True)
    assert len(Shelf.pages) == 1
    assert report.submission.status == "completed"
    assert local.kept["c"] == "WORD C"
    assert "x" not in local.kept


def test_a_replay_takes_no_unchanged_record_for_a_mended_one(local: Library) -> None:
    """Its submission has met them, although no batch of it gave them."""
    local.write(*SEVEN)
    local.run()
    local.write(*SEVEN, ("odd", None))
    assert local.run() == (7, 0, 0)
    ident = local.last.submission.id
    local.write(*SEVEN, ("even", "mended"))
    report = api.replay(local.workspace, ident, engine="plain", from_input=True)
    results = local.workspace.ledger.results(report.batches[-1].id)
    assert results["shelf"].outputs["words"].items == 1
    assert local.kept["even"] == "MENDED"


def test_what_was_removed_is_explained_and_reused(place: Library) -> None:
    """The list that the engine hands to a stage is part of its inputs: a batch that goes on does not call it again."""
    place.edit("depends_on: [shout]}", f"depends_on: [shout]}}\n{BARRIER.format('store')}")
    place.write(*SEVEN)
    place.run()
    finish(place, place.last.submission.id)
    place.write(*SEVEN[1:])
    assert place.run() == (6, 0, 1)
    ident = place.last.submission.id
    (found,) = explain(place.workspace, ident).batches
    assert {one.stage: one.verdict for one in found.stages}["store"] == "ran"
    finish(place, ident)
    events = [one.event for one in place.workspace.ledger.history(ident) if one.stage == "store"]
    assert events == ["stage completed", "stage reused"]


def test_an_older_submission_does_not_bring_back_what_a_newer_one_removed(local: Library) -> None:
    """The newer one has looked at the whole input since."""
    local.write(*SEVEN)
    local.run()
    older = open_submission(local.workspace, "library", input=local.file, limit=7)
    local.write(*SEVEN[1:])
    assert local.run() == (6, 0, 1)
    assert api.resume(local.workspace, older.id, engine="plain").sweep.changed == 0  # type: ignore[union-attr]
    assert "a" not in local.kept
