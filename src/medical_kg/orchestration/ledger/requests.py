"""What the ledger is asked to open, and what started it; and what comes along with a commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medical_kg.orchestration.contract import Signal
from medical_kg.orchestration.contract.model import Model


class Row(Model):
    """Base of what the ledger gives out: frozen."""


class Origin(Row):
    """What started a submission: the name of a signal, and the submission and batch it was told to, or whose stage told it.

    ``fact`` tells the signal from others of the same name that the same batch was told: by value and attachments.
    """

    signal: str
    fact: str
    submission: str
    batch: str | None = None
    told: Signal

    def as_input(self) -> dict[str, Any]:
        """Return what the started submission sees as ``ctx.input``."""
        return self.model_dump(exclude={"told"}, exclude_none=True)


class NewSubmission(Row):
    """A request to run a pipeline over an input.

    ``input`` is what stages see as ``ctx.input``; ``overrides`` are config changes, ``stage.field`` to value. ``id`` is
    given by callers that must be idempotent (a Dagster run), otherwise made. ``plugin_lock`` is what is known of the
    plugins that it uses. The signal ``told`` is told to it as it is opened.
    """

    tenant: str
    pipeline: str
    pipeline_version: str
    pipeline_path: str
    pipeline_digest: str
    batch_size: int
    input: Mapping[str, Any]
    overrides: Mapping[str, Any] = {}
    actor: str
    id: str | None = None
    plugin_lock: Mapping[str, Any] | None = None
    pipeline_text: str = ""
    told: Signal | None = None


class Note(Row):
    """A line for the history that goes along with a commit, e.g. a retry of a call."""

    event: str
    reason: str
    detail: Mapping[str, Any] = {}


class NextBatch(Row):
    """The batch that follows, opened in the transaction that commits a page; ``cursor`` is where it starts."""

    cursor: str


class Budget(Row):
    """How many input records of a batch may fail: ``limit`` as written, ``total`` what a percentage is taken of."""

    limit: int | str
    allowed: int
    total: int | None = None
