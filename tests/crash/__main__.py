"""The crash suite at length: ``make crash``. Rounds go on until every pipeline, database and engine has had its kills."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "orchestration"), str(HERE.parent / "testing")]

from campaign import Outcome, run_round  # noqa: E402  # the test folders are no packages
from databases import KINDS  # noqa: E402
from kills import kills_of  # noqa: E402
from postgres_server import PostgresServer, programs  # noqa: E402
from programs import Programs  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402
from sites import ENGINES, Site  # noqa: E402

MOST_ROUNDS = 200


class Row(NamedTuple):
    """One line of the table: a pipeline on a database by an engine."""

    scenario: str
    database: str
    engine: str


def main() -> int:
    """Run the rounds and print what came of them; the exit code is 1 if anything was wrong."""
    asked = _asked()
    sys.stdout.write(f"seed {asked.seed}, {asked.kills} kills or more for each pipeline and database\n")
    folder, asked.began = Path(tempfile.mkdtemp(prefix="medical-kg-crash-")), time.monotonic()
    with ExitStack() as stack:
        forked = Programs()
        stack.callback(forked.close)
        server = PostgresServer.start_new() if programs() and "postgres" in asked.database else None
        if server:
            stack.callback(server.close)
        elif "postgres" in asked.database:
            sys.stdout.write("PostgreSQL is not installed (Debian: apt-get install postgresql): SQLite only\n")
            asked.database.remove("postgres")
        site = Site(forked, folder, server)
        rows = [Row(*row) for row in _rows(asked)]
        with ThreadPoolExecutor(asked.jobs) as pool:
            outcomes = dict(zip(rows, pool.map(lambda row: _until_enough(site, row, asked), rows), strict=True))
    problems = _report(outcomes, time.monotonic() - asked.began)
    if problems:
        sys.stdout.write(f"the workspaces are kept in {folder}\n")
    else:
        shutil.rmtree(folder)
    return int(bool(problems))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="at least so many for each pipeline and database")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--round", type=int, help="only this round of each")
    parser.add_argument("--scenario", nargs="+", default=list(SCENARIOS), choices=list(SCENARIOS))
    parser.add_argument("--database", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--engine", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no round after so many")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time")
    return parser.parse_args()


def _rows(asked: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    for scenario in asked.scenario:
        for database in asked.database:
            for engine in asked.engine:
                yield scenario, database, engine


def _until_enough(site: Site, row: Row, asked: argparse.Namespace) -> Outcome:
    """Make rounds until the row has had its share of the kills."""
    total, share = Outcome(), -(-asked.kills // len(asked.engine))
    last = asked.began + 60 * asked.minutes
    for number in range(MOST_ROUNDS) if asked.round is None else [asked.round]:
        with site.place(*row) as place:
            kills = kills_of(place.scenario, row.engine, asked.seed, number)
            outcome = run_round(place, kills, site.expected(*row))
        again = f"--seed {asked.seed} --round {number} --scenario {row.scenario} --database {row.database} --engine {row.engine}"
        for problem in outcome.problems:
            sys.stdout.write(f"WRONG in {place.folder}: {problem[:2000]}\n")
        if outcome.problems:
            sys.stdout.write(f"again: make crash CRASH='{again}'\n")
        else:
            shutil.rmtree(place.folder)
        total.add(outcome)
        said = f"{' '.join(row)}: round {number}, {len(total.kills)} kills of {share}"
        sys.stdout.write(f"{said}, {len(total.problems)} violations\n")
        sys.stdout.flush()
        if len(total.kills) >= share or time.monotonic() > last:
            break
    return total


def _report(outcomes: dict[Row, Outcome], seconds: float) -> int:
    """Print the table, and return how much was wrong."""
    _table(
        ("pipeline", "database", "engine", "kills", "resumes", "boundaries", "violations", "seconds"),
        [
            (*row, len(one.kills), one.resumes, _boundaries(row, one), len(one.problems), round(one.seconds))
            for row, one in outcomes.items()
        ],
    )
    kinds = Counter(kill.kind for one in outcomes.values() for kill in one.kills)
    _table(("kind of kill", "times"), kinds.most_common())
    problems = sum(len(one.problems) for one in outcomes.values())
    kills, resumes = sum(kinds.values()), sum(one.resumes for one in outcomes.values())
    sys.stdout.write(f"\n{kills} kills, {resumes} resumes, {problems} violations, {seconds:.0f} s\n")
    return problems


def _boundaries(row: Row, outcome: Outcome) -> str:
    """How many of the places around each stage's commit were hit: before, inside, after."""
    hit = {(kill.stage, kill.when) for kill in outcome.kills if kill.point == "commit"}
    return f"{len(hit)} of {3 * len(SCENARIOS[row.scenario].stages)}"


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    shown = [head, *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    sys.stdout.write("\n")
    for row in shown:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


if __name__ == "__main__":
    sys.exit(main())
