"""The same input again: what is unchanged is skipped, what is gone is removed, and nothing is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from library import SEVEN, Library, shelf_of

from medical_kg import InputError
from medical_kg.orchestration import api
from medical_kg.orchestration.ledger.sweeps import Sweep
from medical_kg.orchestration.submissions import open_submission


def test_what_is_unchanged_is_skipped_and_what_is_gone_is_removed(library: Library) -> None:
    """Each run says how many records were unchanged, new or changed, and removed; order does not matter."""
    library.write(*SEVEN)
    assert library.run() == (0, 7, 0)
    assert library.run() == (7, 0, 0)
    library.write(*reversed(SEVEN[1:-1]), ("b2", "new"), ("g", "other"))
    assert library.run() == (5, 2, 1)
    assert library.kept == {**{name: f"WORD {name.upper()}" for name in "bcdef"}, "b2": "NEW", "g": "OTHER"}
    assert library.run() == (7, 0, 0)


@pytest.mark.parametrize("engine", ["plain", "dagster"])
def test_both_engines_skip_alike(local: Library, engine: api.EngineName) -> None:
    """It is the ledger that knows what was seen."""
    local.write(*SEVEN)
    local.run(engine=engine)
    local.write(*SEVEN[1:], ("h", "new"))
    assert local.run(engine=engine) == (6, 1, 1)
    assert sorted(local.kept) == list("bcdefgh")


def test_an_unchanged_input_is_one_batch_however_many_pages_it_has(local: Library) -> None:
    """Pages of which nothing is left go on with the next one; a full page closes the batch."""
    local.write(*((f"w{n}", "x") for n in range(30)))
    local.run()
    assert len(local.last.batches) == 8
    assert local.run() == (30, 0, 0)
    assert len(local.last.batches) == 1
    local.write(*((f"w{n}", "x" if n % 2 else "y") for n in range(30)))
    assert local.run() == (15, 15, 0)
    assert len(local.last.batches) == 5


def test_a_changed_pipeline_runs_everything_again(local: Library) -> None:
    """Config and behaviour version are part of the fingerprint; a comment, the description and policies are not."""
    local.write(*SEVEN)
    local.run()
    local.edit('version: "1"\n', 'version: "1"\nmetadata: {description: Words.}  # a comment\n')
    assert local.run() == (7, 0, 0)
    local.edit("bad: []", "bad: [z]")
    assert local.run() == (0, 7, 0)
    assert local.run() == (7, 0, 0)


def test_a_full_refresh_processes_everything(local: Library) -> None:
    """What is gone is removed all the same."""
    local.write(*SEVEN)
    local.run()
    local.write(*SEVEN[1:])
    assert local.run(full_refresh=True) == (0, 6, 1)


def test_a_root_that_fails_keeps_what_was_kept_and_is_tried_again(library: Library) -> None:
    """A record with a dead letter does not count as seen; a replay that resolves it makes it so."""
    library.edit("bad: []", "bad: [c]")
    library.write(*SEVEN)
    library.run()
    assert "c" not in library.kept
    assert library.run() == (6, 1, 0)
    library.edit("bad: [c]", "bad: []")
    library.run()
    assert library.kept["c"] == "WORD C"
    library.edit("bad: []", "bad: [d]")
    library.write(*((name, f"{text} again") for name, text in SEVEN))
    library.run()
    assert library.kept["d"] == "WORD D"
    library.write(*((name, f"{text} again") for name, text in SEVEN if name != "a"))
    assert library.run() == (5, 1, 1)
    assert library.kept["d"] == "WORD D"


def test_a_resolved_replay_counts_as_seen(library: Library) -> None:
    """After the replay of its dead letter, the record is unchanged for the next run of the same pipeline."""
    library.edit("bad: []", "bad: [c]")
    library.write(*SEVEN)
    library.run()
    ident = library.last.submission.id
    library.edit("bad: [c]", "bad: []")
    assert api.replay(library.workspace, ident, engine="plain").submission.status == "completed"
    assert library.kept["c"] == "WORD C"
    assert library.run() == (1, 6, 0)  # the others were processed by the former config
    assert library.run() == (7, 0, 0)


def test_a_replay_from_the_input_takes_on_what_it_reads(local: Library) -> None:
    """It finds its record on whatever page it is by then, and what it read is what was seen."""
    local.edit("batch_size: 4", "batch_size: 2")
    local.write(*SEVEN)
    local.run()
    local.write(*SEVEN[:-1], ("g", None))
    assert local.run() == (6, 0, 0)
    assert local.last.dead_letters == 1
    assert local.kept["g"] == "WORD G"
    ident = local.last.submission.id
    local.write(*SEVEN[:-1], ("g", "mended"))
    api.replay(local.workspace, ident, engine="plain", from_input=True)
    assert local.kept["g"] == "MENDED"
    assert local.run() == (7, 0, 0)


def test_nothing_is_removed_after_a_partial_sweep(local: Library) -> None:
    """With a limit, or where the source does not say that it gave everything, absence says nothing."""
    local.write(*SEVEN)
    local.run()
    local.write(*SEVEN[2:])
    assert local.run(limit=3) == (3, 0, 0)
    local.edit("type: shelf}", "type: shelf, config: {number: 0}}")
    assert local.run() == (0, 5, 0)
    assert len(local.kept) == 7


def test_too_many_are_not_removed(library: Library) -> None:
    """Above the pipeline's share nothing is removed, loudly; a run that allows it removes them."""
    library.write(*SEVEN)
    library.run()
    library.write(*SEVEN[:3])
    assert library.run() == (3, 0, 0)
    found = library.last.sweep
    assert found is not None
    assert found.withheld == 4
    assert found.reason.startswith("4 of 7 records seen before are absent from the source now (d, e, f and 1 more)")
    assert "max_removed_items is 50%" in found.reason
    assert "--max-removed 4" in found.reason
    assert len(library.kept) == 7
    assert library.run(max_removed=4) == (3, 0, 4)
    assert sorted(library.kept) == list("abc")
    library.edit("batch_size: 4", "batch_size: 4\nmax_removed_items: 0")
    library.write(*SEVEN[:2])
    assert library.run() == (2, 0, 0)
    assert library.last.sweep == Sweep(unchanged=2, withheld=1, reason=library.last.sweep.reason)  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [-1, "lots", "200%", True])
def test_a_wrong_share_is_refused(local: Library, wrong: Any) -> None:
    """It is a number or a percentage."""
    with pytest.raises(InputError, match="max_removed must be a whole number from 0, or a percentage"):
        local.run(max_removed=wrong)


def test_a_rejected_record_may_hide_what_is_missing(library: Library) -> None:
    """While an unknown record cannot be read nothing is removed; one that was unreadable before hides nothing."""
    library.write(*SEVEN, ("odd", None))
    assert library.run() == (0, 7, 0)
    library.write(*SEVEN[1:], ("odd", None))
    assert library.run() == (6, 0, 1)
    library.write(*SEVEN[2:], ("odd", None), ("broken", None))
    assert library.run() == (5, 0, 0)
    assert library.last.sweep is not None
    assert "what could not be read may hold them: broken;" in library.last.sweep.reason
    library.write(*SEVEN[2:], ("b", None))
    assert library.run() == (5, 0, 0)
    assert library.last.sweep == Sweep(unchanged=5, pages=2)
    library.write(*SEVEN[2:])
    assert library.run() == (5, 0, 1)


def test_a_root_that_comes_twice_ends_as_its_last(local: Library) -> None:
    """On one page or on several, at the first run and at the next."""
    local.write(("a", "one"), *SEVEN[1:6], ("a", "two"))
    for _ in range(2):
        local.run()
        assert local.kept["a"] == "TWO"
    local.write(*SEVEN[1:6], ("a", "two"))
    assert local.run() == (6, 0, 0)


def test_a_newer_submission_wins(library: Library) -> None:
    """What a newer submission has found is left to it; what an older one has in hand is not skipped by a newer one."""
    other = library.file.with_name("other.json")
    other.write_text(json.dumps([("a", "older")]), encoding="utf-8")
    library.write(("a", "word"))
    older = open_submission(library.workspace, "library", input=other)
    assert library.run() == (0, 1, 0)
    report = api.resume(library.workspace, older.id, engine="plain")
    assert report.sweep == Sweep(unchanged=1)
    assert library.kept == {"a": "WORD"}
    assert library.run() == (1, 0, 0)


def test_two_inputs_do_not_remove_each_others_records(local: Library) -> None:
    """A record belongs to the input that it was found in last."""
    local.write(*SEVEN)
    local.run()
    other = local.file.with_name("other.json")
    other.write_text(json.dumps([("x", "one"), ("a", "word a")]), encoding="utf-8")
    assert local.run(input=other) == (1, 1, 0)
    local.write(*SEVEN[1:])
    assert local.run() == (6, 0, 0)
    assert len(local.kept) == 8


def test_tenants_see_nothing_of_each_other(library: Library) -> None:
    """The same records in two tenants are two submissions; each removes its own."""
    library.write(*SEVEN)
    assert library.run(tenant="one") == (0, 7, 0)
    assert library.run(tenant="two") == (0, 7, 0)
    library.write(*SEVEN[1:])
    assert library.run(tenant="one") == (6, 0, 1)
    kept = {name: shelf_of(library.workspace.of_tenant(name).root, name) for name in ("one", "two")}
    assert {name: sorted(words) for name, words in kept.items()} == {"one": [*"bcdefg"], "two": [*"abcdefg"]}
