"""Kills: what is killed when, and how a round of them is drawn. All chance comes from one seeded generator."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scenarios import Scenario

WHENS = ("before", "inside", "after")


@dataclass(frozen=True)
class Kill:
    """One death of a program: by its own hand at a point (see ``dying``), or by another's after a while.

    ``moment`` is the part of an uninterrupted run's time after which the program is killed from outside; ``beside`` is
    how a second program, which works at the same time, dies (``None``: no second one; an empty one lives).
    """

    kind: str
    point: str = ""
    stage: str = ""
    when: str = ""
    count: int = 1
    moment: float | None = None
    beside: Kill | None = None

    def orders(self) -> dict[str, Any]:
        """What ``dying`` is told."""
        told = {"point": self.point, "stage": self.stage, "when": self.when, "count": self.count}
        return told if self.point else {}

    def __str__(self) -> str:
        if self.moment is not None:
            where = f"after {self.moment:.2f} of a whole run's time"
        elif self.point:
            stage = f" of {self.stage}" if self.stage else ""
            where = f"{self.when} {'' if self.count == 1 else f'the {self.count}. '}{self.point}{stage}"
        else:
            where = "never"
        return where if self.beside is None else f"{where}; beside it: {self.beside}"


LIVES = Kill("lives")
Maker = Callable[[random.Random, Scenario], Kill]


def at_random(draw: random.Random, _: Scenario) -> Kill:
    # Early more often than late: what is done is kept, and a whole run's time would be the end.
    return Kill("random moment", moment=draw.random() ** 2)


def at_a_statement(draw: random.Random, _: Scenario) -> Kill:
    # Of any size: the first ones are those of opening, a whole run has some hundreds.
    return Kill("random statement", "statement", when=draw.choice(WHENS[::2]), count=int(2 ** (9 * draw.random())))


def at_a_boundary(draw: random.Random, scenario: Scenario) -> Kill:
    return boundary(draw.choice(scenario.stages), draw.choice(WHENS))


def boundary(stage: str, when: str) -> Kill:
    return Kill("stage boundary", "commit", stage=stage, when=when)


def after_a_write(draw: random.Random, scenario: Scenario) -> Kill:
    return written(draw.choice(scenario.sinks))


def written(sink: str) -> Kill:
    return Kill("between write and commit", "commit", stage=sink, when="before")


def in_a_write(draw: random.Random, _: Scenario) -> Kill:
    return Kill("in a sink's write", "store", when="inside", count=draw.randint(1, 3))


def at_a_checkpoint(draw: random.Random, _: Scenario) -> Kill:
    return Kill("checkpoint", "checkpoint", when=draw.choice(WHENS), count=draw.randint(1, 6))


def after_the_claim(draw: random.Random, _: Scenario) -> Kill:
    return Kill("between claim and first stage", "claim", when=draw.choice(WHENS[1:]))


def at_settling(draw: random.Random, _: Scenario) -> Kill:
    return Kill("settling", "settle", when=draw.choice(WHENS))


def at_a_takeover(draw: random.Random, _: Scenario) -> Kill:
    """Fits behind a kill that leaves a batch held."""
    return Kill("takeover", "claim", when=draw.choice(WHENS))


def both(draw: random.Random, scenario: Scenario) -> Kill:
    """Two programs at once; one may outlive the other, which then goes on with what the other held."""
    mine = draw.choice([at_random, at_a_boundary, at_settling])(draw, scenario)
    other = draw.choice([LIVES, at_random(draw, scenario), after_the_claim(draw, scenario)])
    return Kill("one or both of a pair", mine.point, mine.stage, mine.when, mine.count, mine.moment, other)


def at_the_schema(draw: random.Random, _: Scenario) -> Kill:
    return Kill("making of the schema", "schema", when=draw.choice(WHENS[::2]), count=draw.randint(1, 30))


def at_opening(draw: random.Random, _: Scenario) -> Kill:
    return Kill("submission", "open_submission", when=draw.choice(WHENS))


def at_a_worker(draw: random.Random, _: Scenario) -> Kill:
    victims = draw.choice(["runner", "runner and worker"])
    return Kill("isolated stage at work", victims, when="inside", count=draw.randint(1, 2))


def by_dagster(draw: random.Random, _: Scenario) -> Kill:
    return Kill("Dagster's run made, not noted", "set_run", when=draw.choice(WHENS))


def at_a_signal(draw: random.Random, _: Scenario) -> Kill:
    return Kill("signal", "tell", when=draw.choice(WHENS))


FIRST: tuple[Maker, ...] = (at_the_schema, at_opening, at_random, at_a_statement)
ANY: tuple[Maker, ...] = (
    *(at_random, at_random, at_a_statement, at_a_boundary, after_a_write, in_a_write),
    *(at_a_checkpoint, after_the_claim, at_settling, at_a_takeover, both),
)


def mixed(draw: random.Random, scenario: Scenario, engine: str, number: int = 9) -> Iterator[Kill]:
    """Draw kills of every kind."""
    makers = list(ANY)
    makers += [by_dagster] if engine == "dagster" else []
    makers += [at_a_worker] if scenario.apart else []
    makers += [at_a_signal] if "gates" in next(iter(scenario.specs.values())) else []
    for maker in draw.sample(FIRST, 2):
        yield maker(draw, scenario)
    for _ in range(number - 2):
        yield draw.choice(makers)(draw, scenario)


def boundaries(scenario: Scenario) -> Iterator[Kill]:
    """A kill before, inside and after the commit of every stage, in the order of the stages."""
    for stage in scenario.stages:
        for when in WHENS:
            yield written(stage) if when == "before" and stage in scenario.sinks else boundary(stage, when)


def few(draw: random.Random, scenario: Scenario, engine: str) -> Iterator[Kill]:
    """A few of the kills that a round may have, always of the same kinds."""
    yield at_the_schema(draw, scenario)
    if engine == "dagster":
        yield by_dagster(draw, scenario)
    yield after_the_claim(draw, scenario)
    yield from map(written, scenario.sinks)
    if scenario.apart:
        yield at_a_worker(draw, scenario)
    if engine == "plain":
        yield Kill("random moment", moment=draw.random() / 2)
        yield at_a_takeover(draw, scenario)
        yield both(draw, scenario)
    yield at_settling(draw, scenario)


def kills_of(scenario: Scenario, engine: str, seed: int, number: int) -> list[Kill]:
    """The kills of a round: every boundary in the first and in each fifth after it, else of every kind."""
    if number % 5 == 0:
        return list(boundaries(scenario))
    return list(mixed(random.Random(f"{seed} {scenario.name} {engine} {number}"), scenario, engine))
