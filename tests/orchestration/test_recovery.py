"""Failed batches again, dead letters again, giving up, and how many items may fail; with both engines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support import DIAMOND, ENGINES, GATED, WORDS, Config, Shout, Tally, Word, edit, make_workspace

from medical_kg.orchestration import api
from medical_kg.orchestration.contract import Page, Rejected, Stage, StageMetadata
from medical_kg.orchestration.contract.errors import BatchHeld, IllegalTransition, RecordNotFound
from medical_kg.orchestration.ledger.contract import Replay
from medical_kg.orchestration.recovery import cancel
from medical_kg.orchestration.workspace import Workspace


def letters(workspace: Workspace, ident: str) -> dict[str, tuple[str, int, str]]:
    found = workspace.ledger.dead_letters(ident)
    return {one.item_id: (one.status, one.attempts, one.batch_id[-4:]) for one in found}


def story(workspace: Workspace, ident: str) -> list[tuple[Any, ...]]:
    found = workspace.ledger.history(ident)
    keys = (((one.batch_id or "")[-4:], one.stage or "", one.event, one.reason.replace(ident, "S")) for one in found)
    return sorted(keys)


BAD = "bad: [w3]"


def test_a_dead_letter_is_replayed_after_a_fix_of_the_config(tmp_path: Path, engine: api.EngineName) -> None:
    """A small batch carries its input record from the failed stage on; what came before and beside is reused."""
    workspace = make_workspace(tmp_path, DIAMOND)
    ident = api.submit(workspace, "diamond", engine=engine).submission.id
    edit(workspace, BAD, "bad: []")
    report = api.replay(workspace, ident, engine=engine)
    assert report.submission.status == "completed"
    assert report.dead_letters == 0
    assert letters(workspace, ident) == {"w3": ("resolved", 1, "0004")}
    batch = report.batches[-1]
    assert (batch.parent, batch.cursor) == (f"{ident}-0002", "2")
    results = workspace.ledger.results(batch.id)
    assert {name: [ref.items for ref in one.outputs.values()] for name, one in results.items()} == {
        "feed": [1],
        "whisper": [1],
        "shout": [1],
        "tally": [None],
    }
    reused = [one.stage for one in workspace.ledger.history(ident) if one.event == "stage reused"]
    assert sorted(map(str, reused)) == ["feed", "whisper"]
    assert dict(results["tally"].counts) == {"tallied": 2}
    assert [one.detail for one in workspace.ledger.history(ident) if one.event == "dead letters resolved"] == [
        {"resolved": 1}
    ]
    with pytest.raises(RecordNotFound, match="no open dead letter"):
        api.replay(workspace, ident, engine=engine)


def test_an_item_that_fails_again_has_its_attempts_counted(tmp_path: Path, engine: api.EngineName) -> None:
    """It stays one dead letter, open, with one attempt more each time, and can be replayed from the replay."""
    workspace = make_workspace(tmp_path, DIAMOND)
    ident = api.submit(workspace, "diamond", engine=engine).submission.id
    assert api.replay(workspace, ident, engine=engine).dead_letters == 1
    assert letters(workspace, ident) == {"w3": ("open", 2, "0004")}
    edit(workspace, BAD, "bad: []")
    assert api.replay(workspace, ident, engine=engine).batches[-1].parent == f"{ident}-0004"
    assert letters(workspace, ident) == {"w3": ("resolved", 2, "0005")}


def test_both_engines_tell_a_replay_alike(tmp_path: Path) -> None:
    """Plain runner and Dagster leave the same history of a replay and of a failure by the budget."""
    told = []
    for name in ENGINES:
        workspace = make_workspace(
            tmp_path / name, DIAMOND.replace("batch_size: 2", "batch_size: 2\nmax_failed_items: 0")
        )
        ident = api.submit(workspace, "diamond", engine=name).submission.id
        edit(workspace, "max_failed_items: 0", "max_failed_items: 1")
        api.retry(workspace, ident, engine=name)
        edit(workspace, BAD, "bad: []")
        assert api.replay(workspace, ident, engine=name).dead_letters == 0
        told.append(story(workspace, ident))
    assert told[0] == told[1]


def test_one_some_or_all_are_replayed(tmp_path: Path) -> None:
    """Stage and items choose; what is not chosen stays open, what is not there is named."""
    workspace = make_workspace(tmp_path, DIAMOND.replace(BAD, "bad: [w0, w1, w3]"))
    ident = api.submit(workspace, "diamond", engine="plain").submission.id
    edit(workspace, "bad: [w0, w1, w3]", "bad: []")
    with pytest.raises(RecordNotFound, match="w9"):
        api.replay(workspace, ident, items=["w9"], engine="plain")
    with pytest.raises(RecordNotFound, match="stage whisper"):
        api.replay(workspace, ident, stage="whisper", engine="plain")
    assert api.replay(workspace, ident, items=["w1"], stage="shout", engine="plain").dead_letters == 2
    assert {item: one[0] for item, one in letters(workspace, ident).items()} == {
        "w0": "open",
        "w1": "resolved",
        "w3": "open",
    }
    assert len(api.replay(workspace, ident, engine="plain").batches) == 6


def test_a_dead_letter_is_replayed_after_a_fix_of_the_stage(tmp_path: Path, engine: api.EngineName) -> None:
    """A newer version of the stage processes it; batches that were done stay as the older one left them."""

    class Mended(Shout):
        metadata = replace(Shout.metadata, version="1.1")

        def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
            return item.model_copy(update={"text": item.text.upper()})

    workspace = make_workspace(tmp_path, DIAMOND)
    ident = api.submit(workspace, "diamond", engine=engine).submission.id
    before = workspace.ledger.results(f"{ident}-0001")
    newer = make_workspace(tmp_path, DIAMOND, shout=Mended)
    report = api.replay(newer, ident, engine=engine)
    assert letters(newer, ident) == {"w3": ("resolved", 1, "0004")}
    assert newer.ledger.results(report.batches[-1].id)["shout"].outputs["upper"].items == 1
    assert newer.ledger.results(f"{ident}-0001") == before


def test_a_changed_stage_before_the_failed_one_runs_again(tmp_path: Path) -> None:
    """What is taken over is what would be reused: of a stage whose config changed, nothing is."""
    workspace = make_workspace(tmp_path, DIAMOND)
    ident = api.submit(workspace, "diamond", engine="plain").submission.id
    edit(
        workspace,
        "{name: whisper, type: whisper, depends_on: [feed]}",
        "{name: whisper, type: whisper, depends_on: [feed], config: {number: 9}}",
    )
    api.replay(workspace, ident, engine="plain")
    done = [one.stage for one in workspace.ledger.history(ident) if one.batch_id == f"{ident}-0004"]
    assert "stage reused" not in [one.event for one in workspace.ledger.history(ident) if one.stage == "whisper"]
    assert "whisper" in done


class Shelf:
    texts: ClassVar[dict[str, str]] = {}


def shelf_stage() -> type[Any]:
    from support import Feed

    from medical_kg.orchestration.contract import Rejected

    class Found(Feed):
        def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
            good = [Word(id=name, root=name, text=text) for name, text in Shelf.texts.items() if text]
            bad = [Rejected(name, "empty") for name, text in Shelf.texts.items() if not text]
            return Page(good, None, bad)

    return Found


@pytest.mark.parametrize("from_input", [False, True])
def test_a_rejected_input_record_is_pulled_again_once_mended(tmp_path: Path, from_input: bool) -> None:  # noqa: FBT001
    """Only what was rejected goes into the replay, not the rest of its page; no further batch is opened."""
    Shelf.texts = {"a": "A", "b": ""}
    workspace = make_workspace(tmp_path, DIAMOND.replace(BAD, "bad: []"), feed=shelf_stage())
    ident = api.submit(workspace, "diamond", engine="plain").submission.id
    Shelf.texts = {"a": "A", "b": "B"}
    report = api.replay(workspace, ident, from_input=from_input, engine="plain")
    assert len(report.batches) == 2
    assert {
        name: one.outputs["words"].items
        for name, one in workspace.ledger.results(report.batches[1].id).items()
        if name == "feed"
    } == {"feed": 1}
    assert letters(workspace, ident) == {"b": ("resolved", 1, "0002")}


class Renamed(Stage[Config]):
    """Gives ``Shelf.texts``: what has no text is rejected by the file's name, what has one goes by its text."""

    metadata = StageMetadata(
        stage_type="feed", version="1.0", description="Reads.", writes=(WORDS,), mode="stream", config_model=Config
    )

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        good = [Word(id=text, root=text, text=text) for text in Shelf.texts.values() if text]
        return Page(good, None, [Rejected(name, "empty") for name, text in Shelf.texts.items() if not text])


@pytest.mark.parametrize(
    ("then", "pulled", "status"),
    [
        ({"a": "A", "b": "B", "c": ""}, 1, {"b": ("resolved", 1, "0002"), "c": ("open", 1, "0001")}),
        ({"a": "A", "c": ""}, 0, {"b": ("open", 2, "0002"), "c": ("open", 1, "0001")}),
        ({"a": "A", "b": "", "c": ""}, 0, {"b": ("open", 2, "0002"), "c": ("open", 1, "0001")}),
    ],
    ids=["mended", "gone", "as it was"],
)
def test_a_mended_record_may_have_another_name(
    tmp_path: Path, engine: api.EngineName, then: dict[str, str], pulled: int, status: dict[str, Any]
) -> None:
    """What nobody has met before is what was mended; what is not there any more stays open instead of being lost."""
    Shelf.texts = {"a": "A", "b": "", "c": ""}
    workspace = make_workspace(tmp_path, DIAMOND.replace(BAD, "bad: []"), feed=Renamed)
    ident = api.submit(workspace, "diamond", engine=engine).submission.id
    Shelf.texts = then
    report = api.replay(workspace, ident, items=["b"], engine=engine)
    assert letters(workspace, ident) == status
    results = workspace.ledger.results(report.batches[1].id)
    assert results["shout"].outputs["upper"].items == pulled
    if pulled:
        assert dict(results["tally"].counts) == {"tallied": 2}
        with pytest.raises(RecordNotFound):
            api.replay(workspace, ident, items=["b"], engine=engine)


def test_a_record_lost_after_it_was_read_stays_a_dead_letter(tmp_path: Path) -> None:
    """A later stage's letter that is read again from the input is told as the input's, once the input lacks it."""
    Shelf.texts = {"a": "A", "b": "B"}
    workspace = make_workspace(tmp_path, DIAMOND.replace(BAD, "bad: [B]"), feed=Renamed)
    ident = api.submit(workspace, "diamond", engine="plain").submission.id
    Shelf.texts = {"a": "A"}
    api.replay(workspace, ident, from_input=True, engine="plain")
    found = {(one.stage, one.item_id): (one.status, one.error) for one in workspace.ledger.dead_letters(ident)}
    assert found == {("shout", "B"): ("resolved", "ValueError"), ("feed", "B"): ("open", "Gone")}


def test_the_budget_fails_its_batch_and_not_the_submission(tmp_path: Path, engine: api.EngineName) -> None:
    """The error names the figures, the dead letters are kept, the other batches are completed; a retry mends it."""
    workspace = make_workspace(tmp_path, DIAMOND.replace("batch_size: 2", "batch_size: 2\nmax_failed_items: 49%"))
    report = api.submit(workspace, "diamond", engine=engine)
    ident = report.submission.id
    assert [batch.status for batch in report.batches] == ["completed", "failed", "completed"]
    assert report.dead_letters == 1
    assert "TooManyFailed" in report.errors[0]
    assert f"1 items of batch {ident}-0002 failed; max_failed_items allows 49% of 2, that is 0," in report.errors[0]
    with pytest.raises(IllegalTransition, match="from failed to replayed"):
        api.replay(workspace, ident, engine=engine)
    edit(workspace, "49%", "50%")
    assert api.retry(workspace, ident, engine=engine).submission.status == "completed"


class Listed(Stage[Config]):
    """Gives the words without a stream."""

    metadata = StageMetadata(
        stage_type="listed", version="1.0", description="Lists.", writes=(WORDS,), config_model=Config
    )

    def run(self, ctx: Any, **reads: Any) -> list[Word]:
        return [Word(id=f"w{n}", root=f"w{n}") for n in range(4)]


@pytest.mark.parametrize(("share", "status"), [("25%", "completed"), ("24.9%", "failed")])
def test_without_a_stream_a_share_is_of_what_the_stage_processed(tmp_path: Path, share: str, status: str) -> None:
    """No limit is left out of account because nothing was pulled."""
    text = DIAMOND.replace("type: feed, config: {number: 5}", "type: listed")
    text = text.replace("batch_size: 2", f"max_failed_items: {share}")
    report = api.submit(make_workspace(tmp_path, text, listed=Listed), "diamond", engine="plain")
    assert report.submission.status == status


def test_a_feed_that_fails_by_the_budget_opens_the_next_batch(tmp_path: Path) -> None:
    """Rejected records count too, and of what was pulled; the rest of the input goes on."""
    Shelf.texts = {"a": "A", "b": ""}
    text = DIAMOND.replace(BAD, "bad: []").replace("batch_size: 2", "batch_size: 2\nmax_failed_items: 10%")
    report = api.submit(make_workspace(tmp_path, text, feed=shelf_stage()), "diamond", engine="plain")
    assert "allows 10% of 2, that is 0," in report.errors[0]


def test_only_what_failed_can_be_retried(tmp_path: Path) -> None:
    """A submission or batch that has not failed is refused, and so is a batch that is not there."""
    workspace = make_workspace(tmp_path, DIAMOND)
    ident = api.submit(workspace, "diamond", engine="plain").submission.id
    with pytest.raises(IllegalTransition, match="from completed to retried"):
        api.retry(workspace, ident, engine="plain")
    with pytest.raises(IllegalTransition, match="from completed to pending by a retry"):
        api.retry(workspace, ident, batch=f"{ident}-0001", engine="plain")
    with pytest.raises(RecordNotFound, match="no batch of submission"):
        api.retry(workspace, ident, batch="nowhere", engine="plain")


def test_cancelled_work_is_never_taken_up_again(tmp_path: Path, engine: api.EngineName) -> None:
    """A waiting batch that is cancelled waits no more; neither signal, resume, retry nor replay wakes it."""
    workspace = make_workspace(tmp_path, GATED)
    ident = api.submit(workspace, "gated", engine=engine).submission.id
    assert cancel(workspace, ident, batch=f"{ident}-0001", actor="ben").status == "cancelled"
    assert workspace.ledger.wait(f"{ident}-0001", "barrier") is None
    assert api.resume(workspace, ident, engine=engine).submission.status == "cancelled"
    with pytest.raises(IllegalTransition):
        api.signal(workspace, ident, "open")
    with pytest.raises(IllegalTransition):
        api.retry(workspace, ident, engine=engine)
    with pytest.raises(IllegalTransition, match="from cancelled to cancelled"):
        cancel(workspace, ident, batch=f"{ident}-0001")
    with pytest.raises(RecordNotFound):
        cancel(workspace, ident, batch="nowhere")
    assert workspace.ledger.ready() == []


@pytest.mark.parametrize("moment", ["shout", "tally"])
def test_a_running_batch_ends_at_its_next_commit_once_cancelled(
    tmp_path: Path, engine: api.EngineName, moment: str
) -> None:
    """The result of the stage at work is refused; the other batches go on, and no error reaches the caller."""
    opened: list[Workspace] = []

    def give_up(ctx: Any) -> None:
        if ctx.batch_id.endswith("-0002"):
            cancel(opened[0], ctx.submission_id, batch=ctx.batch_id)

    class Loud(Shout):
        def process(self, ctx: Any, item: Word, **reads: Any) -> Word:
            if moment == "shout" and item.id == "w2":
                give_up(ctx)
            return super().process(ctx, item, **reads)

    class Sum(Tally):
        def run(self, ctx: Any, **reads: Any) -> dict[str, int]:
            if moment == "tally":
                give_up(ctx)
            return super().run(ctx, **reads)

    opened.append(make_workspace(tmp_path, DIAMOND, shout=Loud, tally=Sum))
    report = api.submit(opened[0], "diamond", engine=engine)
    assert [batch.status for batch in report.batches] == ["completed", "cancelled", "completed"]
    assert moment not in opened[0].ledger.results(report.batches[1].id)
    assert report.submission.status == "completed"
    if moment == "tally":
        with pytest.raises(IllegalTransition, match="from cancelled to replayed"):
            api.replay(opened[0], report.submission.id, engine=engine)


def test_a_batch_cancelled_after_its_last_commit_is_not_settled(tmp_path: Path) -> None:
    """Settling it is refused with a word that drivers of batches know."""
    workspace = make_workspace(tmp_path, GATED)
    ident = api.submit(workspace, "gated", engine="plain").submission.id
    claimed = workspace.ledger.claim(f"{ident}-0001", "me", lease_seconds=60)
    cancel(workspace, ident)
    with pytest.raises(BatchHeld, match="was cancelled"):
        workspace.ledger.settle(claimed.id, claimed.generation, [])


def test_a_replay_names_its_dead_letters_rightly_or_opens_nothing(tmp_path: Path) -> None:
    """A parent of another submission and an item that is not open are refused, with all that was asked along."""
    workspace = make_workspace(tmp_path, DIAMOND)
    ident = api.submit(workspace, "diamond", engine="plain").submission.id
    good = Replay(parent=f"{ident}-0002", stage="shout", items=("w3",))
    for wrong in (Replay(parent=f"{ident}-0001", stage="shout", items=("w0",)), good):
        with pytest.raises(RecordNotFound, match="no open dead letter of stage shout"):
            workspace.ledger.replay(ident, [good, wrong], "me")
    assert letters(workspace, ident) == {"w3": ("open", 1, "0002")}
    other = api.submit(workspace, "diamond", full_refresh=True, engine="plain").submission.id
    with pytest.raises(RecordNotFound, match="no batch of submission"):
        workspace.ledger.replay(other, [good], "me")
    assert len(workspace.ledger.batches(other)) == 3


def test_a_stage_that_the_pipeline_has_no_more_cannot_be_replayed(tmp_path: Path) -> None:
    """The file as it is now decides; the message names the stages that there are."""
    workspace = make_workspace(tmp_path, DIAMOND)
    ident = api.submit(workspace, "diamond", engine="plain").submission.id
    edit(workspace, "name: shout,", "name: cry,")
    edit(workspace, "[shout, whisper]", "[cry, whisper]")
    with pytest.raises(RecordNotFound, match="no stage of pipeline diamond 'shout'"):
        api.replay(workspace, ident, engine="plain")
