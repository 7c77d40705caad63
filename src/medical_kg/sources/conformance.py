"""The rules that every source must keep, as a class to subclass with one fixture; needs pytest.

::

    class TestMySource(SourceConformance):
        @pytest.fixture
        def case(self, tmp_path: Path) -> SourceCase:
            return SourceCase(MySource, {"input": "https://api.example.org/x"}, ["x:1", "x:2", "x:3"], services={"http": http})

Each rule is a test; one that does not apply is skipped with the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from medical_kg import InputError, Model, Page, Stage, StageMetadata
from medical_kg.documents.keys import PAYLOADS
from medical_kg.testing.harness import opened_stage

if TYPE_CHECKING:
    from medical_kg import StageContext
    from medical_kg.documents.records import Payload
    from medical_kg.sources.contract import Source

NO_CURSORS = ("", " ", "x", "0", "-1", "null", "{}", "[]", "[[]]", '["", -1, 0]', '["", true, 0, null]')
"""Texts that no source gives as a cursor for its next page."""
MORE = 10
"""A source that has given so many pages more than there are records goes round in circles."""
FAR = "2999-01-01T00:00:00+00:00"
"""Nothing was updated since then."""


class Feed(Stage[Model]):
    """Stands for the stage that a source is pulled by."""

    metadata = StageMetadata(
        stage_type="feed",
        version="1.0",
        description="Feeds.",
        writes=(PAYLOADS,),
        mode="stream",
        needs=("http", "plugins"),
    )


@dataclass(frozen=True)
class SourceCase:
    """A source and what it is tried on.

    Attributes:
        source: the class.
        input: what ``ctx.input`` holds; its records must not change while they are read.
        records: the ids of all its records, in order; three or more.
        options: the source's own.
        empty: an input of the same kind without any record.
        incremental: set where nothing of the input counts as updated since the year 2999; else that rule is left out.
        services: in place of the fakes, by name.
    """

    source: type[Source]
    input: Mapping[str, Any]
    records: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    empty: Mapping[str, Any] | None = None
    incremental: bool = False
    services: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def opened(self, **more: Any) -> Iterator[tuple[Source, StageContext]]:
        """Give a new source, as in a new process, and its context; ``more`` goes into its input."""
        source = self.source(self.options)
        with opened_stage(Feed, input={**self.input, **more}, services=self.services) as stage:
            yield source, stage.ctx
        source.close()

    def read(self, size: int, *, restart: bool = False, **more: Any) -> list[Page]:
        """Return all pages of such a size; with ``restart`` each from a source of its own, as after a kill."""
        pages: list[Page] = []
        cursor: str | None = None
        while not pages or cursor is not None:
            assert len(pages) < len(self.records) + MORE, "the pages do not end"
            with self.opened(**more) as (source, ctx):
                pages.append(source.pull(ctx, cursor, size))
                while not restart and pages[-1].cursor is not None and len(pages) < len(self.records) + MORE:
                    pages.append(source.pull(ctx, pages[-1].cursor, size))
            cursor = pages[-1].cursor
        return pages


def payloads(pages: Sequence[Page]) -> list[Payload]:
    """Return the records of some pages."""
    return [payload for page in pages for payload in page.output]


class SourceConformance:
    """The conformance suite: subclass it, and give the fixture ``case``."""

    @pytest.fixture
    def case(self) -> SourceCase:
        """Give the source and what it is tried on."""
        raise NotImplementedError

    @pytest.mark.parametrize("limit", [1, 2, 1000])
    @pytest.mark.parametrize("restart", [False, True])
    def test_every_record_is_given_once(self, case: SourceCase, limit: int, restart: bool) -> None:  # noqa: FBT001  # a case
        """In order, whatever a batch holds, and also where each page is pulled by a new process."""
        pages = case.read(limit, restart=restart)
        assert [payload.id for payload in payloads(pages)] == list(case.records)
        assert [one.reason for page in pages for one in page.rejected] == []

    def test_pages_keep_to_the_limit(self, case: SourceCase) -> None:
        """None is larger, and none is empty but the last."""
        pages = case.read(2)
        assert all(len(page.output) <= 2 for page in pages)  # noqa: PLR2004  # as asked for
        assert all(page.output for page in pages[:-1])

    def test_the_last_page_says_that_this_is_all(self, case: SourceCase) -> None:
        """And no other does."""
        pages = case.read(2)
        assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]

    def test_a_page_can_be_pulled_again(self, case: SourceCase) -> None:
        """A run that was killed before it was stored pulls it once more: the same records, and the same next page."""
        with case.opened() as (source, ctx):
            first = source.pull(ctx, None, 2)
            second = source.pull(ctx, first.cursor, 2)
        with case.opened() as (source, ctx):
            again = source.pull(ctx, first.cursor, 2)
        assert (again.output, again.cursor) == (second.output, second.cursor)

    def test_a_limit_of_the_submission_ends_the_reading(self, case: SourceCase) -> None:
        """After so many records, and what was not read is not taken for gone."""
        pages = case.read(1, limit=2)
        assert [payload.id for payload in payloads(pages)] == list(case.records[:2])
        assert not any(page.complete for page in pages)

    def test_records_say_where_they_come_from(self, case: SourceCase) -> None:
        """By source, address, id, format and the digest of their bytes."""
        for payload in payloads(case.read(1000)):
            origin = payload.provenance
            assert (origin.source, origin.record, origin.format) == (case.source.name, payload.id, payload.format)
            assert origin.sha256 == hashlib.sha256(payload.content).hexdigest()
            assert origin.uri

    @pytest.mark.parametrize("cursor", NO_CURSORS)
    def test_what_is_no_cursor_is_refused(self, case: SourceCase, cursor: str) -> None:
        """Rather than read from somewhere else."""
        with case.opened() as (source, ctx), pytest.raises(InputError):
            source.pull(ctx, cursor, 2)

    def test_nothing_to_read_is_told(self, case: SourceCase) -> None:
        """An input without a record is more likely a mistake than meant."""
        if case.empty is None:
            pytest.skip("the case has no empty input")
        with case.opened(**case.empty) as (source, ctx), pytest.raises(InputError):
            source.pull(ctx, None, 2)

    def test_nothing_updated_is_no_mistake(self, case: SourceCase) -> None:
        """A reading of what was updated since may find nothing, and has then ended."""
        if not case.incremental:
            pytest.skip("the case is not incremental")
        (page,) = case.read(2, updated_since=FAR)
        assert (list(page.output), page.cursor, page.complete) == ([], None, True)

    def test_unknown_options_are_refused(self, case: SourceCase) -> None:
        """With the known ones."""
        with pytest.raises(InputError, match="known options"):
            case.source({**case.options, "no such option": 1})

    def test_closing_twice_does_no_harm(self, case: SourceCase) -> None:
        """As after a failure while it was closed."""
        with case.opened() as (source, ctx):
            source.pull(ctx, None, 1)
            source.close()
