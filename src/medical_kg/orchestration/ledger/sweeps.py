"""What the ledger is told, and tells, of input that was submitted before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from medical_kg.orchestration.contract.model import Model


class Sweep(Model):
    """What a stream stage found of its input, in one batch: by input records.

    ``unchanged`` were processed before and are skipped; ``changed`` are new or changed; ``removed`` are gone from the
    source; ``withheld`` are gone as it seems, but were not removed, for the ``reason``. It took so many ``pages``. ``read_by``
    is the fingerprint of the pipeline where the reading ended with all that was asked for, else empty; ``total`` is how many
    records the source says there are.
    """

    unchanged: int = 0
    changed: int = 0
    removed: int = 0
    withheld: int = 0
    reason: str = ""
    pages: int = 1
    read_by: str = ""
    total: int | None = None


class Pulled(Model):
    """What a batch takes on of its input: its roots with the digests of their content.

    ``sweep_done`` says that what the input no longer has is to be forgotten, once the batch completes.
    """

    digests: Mapping[str, str]
    sweep_done: bool = False


class Missing(Model):
    """What earlier submissions of an input found and this one did not.

    ``known`` counts all that was found of it, ``unread`` are rejected records that may hide some of the missing ones.
    """

    roots: tuple[str, ...]
    known: int
    unread: tuple[str, ...]


class Readings(Protocol):
    """See ``Ledger``."""

    def last_reading(self, tenant: str, pipeline: str, given: Mapping[str, Any], fingerprint: str) -> float | None:
        """Return when the newest submission was made that read all it asked for of an input, and has completed.

        None where there is none by a pipeline of this ``fingerprint``; how much of the input was wanted makes no difference.
        """
