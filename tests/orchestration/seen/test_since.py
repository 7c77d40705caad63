"""``--since``: only what was updated is asked for, and what is not asked for is not taken for gone."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from library import LIBRARY, Library, Shelf
from postgres_server import PostgresServer
from support import Word

from medical_kg import InputError, Page
from medical_kg.orchestration import api
from medical_kg.orchestration.submissions import open_submission
from medical_kg.testing import FakeClock

DAY = 24 * 3600
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


class Diary(Shelf):
    """Gives words that were written since the time that it is asked for; a file without words cannot be read."""

    asked: ClassVar[list[str | None]] = []

    def pull(self, ctx: Any, cursor: str | None, limit: int) -> Page:
        self.asked.append(since := ctx.input.get("updated_since"))
        written = json.loads(Path(ctx.input["input"]).read_text(encoding="utf-8"))
        begin = datetime.fromisoformat(since or "2000-01-01T00:00Z")
        mine = [(name, text) for name, (text, at) in written if datetime.fromisoformat(at) >= begin]
        words = [Word(id=name, root=name, text=text) for name, text in mine]
        end = int(ctx.input.get("limit", len(words)))
        return Page(words[:end], complete=end >= len(words) and bool(self.config.number), total=len(words))


class Kept(Library):
    """The library with a diary, at a fake time."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(NOON)
        super().__init__(folder, LIBRARY, shelf=Diary, clock=self.clock)
        Diary.asked.clear()

    def write_at(self, **words: str) -> None:
        at = datetime.fromtimestamp(self.clock.now(), UTC).isoformat()
        before = json.loads(self.file.read_text()) if self.file.exists() else []
        self.write(*before, *((name, [text, at]) for name, text in words.items()))  # type: ignore[arg-type]  # as JSON

    def since(self, since: str = "last", **more: Any) -> tuple[int, int, int]:
        """Run it three days later."""
        self.clock.advance(3 * DAY)
        return self.run(since=since, **more)


@pytest.fixture(params=["sqlite", "postgres"])
def diary(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.serve(tmp_path)
    return Kept(tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_only_what_was_updated_since_the_last_reading_is_asked_for(diary: Kept) -> None:
    """Everything at first; then from a day before the last reading on, and nothing else is taken for gone."""
    diary.write_at(a="one", b="two")
    assert diary.since() == (0, 2, 0)
    diary.write_at(c="three")
    assert diary.since() == (0, 1, 0)
    assert diary.since() == (0, 0, 0)
    assert Diary.asked == [None, "2026-11-22T12:00:00+00:00", "2026-11-25T12:00:00+00:00"]
    assert sorted(diary.kept) == ["a", "b", "c"]
    assert diary.last.submission.input["since"] == "last"


@pytest.mark.parametrize("why", ["a limit", "not complete", "another input", "another tenant", "an edit", "cancelled"])
def test_only_a_reading_that_ended_counts(local: Kept, why: str, tmp_path: Path) -> None:
    """Of the same input and tenant, by the pipeline as it is, with nothing left undone; else everything is asked for."""
    local.write_at(a="one", b="two", c="three")
    if why == "not complete":
        local.edit("type: shelf}", "type: shelf, config: {number: 0}}")
    if why == "cancelled":
        local.edit("bad: []", "bad: [a]")
        local.edit("batch_size: 4", "batch_size: 4\nmax_failed_items: 0")
    other = tmp_path / "other.json"
    other.write_text(local.file.read_text())
    more: dict[str, Any] = {
        "a limit": {"limit": 2},
        "another tenant": {"tenant": "else"},
        "another input": {"input": other},
    }
    local.since(**more.get(why, {}))
    if why == "an edit":
        local.edit("bad: []", "bad: [z]")
    if why == "cancelled":
        local.workspace.ledger.cancel(local.last.submission.id, "me")
    local.since()
    assert Diary.asked[-1] is None


def test_a_day_or_time_may_be_given(local: Kept) -> None:
    """In UTC, unless it says otherwise; it is asked for just so."""
    local.write_at(a="one")
    local.clock.advance(DAY)
    local.write_at(b="two")
    assert local.since("2026-11-21") == (0, 1, 0)
    api.submit(local.workspace, "library", engine="plain", input=local.file, since=date(2026, 11, 20))
    assert local.since("2026-11-20T14:00+02:00") == (2, 0, 0)
    assert Diary.asked == ["2026-11-21T00:00:00+00:00", "2026-11-20T00:00:00+00:00", "2026-11-20T14:00:00+02:00"]


def test_another_word_is_refused(local: Kept) -> None:
    """With what may stand there, and nothing is opened."""
    local.write_at(a="one")
    with pytest.raises(
        InputError, match="since must be 'last', or a day or time: 'yesterday' is no day or time such as"
    ):
        local.since("yesterday")
    assert local.workspace.ledger.submissions() == []


def test_what_is_gone_is_noticed_by_a_full_reading(local: Kept) -> None:
    """A part of the input says nothing of the rest."""
    local.write_at(a="one", b="two")
    local.since()
    local.file.write_text(json.dumps(json.loads(local.file.read_text())[1:]))
    assert local.since(max_removed="100%") == (0, 0, 0)
    assert sorted(local.kept) == ["a", "b"]
    assert local.run() == (1, 0, 1)


def test_an_unfinished_one_is_taken_up(local: Kept) -> None:
    """Asked for again, it is the same submission, and asks from the time it began with, whatever was read meanwhile."""
    local.write_at(a="one")
    local.since()
    first = open_submission(local.workspace, "library", input=local.file, since="last")
    local.clock.advance(3 * DAY)
    local.run()
    again = open_submission(local.workspace, "library", input=local.file, since="last")
    assert (again.id, again.input) == (first.id, first.input)
    assert "updated_since" in first.input


def test_the_total_is_told(local: Kept) -> None:
    """What the source says of it stands in the report."""
    local.write_at(a="one", b="two")
    local.since(limit=1)
    assert local.last.sweep is not None
    assert local.last.sweep.total == 2
