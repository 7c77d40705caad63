"""When a pipeline is to run by itself: cron lines of five fields, as POSIX `crontab` and Dagster understand them."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from medical_kg.orchestration.contract.errors import near
from medical_kg.orchestration.contract.moments import moment_of

if TYPE_CHECKING:
    from medical_kg.orchestration.pipeline.problems import Path, Problem
    from medical_kg.orchestration.pipeline.tree import Tree

ORDER = "the fields are minute, hour, day of month, month, day of week: '0 3 * * *' is every day at 3:00"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
PART = re.compile(r"(?P<first>\*|[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?(?:/(?P<step>[0-9]+))?")
LEAP_YEAR = 2000


class Field(NamedTuple):
    """One of the five: what it is called, its smallest and largest number, and names that stand for numbers."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, written: str) -> int:
        """Return what a number or a name stands for.

        Raises:
            ValueError: it is neither, or too small or too large.
        """
        if written in self.names:
            return self.names.index(written) + self.low
        if not written.isdecimal() or not self.low <= int(written) <= self.high:
            msg = f"{written!r} is no {self.name}, which is {self.low} to {self.high}"
            raise ValueError(msg)
        return int(written)


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 7, DAYS),
)


def check_cron(line: str) -> None:
    """Check that a cron line means something, and that a month it names has a day it names.

    Raises:
        ValueError: it says what is wrong.
    """
    written = line.lower().split()
    if len(written) != len(FIELDS):
        msg = f"a cron line has five fields, not {len(written)}"
        raise ValueError(msg)
    _, _, days, months, _ = (_values(field, text) for field, text in zip(FIELDS, written, strict=True))
    if min(days) > max(calendar.monthrange(LEAP_YEAR, month)[1] for month in months):
        msg = f"no such month has a day {min(days)}"
        raise ValueError(msg)


def _values(field: Field, text: str) -> set[int]:
    return {number for part in text.split(",") for number in _numbers(field, part)}


def _numbers(field: Field, part: str) -> Iterator[int]:
    found = PART.fullmatch(part)
    if found is None or (found["first"] == "*" and found["last"]):
        msg = f"{part!r} is no {field.name}: write a number, a range such as 1-5, * or */5"
        raise ValueError(msg)
    yield from range(*_range(field, part, found["first"], found["last"], found["step"]))


def _range(field: Field, part: str, first: str, last: str | None, step: str | None) -> tuple[int, int, int]:
    low = field.low if first == "*" else field.number(first)
    if last is not None:
        high = field.number(last) or (field.high if field.names is DAYS else 0)
    else:
        high = field.high if first == "*" or step else low
    if high < low:
        msg = f"the range {part!r} of the {field.name} ends before it begins; write two, with a comma"
        raise ValueError(msg)
    every = int(step or 1)
    if not 1 <= every <= max(field.high - field.low, 1):
        msg = f"{part!r} steps by {every}, and the {field.name} is {field.low} to {field.high}"
        raise ValueError(msg)
    return low, high + 1, every


def zone(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database.

    Raises:
        ValueError: there is none of this name.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"{name!r} is no time zone"
        raise ValueError(msg) from error


def check_schedule(tree: Tree) -> list[Problem]:
    """Return problems with what a pipeline file says of its schedule; a wrong kind of value is not judged here."""
    given = tree.value.get("schedule")
    around: Path = ("schedule", "cron") if isinstance(given, dict) else ("schedule",)
    told = given if isinstance(given, dict) else {"cron": given}
    cron, zone_name, since = told.get("cron"), told.get("timezone"), told.get("since")
    problems = []
    if isinstance(cron, str) and cron:
        try:
            check_cron(cron)
        except ValueError as error:
            problems.append(tree.problem("MKG071", f"schedule {cron!r}: {error}", around, ORDER))
    if isinstance(zone_name, str) and zone_name:
        try:
            zone(zone_name)
        except ValueError as error:
            problems.append(tree.problem("MKG071", f"schedule: {error}", ("schedule", "timezone"), _advice(zone_name)))
    if isinstance(since, str) and since and since != "last":
        try:
            moment_of(since)
        except ValueError as error:
            advice = "write 'last' for what was updated since the last reading"
            problems.append(tree.problem("MKG071", f"schedule: {error}", ("schedule", "since"), advice))
    return problems


def _advice(zone_name: str) -> str:
    # There are too many to list them.
    found = near(zone_name, available_timezones())
    return found if "?" in found else "write a name of the IANA database, such as Europe/Berlin, or UTC"
