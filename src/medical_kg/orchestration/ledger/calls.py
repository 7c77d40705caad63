"""What the calls of a stage came to, as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Iterable

from medical_kg.orchestration.contract.model import Model


class Calls(Model):
    """The figures of a stage's calls in one batch; those of earlier runs that put it off are counted in. Times in seconds.

    Attributes:
        attempts: calls made, repeated ones among them.
        waits, waited: how many attempts waited for their turn at a host, and how long together.
        refused: attempts that were not made, since a circuit breaker was open or a host had asked for a longer rest.
        put_offs: how often the stage was put off.
        put_off_since, again_at: when it was put off first, and when it is taken up again (since the epoch).
    """

    attempts: int = 0
    waits: int = 0
    waited: float = 0.0
    refused: int = 0
    put_offs: int = 0
    put_off_since: float | None = None
    again_at: float | None = None

    @classmethod
    def total(cls, several: Iterable[Calls]) -> Calls:
        """Return the figures of several batches together: the first time one was put off, the first it runs again."""
        found = list(several)
        since = [one.put_off_since for one in found if one.put_off_since is not None]
        again = [one.again_at for one in found if one.again_at is not None]
        return cls(
            attempts=sum(one.attempts for one in found),
            waits=sum(one.waits for one in found),
            waited=sum(one.waited for one in found),
            refused=sum(one.refused for one in found),
            put_offs=sum(one.put_offs for one in found),
            put_off_since=min(since, default=None),
            again_at=min(again, default=None),
        )
