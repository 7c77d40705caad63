"""Records of a web service, page by page: what every such source does alike.

A page of the service is read by the same format as a file with such a page in it, and is a batch. Where the service goes on
stands in the cursor, with how many records were given and how many it said there are. When they differ at the end, or a page
leads to itself, a record named ``…/paging`` is rejected, which says what is missing: what was read counts, and the next run
reads it all again.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from medical_kg import InputError, ItemRejected, Page, Rejected, Secret, TransientError
from medical_kg.documents.ir import Provenance
from medical_kg.documents.records import Payload
from medical_kg.formats.contract import DOOR as FORMATS
from medical_kg.formats.contract import BadRecord
from medical_kg.sources.contract import Count, cursor_of, limit_of, place_of, since_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from medical_kg import StageContext
    from medical_kg.formats.contract import Format, RawRecord

SCHEMES = ("http://", "https://")
BROKEN = (ValueError, AttributeError, KeyError, TypeError, RecursionError, OverflowError)
"""What looking into an answer raises that is no page of the service's: it may be nested too deeply, its total 1e999."""


class Place(NamedTuple):
    """Where a reading goes on: the service's own word for it, what it gave so far, how many it said there are.

    ``given`` counts good records, ``bad`` those that were rejected.
    """

    token: str = ""
    given: Count = 0
    bad: Count = 0
    total: Count | None = None


class Part(NamedTuple):
    """What came of one request for records: where from, its bytes, and why there are none, if so."""

    uri: str
    content: bytes = b""
    problem: str = ""


class ServicePage(NamedTuple):
    """A page as it came: its parts, the token of the next one ("" at the end), and the total if it is told.

    ``asked`` are the ids that were asked for, where it was done by ids: those that did not come are rejected by name.
    """

    parts: Sequence[Part]
    following: str
    total: int | None = None
    asked: Sequence[str] = ()


class Service:
    """A web service that gives records page by page; a subclass knows its addresses and what its pages say."""

    format: str
    """The format that reads a page."""
    most: int
    """How many records the service gives at most in a page."""

    def page(self, ctx: StageContext, address: str, place: Place, size: int) -> ServicePage:
        """Ask for a page.

        Raises:
            ItemRejected: the service refuses the query.
            TransientError: it may pass.
        """
        raise NotImplementedError

    def pull(self, ctx: StageContext, source: str, address: str, cursor: str | None, limit: int) -> Page:
        """Give the next records of a query; the arguments are those of ``Source.pull``.

        Raises:
            InputError: the service refuses the query, or finds nothing.
            TransientError: the service does not answer now.
        """
        place, most = place_of(Place, cursor), limit_of(ctx)
        room = limit if most is None else min(limit, most - place.given)
        payloads: dict[str, Payload] = {}
        rejected: list[Rejected] = []
        reader: Format = ctx.plugins.get(FORMATS, self.format)()
        while True:
            ctx.check_timeout()
            found = self._asked(ctx, address, place, min(self.most, room - len(payloads)))
            records = _records(reader, found, source, place.given + place.bad)
            before, place = place, _take(records, place, found, payloads, rejected)
            stopped = most is not None and place.given >= most
            if problem := _astray(before, place, ended=not place.token, stopped=stopped):
                rejected.append(Rejected(f"{source}:{shown(address)}/paging", f"{problem}. {AGAIN}"))
            if problem or not place.token or payloads:  # a page that was read is not asked for again
                break
        if cursor is None and not payloads and not rejected and since_of(ctx) is None:
            raise InputError(f"{shown(address)}: {source} finds nothing for this query")
        ended = bool(problem) or not place.token
        following = None if ended or stopped else cursor_of(place)
        total = place.total if most is None or place.total is None else min(most, place.total)
        return Page(list(payloads.values()), following, rejected, complete=ended and not problem, total=total)

    def _asked(self, ctx: StageContext, address: str, place: Place, size: int) -> ServicePage:
        try:
            return self.page(ctx, address, place, size)
        except ItemRejected as error:
            raise InputError(str(error)) from None


def _records(reader: Format, page: ServicePage, source: str, before: int) -> Iterator[Payload | Rejected]:
    """Give every record of a page, good or bad; bad ones are named by their number in the reading, ``before`` came first."""
    number, absent = before, dict.fromkeys(page.asked)
    for part in page.parts:
        try:
            for record in _read(reader, part):
                number += 1
                if isinstance(record, BadRecord):
                    yield Rejected(f"{source}:{part.uri}#{number}", f"{part.uri}, {record.place}: {record.reason}")
                else:
                    absent.pop(record.id, None)
                    yield _payload(record, reader.name, source, part.uri)
        except ItemRejected as error:
            number += 1
            yield Rejected(f"{source}:{part.uri}#{number}", f"{part.uri}: {error}")
    if number - before < len(page.asked):
        for ident in absent:
            yield Rejected(f"{source}:{ident}", f"{source} gives no record {ident}")


def _read(reader: Format, part: Part) -> Iterator[RawRecord | BadRecord]:
    if part.problem:
        raise ItemRejected(part.problem)
    yield from reader.records(io.BytesIO(part.content), part.uri)


def _payload(record: RawRecord, form: str, source: str, uri: str) -> Payload:
    digest = hashlib.sha256(record.content).hexdigest()
    provenance = Provenance(source=source, uri=uri, record=record.id, format=form, sha256=digest)
    return Payload(id=record.id, format=form, content=record.content, links=record.links, provenance=provenance)


AGAIN = "Run it again: what is unchanged is skipped"


def _take(
    records: Iterator[Payload | Rejected],
    place: Place,
    page: ServicePage,
    payloads: dict[str, Payload],
    rejected: list[Rejected],
) -> Place:
    """Sort the records of a page into good and bad ones, and return the place behind it."""
    good, bad = len(payloads), len(rejected)
    for record in records:
        if isinstance(record, Rejected):
            rejected.append(record)
        else:
            payloads[record.id] = record
    total = place.total if page.total is None else page.total
    return Place(page.following, place.given + len(payloads) - good, place.bad + len(rejected) - bad, total)


def _astray(before: Place, after: Place, *, ended: bool, stopped: bool) -> str:
    """Return what is wrong with how pages follow each other, or with the records in all; "" where nothing is."""
    taken, total = after.given + after.bad, after.total
    if not ended and after.token == before.token:
        return f"a page names itself as the next one ({after.token}), so what comes after it was not read"
    if not ended and taken == before.given + before.bad:
        return f"a page gives nothing new and names another one ({after.token}), so what comes after it was not read"
    if total is not None and taken > total:
        return f"the service gives more records ({taken}) than it says there are ({total}): pages repeat"
    if ended and not stopped and total is not None and taken < total:
        return f"the service says there are {total} records and gave {taken}: {total - taken} are missing"
    return ""


@contextmanager
def page_of(address: str, what: str) -> Iterator[None]:
    """Guard the reading of an answer: ``what`` it should be, such as "page of works".

    Raises:
        TransientError: it is something else, as a server's that is being mended; the next one may be right.
    """
    try:
        yield
    except BROKEN as error:
        raise TransientError(f"{shown(address)}: the answer is no {what} ({type(error).__name__})") from None


def count_of(told: Any) -> int:
    """Return how many records there are, as a service tells it: in digits, or as a number.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(told, str) and told.isascii() and told.isdecimal():
        return int(told)
    if type(told) is not int or told < 0:
        raise ValueError(told)
    return told


def address_of(ctx: StageContext, default: str, query: Mapping[str, str], ids: Sequence[str] = ()) -> str | None:
    """Return what is asked of a service: the input, if it is an address, else what the options ask for; or None."""
    given = ctx.input.get("input")
    if isinstance(given, str) and given.startswith(SCHEMES):
        return given
    return with_query(default, query) if (query or ids) and not given else None


def with_query(address: str, query: Mapping[str, str | int]) -> str:
    """Return an address with these parameters in place of those it has by the same names."""
    scheme, host, path, old, _ = urlsplit(address)
    kept = {name: value for name, value in parse_qsl(old, keep_blank_values=True) if name not in query}
    return urlunsplit((scheme, host, path, urlencode({**kept, **query}), ""))


def key_in(place: Secret | None) -> str:
    """Return the key that stands there, which nothing shows from then on; "" where no place is named.

    Raises:
        UsageError: none is there.
    """
    return place.reveal() if place else ""


def offset_of(token: str) -> int:
    """Return the number that a token is, 0 for none; raises ``InputError`` for another text."""
    if token and not (token.isascii() and token.isdecimal()):
        raise InputError(f"{token!r} is no place in a list of records")
    return int(token or 0)


def parameter(address: str, name: str) -> str:
    """Return the last value of a parameter of an address; "" where it has none."""
    return dict(parse_qsl(urlsplit(address).query)).get(name, "")


def shown(address: str) -> str:
    """Return an address without its parameters, which may be long or hold a key."""
    return address.partition("?")[0]


def read_body(ctx: StageContext, address: str, most: int, per_second: float | None = None) -> bytes:
    """Return what is at an address, of ``most`` bytes at most; ``per_second`` as for ``Http.get``."""
    with ctx.http.get(address, max_bytes=most, per_second=per_second) as found:
        return b"".join(found.chunks())
