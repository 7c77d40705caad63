"""A document's story, as the ledger, the checkpoints and the stages that keep things tell it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from shelves import SHELVED
from support import edit

from medical_kg.orchestration import Workspace, api, trace
from medical_kg.orchestration.contract import Attachment
from medical_kg.orchestration.contract.errors import RecordNotFound
from medical_kg.orchestration.traces.keepers import nested
from medical_kg.orchestration.traces.story import Story, plain

Make = Callable[..., Workspace]

WAITING = (
    SHELVED.replace("shelved", "waiting")
    .replace("depends_on: [shout]}", "depends_on: [shout, barrier]}")
    .replace(
        "  - {name: shelf",
        "  - {name: barrier, type: barrier, depends_on: [library], config: {number: 100}}\n  - {name: shelf",
    )
)


def made(story: Story) -> list[dict[str, tuple[str, dict[str, int]]]]:
    return [{one.stage: (one.made, dict(one.gave)) for one in batch.stages} for batch in story.batches]


def test_a_story_tells_what_each_stage_made_of_a_document(make: Make) -> None:
    """Each batch that met it, in its order; records by key; what keeps it, and the files its records speak of."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    story = trace(workspace, "w0")
    assert made(story) == [
        {
            "library": ("gave", {"words": 1}),
            "shout": ("gave", {"upper": 1}),
            "print": ("gave", {"papers": 1}),
            "shelf": ("took", {}),
        }
    ]
    assert story.batches[0].batch.ordinal == 1
    assert [(one.stage, dict(one.kept), one.problem) for one in story.kept] == [
        ("shelf (number=3, bad=[])", {"books": 1}, "")
    ]
    assert sorted(one.size or 0 for one in story.files) == [6, 15]
    assert story.ledger.dead_letters == ()


def test_a_dead_letter_ends_the_story_of_its_branch(make_either: Make) -> None:
    """The stage that could not process it, with attempts; what came after never met it."""
    workspace = make_either()
    ident = api.submit(workspace, "shelved", engine="plain").submission.id
    api.replay(workspace, ident, engine="plain")
    story = trace(workspace, "w3")
    assert [one.get("shout") for one in made(story)] == [("dead letter", {}), ("dead letter", {})]
    assert [one.get("shelf") for one in made(story)] == [None, None]
    (letter,) = story.ledger.dead_letters
    assert (letter.stage, letter.attempts, letter.status) == ("shout", 2, "open")


def test_signals_with_a_file_for_a_document_are_part_of_its_story(make_either: Make) -> None:
    """Who told what, when and to whom; files of others are not told."""
    workspace = make_either(WAITING)
    ident = api.submit(workspace, "waiting", engine="plain").submission.id
    files = [Attachment(uri=f"file:///{one}.json", media_type="application/json", item_id=one) for one in ("w0", "w1")]
    api.signal(workspace, ident, "ready", attachments=files, actor="ana")
    story = trace(workspace, "w0")
    (attached,) = story.ledger.attached
    assert (attached.signal, attached.actor, attached.submission_id, attached.batch_id) == ("ready", "ana", ident, None)
    assert attached.attachment.uri == "file:///w0.json"


def test_a_story_is_told_by_any_name_that_a_stage_knows(make: Make) -> None:
    """A stage that keeps a document may know it by other names."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    assert trace(workspace, "isbn:w1").root == "w1"


def test_a_document_without_a_trace_is_refused(make: Make) -> None:
    """The error names the document and the tenant; another tenant's documents are not told of."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    with pytest.raises(RecordNotFound, match="document of tenant default 'w9'"):
        trace(workspace, "w9")


def test_a_story_is_told_from_what_is_left(make: Make) -> None:
    """Of a checkpoint that is gone it is not known; a stage that cannot be asked says why; nothing stops the rest."""
    workspace = make()
    ident = api.submit(workspace, "shelved", engine="plain").submission.id
    for record in workspace.ledger.results(workspace.ledger.batches(ident)[0].id).values():
        for ref in record.outputs.values():
            if record.stage == "shout":
                (workspace.root / "checkpoints" / ref.digest[:2] / f"{ref.digest}{ref.suffix}").unlink()
    edit(workspace, "depends_on: [shout]}", "depends_on: [shout], config: {bad: [kept]}}")
    story = trace(workspace, "w0")
    assert made(story)[0]["shout"] == ("not known", {})
    now, before = story.kept
    assert "out of reach" in now.problem
    assert (before.kept, before.problem) == ({"books": 1}, "")


def test_a_pipeline_that_cannot_be_read_any_more_still_tells(make: Make) -> None:
    """Types and configs are then taken from the ledger's own records."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    for file in (workspace.root / "pipelines").iterdir():
        file.unlink()
    story = trace(workspace, "w0")
    assert made(story)[0]["shout"] == ("gave", {"upper": 1})
    assert [dict(one.kept) for one in story.kept] == [{"books": 1}]


def test_a_stage_type_that_is_gone_is_named(make: Make, tmp_path: Any) -> None:
    """Nobody can ask it; values of its keys are only searched for the document's id."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    for file in (workspace.root / "pipelines").iterdir():
        file.unlink()
    bare = Workspace(workspace.root, installation=type(workspace.installation)(path=[]))
    story = trace(bare, "w0")
    assert made(story)[0]["library"][0] == "gave"
    assert any("not installed any more" in one.problem for one in story.kept)
    bare.close()


def test_a_story_as_plain_values_is_json(make: Make) -> None:
    """Everything that is shown is there for programs, times in seconds."""
    workspace = make()
    api.submit(workspace, "shelved", engine="plain")
    told = json.loads(json.dumps(plain(trace(workspace, "w3"))))
    assert told["document"] == "w3"
    assert told["batches"][0]["stages"][0]["gave"] == {"words": 1}
    assert told["dead_letters"][0]["item_id"] == "w3"


def test_a_config_is_rebuilt_from_its_fields() -> None:
    """Dotted names become mappings within mappings."""
    assert nested({"a": 1, "b.c": 2, "b.d.e": [3]}) == {"a": 1, "b": {"c": 2, "d": {"e": [3]}}}
    assert nested({"": {}}) == {}
