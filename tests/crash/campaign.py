"""A round: one workspace, killed again and again, gone on with to its end, and judged."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import rules
from databases import Ledger, Rows, content_of
from kills import Kill
from places import Place
from programs import Ended

MOST_RESUMES = 12
"""How often the same command is given after the last kill before the suite says that nothing goes on."""
WAITS = 3
"""The exit code of what is not finished."""


@dataclass(frozen=True)
class Reference:
    """What a run that nobody interrupts leaves: rows, outputs of stages, and how long it takes (in seconds)."""

    content: Rows
    outputs: object
    batches: int
    seconds: float


@dataclass
class Outcome:
    """What came of a round."""

    kills: list[Kill] = field(default_factory=list)
    resumes: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Outcome) -> None:
        """Count another round in."""
        self.kills += other.kills
        self.resumes += other.resumes
        self.problems += other.problems
        self.seconds += other.seconds


def reference(place: Place) -> Reference:
    """Run a scenario to its end without a kill; its own history must be as the rules want it."""
    outcome, began = Outcome(), time.monotonic()
    _go_on(place, outcome)
    seconds = time.monotonic() - began
    ledger = place.ledger()
    found = _Looks(place)
    assert not (problems := outcome.problems + rules.judged(ledger, place.scenario.specs)), problems
    content = content_of(place.database)
    assert len(content) > 5
    assert all(
        content[name] for name in ("index_documents", "index_chunks", "index_vectors", "graph_nodes", "graph_edges")
    )
    assert found.dagster() == []
    return Reference(content, rules.outputs(ledger, place.scenario.sinks), len(ledger.batches), seconds)


def run_round(place: Place, kills: Iterable[Kill], expected: Reference) -> Outcome:
    """Kill a place's programs as told, go on to the end, and judge."""
    outcome, looks, began = Outcome(), _Looks(place), time.monotonic()
    for kill in kills:
        words = place.next_words(looks.ledger)
        if words is None:
            break
        _kill(place, kill, words, expected, outcome)
        outcome.problems += looks.again()
        outcome.resumes += 1
    _go_on(place, outcome, looks)
    outcome.problems += place.left_behind()
    outcome.problems += [*looks.again(), *_judged(place, looks.ledger, expected), *looks.dagster()]
    outcome.seconds = time.monotonic() - began
    return outcome


def _kill(place: Place, kill: Kill, words: tuple[object, ...], expected: Reference, outcome: Outcome) -> None:
    one = place.start(words, kill.orders())
    other = None if kill.beside is None else place.start(words, kill.beside.orders())
    running = [(one, kill)] + ([(other, kill.beside)] if other and kill.beside else [])
    clocked = sorted((pair for pair in running if pair[1].moment is not None), key=lambda pair: pair[1].moment or 0)
    began = time.monotonic()
    for program, death in clocked:
        program.kill_after(max(0.0, (death.moment or 0) * expected.seconds - (time.monotonic() - began)))
    ended = [(program.end(), death) for program, death in running]
    outcome.kills += [Kill(**{**vars(kill), "beside": None}) for end, _ in ended if end.killed]
    outcome.problems += [problem for end, _ in ended for problem in _unkilled(end, alone=len(ended) == 1)]


def _unkilled(end: Ended, *, alone: bool) -> Iterator[str]:
    """A program that was not killed does its work, or says that somebody else does."""
    if end.killed:
        return
    lines = [line for line in end.said.splitlines() if line.strip()]
    may_wait = not alone or "waiting" in end.said
    if end.code not in ((0, WAITS) if may_wait else (0,)) or "Traceback" in end.said:
        yield f"{' '.join(map(str, end.words))} ended with {end.code}: {' | '.join(lines[-15:])}"


def _go_on(place: Place, outcome: Outcome, looks: _Looks | None = None) -> None:
    for _ in range(MOST_RESUMES):
        words = place.next_words(place.ledger())
        if words is None:
            return
        outcome.problems += _unkilled(place.start(words).end(), alone=True)
        outcome.resumes += 1
        if looks is not None:
            outcome.problems += looks.again()
    outcome.problems.append(f"nothing goes on: {place.ledger().batches}")


class _Looks:
    """The place as it was when nobody was at work the last time."""

    def __init__(self, place: Place) -> None:
        self._place, self.ledger = place, place.ledger()

    def again(self) -> list[str]:
        """What is wrong with what happened since the last look."""
        before, self.ledger = self.ledger, self._place.ledger()
        return rules.grown(before, self.ledger) + rules.repeated(before, self._place.begun())

    def dagster(self) -> list[str]:
        """What is wrong with Dagster's history: every run has ended, one well for each run that ended a batch."""
        if self._place.engine != "dagster":
            return []
        from medical_kg.orchestration.dagster.instance import open_instance
        from medical_kg.orchestration.workspace import Workspace

        workspace = Workspace(self._place.root)
        with open_instance(workspace) as instance:
            runs = instance.get_runs()
        workspace.close()
        batches = {row["id"] for row in self.ledger.batches}
        well = {run.tags.get("medical_kg/batch") for run in runs if run.is_success}
        unfinished = [
            f"Dagster's run {run.run_id} is {run.status.value} for ever" for run in runs if not run.is_finished
        ]
        return unfinished + [f"no run of Dagster's ended batch {batch} well" for batch in sorted(batches - well)]


def _judged(place: Place, ledger: Ledger, expected: Reference) -> Iterator[str]:
    yield from rules.judged(ledger, place.scenario.specs)
    yield from place.database.sound()
    if len(ledger.batches) != expected.batches:
        yield f"{len(ledger.batches)} batches instead of {expected.batches}"
    if rules.outputs(ledger, place.scenario.sinks) != expected.outputs:
        yield "the outputs of its stages are others than those of a run that nobody interrupted"
    content = content_of(place.database)
    for table in sorted({*content, *expected.content}):
        found, wanted = content.get(table, []), expected.content.get(table, [])
        if found != wanted:
            lacking, strange = set(wanted) - set(found), set(found) - set(wanted)
            yield f"{table}: {len(found)} rows, {len(wanted)} wanted; lacking {lacking}, strange {strange}"
    numbers = {row["sequence"] for row in ledger.submissions}
    for row in place.database.rows("store_roots"):
        if row["version"] not in numbers:
            yield f"{row['root']} in the {row['half']} is of version {row['version']}, which no submission has"
    yield from _checkpoints(place.root, ledger)


def _checkpoints(root: Path, ledger: Ledger) -> Iterator[str]:
    for row in ledger.stage_results:
        for ref in row["outputs"].values():
            path = root / "checkpoints" / ref["digest"][:2] / f"{ref['digest']}{ref['suffix']}"
            if not path.exists():
                yield f"{row['stage']}: checkpoint {path.name} is missing"
            elif hashlib.sha256(path.read_bytes()).hexdigest() != ref["digest"]:
                yield f"{row['stage']}: checkpoint {path.name} is damaged"
