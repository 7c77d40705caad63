"""Cron lines and time zones: what is taken, what is refused, and that Dagster takes all that is taken here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st

from medical_kg.orchestration.pipeline.check import CheckResult
from medical_kg.orchestration.pipeline.cron import check_cron

TAKEN = [
    "0 3 * * *",
    "*/15 0-6,22-23 * * *",
    "5/10 0 1,15 JAN-Mar,12 *",
    "0 0 29 2 *",
    "0 0 * * sat-sun",
    "0 0 * * 0-7/2",
]
REFUSED = {
    "daily": "five fields, not 1",
    "0 0 3 * * *": "five fields, not 6",
    "60 * * * *": "'60' is no minute, which is 0 to 59",
    "* 24 * * *": "'24' is no hour",
    "* * 0 * *": "'0' is no day of month",
    "* * * mon *": "'mon' is no month",
    "* * * * 8": "'8' is no day of week",
    "* * * * 1-": "write a number, a range",
    "*-5 * * * *": "write a number, a range",
    "* 22-2 * * *": "ends before it begins",
    "*/0 * * * *": "steps by 0",
    "*/90 * * * *": "steps by 90",
    "* * 30-31 2 *": "no such month has a day 30",
    "* * 31 2,4,jun *": "no such month has a day 31",
    "1,,2 * * * *": "write a number, a range",
    "٣ * * * *": "write a number, a range",
    "* * L * *": "'l' is no day of month",
}

NUMBERS = st.integers(0, 65).map(str)
NAMES = st.sampled_from(["mon", "SUN", "sat", "feb", "Dec", "*", "7", "31", "L"])
ATOMS = NUMBERS | NAMES
PARTS = ATOMS | st.builds("{}-{}".format, ATOMS, ATOMS) | st.builds("{}/{}".format, ATOMS | st.just("1-6"), NUMBERS)
FIELDS = st.lists(PARTS, min_size=1, max_size=3).map(",".join)
LINES = st.tuples(*[st.just("*") | FIELDS] * 5).map(" ".join)


@pytest.mark.parametrize("line", TAKEN)
def test_a_line_of_five_fields_is_taken(line: str) -> None:
    """Numbers, names, lists, ranges and steps, as crontab has them."""
    check_cron(line)
    assert is_valid_cron_string(line)


@pytest.mark.parametrize("line", REFUSED)
def test_what_means_nothing_is_refused_in_words(line: str) -> None:
    """The message names the part and what it might be."""
    with pytest.raises(ValueError, match=REFUSED[line]):
        check_cron(line)


@given(LINES)
def test_dagster_takes_what_is_taken_here(line: str) -> None:
    """No line that passes the check is refused by Dagster when it is loaded."""
    try:
        check_cron(line)
    except ValueError:
        return
    assert is_valid_cron_string(line)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_schedule_is_in_utc_unless_it_says_otherwise(zone: str, run_check: Callable[..., CheckResult]) -> None:
    """A line alone is in UTC; a mapping may name a zone, and what is processed."""
    stages = "name: p\nversion: '1'\nstages: [{name: a, type: poll}]\n"
    alone, mapping = (
        run_check(stages + schedule).plan
        for schedule in ("schedule: 0 3 * * *", f"schedule: {{cron: 0 3 * * *, input: there, timezone: {zone}}}")
    )
    assert alone is not None
    assert mapping is not None
    assert alone.schedule is not None
    assert mapping.schedule is not None
    assert (alone.schedule.cron, alone.schedule.timezone, alone.schedule.input) == ("0 3 * * *", "UTC", None)
    assert (mapping.schedule.cron, mapping.schedule.timezone, mapping.schedule.input) == ("0 3 * * *", zone, "there")
