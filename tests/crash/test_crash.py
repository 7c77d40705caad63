"""The crash suite, short: a few kills of each kind. ``make crash`` has hundreds, drawn at random."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from campaign import run_round
from kills import Kill, boundary, few
from scenarios import SCENARIOS
from sites import Site

SiteFor = Callable[[str], Site]
SEED = int(os.environ.get("CRASH_SEED", "1"))
PLAIN = [("auto", "sqlite"), ("auto", "postgres"), ("pdf-two-phase", "sqlite"), ("pdf-two-phase", "postgres")]
ROWS = [*((*row, "plain") for row in PLAIN), ("auto", "sqlite", "dagster")]


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "kind", "engine"), ROWS)
def test_no_kill_loses_or_repeats_work(site_for: SiteFor, scenario: str, kind: str, engine: str) -> None:
    """Killed again and again, a run ends as one that nobody interrupted: its rows, its outputs, and a legal history."""
    site = site_for(kind)
    kills = list(few(random.Random(f"{SEED} {scenario} {engine}"), SCENARIOS[scenario], engine))
    with site.place(scenario, kind, engine) as place:
        outcome = run_round(place, kills, site.expected(scenario, kind, engine))
    assert outcome.problems == [], f"CRASH_SEED={SEED}: {'; '.join(map(str, kills))}"
    assert len(outcome.kills) >= 3


@pytest.mark.slow
def test_the_suite_sees_what_is_lost(site_for: SiteFor) -> None:
    """A row that is not there, and a checkpoint that is not, are each named: the judge is awake."""
    site, row = site_for("sqlite"), ("auto", "sqlite", "plain")
    with site.place(*row) as place:
        assert run_round(place, [], site.expected(*row)).problems == []
        with closing(sqlite3.connect(place.root / "medical-kg.db")) as connection, connection:
            connection.execute("DELETE FROM graph_edges WHERE predicate = (SELECT min(predicate) FROM graph_edges)")
        checkpoint = next((place.root / "checkpoints").glob("*/*"))
        checkpoint.unlink()
        problems = run_round(place, [], site.expected(*row)).problems
    assert [problem.partition(":")[0] for problem in problems if "checkpoint" not in problem] == ["graph_edges"]
    assert any(f"checkpoint {checkpoint.name} is missing" in problem for problem in problems)


@pytest.mark.parametrize("kill", [boundary("index", "inside"), Kill("random moment", moment=0.25)], ids=str)
def test_a_kill_says_when_it_comes(kill: Kill) -> None:
    """Each kill can be read, so that a failure can be followed."""
    assert str(kill) in ("inside commit of index", "after 0.25 of a whole run's time")
