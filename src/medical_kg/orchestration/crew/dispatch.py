"""Giving out what is ready: the ledger is asked, batches go to hands, and what goes wrong with one stops no other."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medical_kg.orchestration.contract.errors import BatchHeld, TransientError, WorkerDied
from medical_kg.orchestration.contract.foreign import said
from medical_kg.orchestration.runner import is_dead

if TYPE_CHECKING:
    from medical_kg.orchestration.crew.hands import Ended, Hands
    from medical_kg.orchestration.ledger.contract import Batch, Ledger

logger = logging.getLogger(__name__)

FIRST_LOOK = 32
HELD_SECONDS = 0.05
"""How long to leave a batch alone that another process was quicker to take, or is changing at this moment."""
LONGEST_PAUSE_SECONDS = 60.0
DEATHS = 3
"""How many worker processes a batch may end before it is given to no other."""


@dataclass(slots=True)
class Aside:
    """A submission that is left alone for now: until when (by the monotonic clock), for how long, and why."""

    until: float
    pause: float
    error: Exception


class Dispatcher:
    """Gives out ready batches, the oldest first.

    Args:
        ledger: asked for what is ready.
        hands: run the batches.
        submission_id: only batches of this submission.
        say: told, once, what is in the way of a submission and when that is over; a warning in the log unless given.
    """

    def __init__(
        self,
        ledger: Ledger,
        hands: Hands,
        *,
        submission_id: str | None = None,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        """Nothing is given out yet."""
        self._ledger, self._hands, self._only, self._say = ledger, hands, submission_id, say
        self._at_work: dict[str, Batch] = {}
        self._aside: dict[str, Aside] = {}
        self._older: set[str] = set()
        """The batches at work that were given out before their submission was put aside."""
        self._deaths: Counter[str] = Counter()
        self._given_up: dict[str, Exception] = {}
        self._busy = ""
        self.ran: dict[str, None] = {}
        """The submissions of which a batch was run, in this order."""

    @property
    def problems(self) -> dict[str, Exception]:
        """What is in the way of a submission: of one that is left alone, or that has a batch which was given up."""
        return {ident: aside.error for ident, aside in self._aside.items()} | self._given_up

    def once(self) -> None:
        """Run what is ready, and what becomes ready by that, until nothing is left.

        A submission with a problem is left alone; ``problems`` has it.

        Raises:
            TransientError: the database was held by another process for too long.
        """
        while self._give_out(None) or self._at_work:
            self._take_back(self._hands.wait(None), None)

    def watch(self, every: float, goes_on: Callable[[], bool]) -> None:
        """Run what is ready whenever there is something, and look for it every so many seconds.

        A submission with a problem is tried again after that time, then after twice as long, up to a minute. A busy
        database is waited for. In the end, batches that are at work are run to their end.
        """
        while self._look(every, goes_on):
            self._take_back(self._hands.wait(every), every)
        while self._at_work:
            self._take_back(self._hands.wait(None), every)

    def _look(self, every: float, goes_on: Callable[[], bool]) -> bool:
        try:
            if not goes_on():
                return False
            self._give_out(every)
        except TransientError as error:
            self._tell_busy(str(error))
        else:
            self._tell_busy("")
        return True

    def _give_out(self, every: float | None) -> bool:
        """Give ready batches to free hands; return whether any was given."""
        given = False
        while self._hands.free() and (batch := self._next(every)) is not None:
            self._at_work[batch.id] = batch
            self._hands.give(batch)
            given = True
        return given

    def _next(self, every: float | None) -> Batch | None:
        now = time.monotonic()
        for batch in self._candidates():
            aside = self._aside.get(batch.submission_id)
            left_alone = aside is not None and (every is None or aside.until > now)
            if batch.id not in self._at_work and not left_alone and self._deaths[batch.id] < DEATHS:
                return batch
        return None

    def _candidates(self) -> Iterator[Batch]:
        """Give every ready batch, then those of processes that are known to be dead; some perhaps twice."""
        limit = FIRST_LOOK
        while True:
            found = self._ledger.ready(limit=limit, submission_id=self._only)
            yield from found
            if len(found) < limit:
                break
            limit *= 8
        for batch in self._ledger.running(submission_id=self._only):
            if batch.lease_owner and is_dead(batch.lease_owner):
                yield batch

    def _take_back(self, ended: list[Ended], every: float | None) -> None:
        for batch, error in ended:
            self._at_work.pop(batch.id, None)
            older = batch.id in self._older
            self._older.discard(batch.id)
            if isinstance(error, BatchHeld):
                # On a server's database it may still be ready, and is tried again.
                time.sleep(HELD_SECONDS)
                continue
            self.ran[batch.submission_id] = None
            if isinstance(error, WorkerDied):
                self._count_death(batch, error, every)
            elif error is not None:
                self._put_aside(batch, error, every)
            else:
                self._deaths.pop(batch.id, None)
                if not older:
                    self._mend(batch)

    def _count_death(self, batch: Batch, error: WorkerDied, every: float | None) -> None:
        """Give a batch up that ends one process after the other; the others of its submission go on."""
        self._deaths[batch.id] += 1
        if self._deaths[batch.id] < DEATHS:
            self._say(f"{error}; another goes on with it")
            return
        self._given_up[batch.submission_id] = error
        if every is not None:
            self._say(f"{error}; it is given up")

    def _mend(self, batch: Batch) -> None:
        if self._aside.pop(batch.submission_id, None) is not None:
            self._say(f"submission {batch.submission_id} goes on")

    def _put_aside(self, batch: Batch, error: Exception, every: float | None) -> None:
        """Leave a submission alone; how its batches end that are at work already says nothing of what is in the way."""
        former = self._aside.get(batch.submission_id)
        pause = every or 0.0
        if former is not None:
            pause = min(former.pause * 2, max(LONGEST_PAUSE_SECONDS, pause))
        self._aside[batch.submission_id] = Aside(time.monotonic() + pause, pause, error)
        self._older.update(one.id for one in self._at_work.values() if one.submission_id == batch.submission_id)
        if every is not None and (former is None or said(former.error) != said(error)):
            self._say(f"submission {batch.submission_id} cannot go on for now: {error}")

    def _tell_busy(self, told: str) -> None:
        if told and not self._busy:
            self._say(f"{told}; it is waited for")
        elif self._busy and not told:
            self._say("the database can be used again")
        self._busy = told
