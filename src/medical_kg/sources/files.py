"""Records in files: one folder, one dump or one document, whatever the installed formats recognise."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from medical_kg import InputError, ItemRejected, Page, PluginName, Rejected
from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Payload
from medical_kg.documents.validate import findings
from medical_kg.formats.contract import DOOR as FORMATS
from medical_kg.formats.contract import BadRecord, Format, RawRecord, file_id
from medical_kg.orchestration.contract.errors import PluginError, near
from medical_kg.sources.contract import Count, Source, SourceOptions, cursor_of, limit_of, place_of, since_of
from medical_kg.sources.opened import open_file, what_it_is
from medical_kg.sources.walk import Found, find_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medical_kg import StageContext

GIBIBYTE = 1024**3
SHOWN = 3


class FilesOptions(SourceOptions):
    """Options of the sources that read files."""

    formats: tuple[Annotated[str, PluginName(FORMATS)], ...] = Field(
        default=(),
        description="only these formats; native ones, such as pdf, are taken only when named, or with native",
    )
    native: bool = Field(
        default=False,
        description="also formats that are read by native code, for pipelines whose parse runs in an environment",
    )
    glob: str | None = Field(default=None, description="only files whose path matches, e.g. *.json")
    max_file_bytes: int = Field(
        default=2 * GIBIBYTE, ge=1, description="the most bytes one file may have after unpacking"
    )


class Place(NamedTuple):
    """Where a pull goes on: a file, how many of its records are done, and how many payloads were given in all."""

    file: str = ""
    done: Count = 0
    given: Count = 0


class Event(NamedTuple):
    """One record of the input, good or bad, and the place behind it."""

    record: Payload | Rejected
    file: str
    done: int


class Reading:
    """The input as it is being read, one event looked ahead, so that the last page knows that it is the last."""

    def __init__(self, events: Iterator[Event]) -> None:
        """Read from ``events``."""
        self._events = events
        self._next = next(events, None)

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._next is None

    def take(self) -> Event:
        """Return the next event."""
        event, self._next = self._next, next(self._events, None)
        assert event is not None  # noqa: S101  # callers look at ended first
        return event


class FilesSource(Source):
    """Reads every record of the files under ``input``, in the order of their paths.

    The format of a file is found by asking the installed formats, those that are a last resort at the end. What cannot
    be read is rejected with file and reason, and the rest goes on. Of records with one id the last that is sound counts, as
    in PubMed's update files: within a page here, over pages because the later one replaces the earlier in the stores.
    """

    name: ClassVar[str] = "files"
    reads: ClassVar[tuple[str, ...]] = ()
    """The formats this source takes; empty for all. A file of another one is rejected."""
    options_model: ClassVar[type[SourceOptions]] = FilesOptions
    options: FilesOptions

    def __init__(self, options: dict[str, Any]) -> None:
        """Validate the options; nothing is opened yet."""
        super().__init__(options)
        self._reading: tuple[tuple[str, ...], Reading] | None = None

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Give the next page; see ``Source.pull``."""
        top, most = _input(ctx), limit_of(ctx)
        place = place_of(Place, cursor)
        reading = self._resume(ctx, top, place)
        payloads: dict[str, Payload] = {}
        rejected: list[Rejected] = []
        room = limit if most is None else min(limit, most - place.given)
        repeated = 0
        while not reading.ended and len(payloads) < room and (not payloads or len(rejected) < limit):
            ctx.check_timeout()
            event = reading.take()
            if isinstance(event.record, Rejected):
                rejected.append(event.record)
            elif event.record.id in payloads and (unsound := self._unsound(ctx, event.record, event)):
                rejected.append(unsound)
            else:
                repeated += payloads.pop(event.record.id, None) is not None
                payloads[event.record.id] = event.record
            place = Place(event.file, event.done, place.given)
        place = place._replace(given=place.given + len(payloads))
        if cursor is None and not payloads and since_of(ctx) is None:
            raise InputError(self._nothing(ctx, top, rejected))
        if repeated:
            ctx.logger.info("%d records were repeated in this batch; the last of each counts", repeated)
        following = self._leave(ctx, top, reading, place, most)
        return Page(list(payloads.values()), following, rejected, complete=following is None and reading.ended)

    def close(self) -> None:
        """Stop reading."""
        self._reading = None

    def _unsound(self, ctx: StageContext, payload: Payload, event: Event) -> Rejected | None:
        """Look into a record that would take another's place, since later stages would reject it and nothing would be left.

        What native code reads is not looked into here; its records are whole files, whose ids are their own.
        """
        chosen = ctx.plugins.get(FORMATS, payload.format)()
        if chosen.native:
            return None
        try:
            errors = [one for one in findings(chosen.parse(payload)) if one.severity == "error"]
            reason = f"{payload.id}: {'; '.join(map(str, errors))}" if errors else ""
        except ItemRejected as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  # where documents are made, it would cost this record alone too
            reason = f"{payload.id}: {type(error).__name__}: {' '.join(str(error).split())}"
        kept = "an earlier record of this id is kept"
        return Rejected(file_id(event.file, event.done), f"{event.file}: {reason}; {kept}") if reason else None

    def _resume(self, ctx: StageContext, top: Path, place: Place) -> Reading:
        key = (ctx.submission_id, str(top), cursor_of(place))
        kept, self._reading = self._reading, None
        if kept is not None and kept[0] == key and place != Place():
            return kept[1]
        return Reading(self._events(ctx, top, place))

    def _leave(self, ctx: StageContext, top: Path, reading: Reading, place: Place, most: int | None) -> str | None:
        if reading.ended or (most is not None and place.given >= most):
            return None
        self._reading = ((ctx.submission_id, str(top), cursor_of(place)), reading)
        return cursor_of(place)

    def _events(self, ctx: StageContext, top: Path, place: Place) -> Iterator[Event]:
        formats = self._formats(ctx)
        since = since_of(ctx)
        for found in find_files(top, self.options.glob, place.file):
            if since is not None and not found.changed_since(since.timestamp()):
                continue
            skip = place.done if found.name == place.file else 0
            for done, record in enumerate(self._file(found, formats), start=1):
                if done > skip:
                    yield Event(record, found.name, done)

    def _file(self, found: Found, formats: dict[str, Format]) -> Iterator[Payload | Rejected]:
        number = 0
        try:
            for number, record in enumerate(self._records(found, formats), start=1):
                yield self._payload(*record, found.name, number)
        except ItemRejected as error:
            after = f" (after {number} records)" if number else ""
            yield Rejected(file_id(found.name), f"{found.name}: {error}{after}")

    def _records(self, found: Found, formats: dict[str, Format]) -> Iterator[tuple[RawRecord | BadRecord, Format]]:
        if found.problem:
            raise ItemRejected(found.problem)
        with open_file(found.path, self.options.max_file_bytes) as stream:
            chosen = self._recognise(stream.head(), found.name, formats)
            for record in chosen.records(stream, found.name):
                yield record, chosen

    def _payload(self, record: RawRecord | BadRecord, chosen: Format, name: str, number: int) -> Payload | Rejected:
        if isinstance(record, BadRecord):
            return Rejected(file_id(name, number), f"{name}, {record.place}: {record.reason}")
        provenance = Provenance(
            source=self.name,
            uri=name,
            record=record.id,
            format=chosen.name,
            sha256=hashlib.sha256(record.content).hexdigest(),
        )
        return Payload(
            id=record.id, format=chosen.name, content=record.content, links=record.links, provenance=provenance
        )

    def _recognise(self, head: bytes, name: str, formats: dict[str, Format]) -> Format:
        chosen = next((one for one in formats.values() if one.sniff(head, name)), None) if head.strip() else None
        if chosen is None:
            asked = f" (asked: {', '.join(formats)})" if head.strip() else ""
            raise ItemRejected(what_it_is(head) + asked)
        if self._wanted() and chosen.name not in self._wanted():
            raise ItemRejected(f"it is {chosen.name}; {self._takes()}")
        return chosen

    def _formats(self, ctx: StageContext) -> dict[str, Format]:
        names = ctx.plugins.names(FORMATS)
        possible = tuple(name for name in names if not self.reads or name in self.reads)
        for name in self._wanted():
            if name not in possible:
                raise InputError(f"source {self.name!r} reads no format {name!r}; {near(name, possible)}")
        loaded: dict[str, Format] = {}
        for name in names:
            try:
                found = ctx.plugins.get(FORMATS, name)()
                if name in self._wanted() or self.options.native or not found.native:
                    loaded[name] = found
            except PluginError as error:
                if name in self._wanted():
                    raise
                ctx.logger.warning("format %s is left out: %s", name, error)
        return dict(sorted(loaded.items(), key=lambda item: (item[1].last_resort, item[0])))

    def _wanted(self) -> tuple[str, ...]:
        return self.options.formats or self.reads

    def _takes(self) -> str:
        return f"source {self.name!r} reads {', '.join(self._wanted())} here"

    def _nothing(self, ctx: StageContext, top: Path, rejected: list[Rejected]) -> str:
        wanted = ", ".join(self._wanted() or self._formats(ctx))
        matching = f" matching {self.options.glob!r}" if self.options.glob else ""
        looked = f"{top}: found no record to read; looked for files{matching} of format {wanted}"
        if not rejected:
            return f"{looked}, and there are none (hidden files, links and README files are passed over)"
        reasons = "\n".join(f"  {one.reason}" for one in rejected[:SHOWN])
        more = f"\n  … and {len(rejected) - SHOWN} more" if len(rejected) > SHOWN else ""
        return f"{looked}; rejected:\n{reasons}{more}"


class AutoSource(FilesSource):
    """The same under the name that old pipelines use: takes whatever it recognises."""

    name: ClassVar[str] = "auto"


def _input(ctx: StageContext) -> Path:
    given = ctx.input.get("input")
    if not isinstance(given, str) or not given:
        raise InputError("no input was given; name a folder or file with --input")
    top = Path(given)
    if "://" in given:
        raise InputError(
            f"input {given!r} is an address, and this source reads files; name a folder or file with --input"
        )
    if not top.exists():
        raise InputError(
            f"input {given!r} does not exist (looked from {Path.cwd()}); name a folder or file with --input"
        )
    if not top.is_dir() and not top.is_file():
        raise InputError(f"input {given!r} is neither a folder nor a regular file")
    return top
