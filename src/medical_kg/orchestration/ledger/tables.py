"""The ledger's tables. The tenant is part of every key but that of hosts, so no row of one tenant can point to another's.

The migrations write down the same tables step by step; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from medical_kg.orchestration.contract.database import LONG_WORDS, WORDS

SCHEMA = "0006"
"""The newest migration: revisions are numbered in order, as text of four digits."""

VERSION_TABLE = "ledger_version"
"""Alembic's own default would be shared with Dagster, which may live in the same Postgres database."""

METADATA = MetaData()


def _of_submission() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", "submission_id"], ["submissions.tenant", "submissions.id"])


def _of_batch() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", "batch_id"], ["batches.tenant", "batches.id"])


SUBMISSIONS = Table(
    "submissions",
    METADATA,
    Column("sequence", Integer, primary_key=True),
    Column("tenant", WORDS, nullable=False),
    Column("id", WORDS, nullable=False, unique=True),
    Column("pipeline", WORDS, nullable=False),
    Column("pipeline_version", WORDS, nullable=False),
    Column("pipeline_path", WORDS, nullable=False),
    Column("pipeline_digest", WORDS, nullable=False),
    Column("batch_size", Integer, nullable=False),
    Column("input", JSON, nullable=False),
    Column("input_key", WORDS, nullable=False),
    Column("overrides", JSON, nullable=False),
    # sha256 of tenant, pipeline, input and overrides; NULL once finished, so that only unfinished ones collide.
    Column("unfinished_key", WORDS, unique=True),
    Column("plugin_lock", JSON(none_as_null=True)),
    Column("status", WORDS, nullable=False),
    Column("actor", WORDS, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    UniqueConstraint("tenant", "id", name="uq_submissions_tenant_id"),
    Index("ix_submissions_input", "tenant", "pipeline", "input_key"),
    # Sequence numbers are never used again, not even after the newest submission was removed.
    sqlite_autoincrement=True,
)

BATCHES = Table(
    "batches",
    METADATA,
    Column("tenant", WORDS, nullable=False),
    Column("id", WORDS, nullable=False, unique=True),
    Column("submission_id", WORDS, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("cursor", LONG_WORDS),
    Column("status", WORDS, nullable=False),
    # The fencing token: counts the claims.
    Column("generation", Integer, nullable=False),
    Column("ready_at", Double, index=True),
    Column("lease_owner", WORDS),
    Column("lease_until", Double),
    # Who claimed it last; stays after the lease is given up, so that the history can name an actor.
    Column("claimed_by", WORDS, nullable=False),
    # The batch a replay descends from.
    Column("parent", WORDS),
    # The batch whose page opened this one: each opens one at most.
    Column("follows", WORDS),
    Column("run_id", WORDS),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    _of_submission(),
    UniqueConstraint("tenant", "submission_id", "ordinal", name="uq_batches_ordinal"),
    UniqueConstraint("tenant", "follows", name="uq_batches_follows"),
)

STAGE_RESULTS = Table(
    "stage_results",
    METADATA,
    Column("tenant", WORDS, nullable=False),
    Column("batch_id", WORDS, nullable=False),
    Column("stage", WORDS, nullable=False),
    Column("stage_type", WORDS, nullable=False),
    Column("status", WORDS, nullable=False),
    Column("fingerprint", WORDS, nullable=False),
    Column("outputs", JSON, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("origin", JSON, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("dead_letters", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double, nullable=False),
    Column("error", LONG_WORDS),
    # What the fingerprint was made of; NULL where an earlier release kept the result.
    Column("parts", JSON(none_as_null=True)),
    # What a stream stage found of what was seen before; NULL of other stages.
    Column("sweep", JSON(none_as_null=True)),
    # What its calls came to; NULL where an earlier release kept the result.
    Column("calls", JSON(none_as_null=True)),
    PrimaryKeyConstraint("tenant", "batch_id", "stage"),
    _of_batch(),
)

WAITS = Table(
    "waits",
    METADATA,
    Column("tenant", WORDS, nullable=False),
    Column("batch_id", WORDS, nullable=False),
    Column("stage", WORDS, nullable=False),
    Column("condition", JSON, nullable=False),
    Column("on_timeout", WORDS, nullable=False),
    Column("first_waited_at", Double, nullable=False),
    Column("deadline_at", Double),
    Column("baseline", JSON, nullable=False),
    PrimaryKeyConstraint("tenant", "batch_id", "stage"),
    _of_batch(),
)

DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("tenant", WORDS, nullable=False),
    Column("submission_id", WORDS, nullable=False),
    Column("stage", WORDS, nullable=False),
    Column("item_id", WORDS, nullable=False),
    Column("batch_id", WORDS, nullable=False),
    Column("root", WORDS),
    Column("error", WORDS, nullable=False),
    Column("message", LONG_WORDS, nullable=False),
    Column("traceback", LONG_WORDS, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", WORDS, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("tenant", "submission_id", "stage", "item_id"),
    _of_submission(),
    _of_batch(),
    Index("ix_dead_letters_batch", "tenant", "batch_id", "stage"),
)

SIGNALS = Table(
    "signals",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("tenant", WORDS, nullable=False),
    Column("submission_id", WORDS, nullable=False),
    # NULL: told to the whole submission.
    Column("batch_id", WORDS),
    Column("name", WORDS, nullable=False),
    Column("value", JSON, nullable=False),
    Column("attachments", JSON, nullable=False),
    Column("actor", WORDS, nullable=False),
    Column("at", Double, nullable=False),
    _of_submission(),
    _of_batch(),
    Index("ix_signals_name", "tenant", "submission_id", "name"),
)

SEEN = Table(
    "seen",
    METADATA,
    Column("tenant", WORDS, nullable=False),
    Column("pipeline", WORDS, nullable=False),
    Column("item", WORDS, nullable=False),
    # The input that it was last found in.
    Column("input_key", WORDS, nullable=False),
    Column("content_hash", WORDS, nullable=False),
    Column("pipeline_fingerprint", WORDS, nullable=False),
    # Of the newest submission that found it, or found it missing.
    Column("sequence", Integer, nullable=False),
    # The batch that is to process this content; NULL once that is done.
    Column("batch_id", WORDS),
    # Which submission pulled this content, and when.
    Column("submission_id", WORDS, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("tenant", "pipeline", "item"),
    _of_submission(),
    _of_batch(),
    Index("ix_seen_batch", "tenant", "batch_id"),
)

HISTORY = Table(
    "history",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("tenant", WORDS, nullable=False),
    Column("submission_id", WORDS, nullable=False),
    Column("batch_id", WORDS),
    Column("stage", WORDS),
    Column("event", WORDS, nullable=False),
    Column("reason", LONG_WORDS, nullable=False),
    Column("actor", WORDS, nullable=False),
    Column("at", Double, nullable=False),
    Column("detail", JSON, nullable=False),
    _of_submission(),
    Index("ix_history_submission", "tenant", "submission_id", "id"),
)

FORGOTTEN = Table(
    "forgotten",
    METADATA,
    Column("tenant", WORDS, nullable=False),
    Column("root", WORDS, nullable=False),
    Column("actor", WORDS, nullable=False),
    Column("at", Double, nullable=False),
    Column("finished_at", Double),
    # What is still to be removed; NULL once nothing is.
    Column("remains", JSON(none_as_null=True)),
    PrimaryKeyConstraint("tenant", "root"),
)

ITEM_RESULTS = Table(
    "item_results",
    METADATA,
    Column("tenant", WORDS, nullable=False),
    # sha256 of the stage's fingerprint without inputs, and of the item's content.
    Column("key", WORDS, nullable=False),
    Column("root", WORDS, nullable=False),
    Column("stage_type", WORDS, nullable=False),
    Column("head", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    # Files of the workspace that the body speaks of.
    Column("files", JSON, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("used_at", Double, nullable=False, index=True),
    PrimaryKeyConstraint("tenant", "key"),
    Index("ix_item_results_root", "tenant", "root"),
)

HOSTS = Table(
    "hosts",
    METADATA,
    # Of no tenant: a host that is asked too often does not care for whom.
    Column("policy", WORDS, nullable=False),
    Column("host", WORDS, nullable=False),
    Column("failures", Integer, nullable=False),
    # When a trial may be made; NULL while the circuit breaker is closed.
    Column("open_until", Double),
    # The attempt that tries whether the host works again, and until when it is waited for.
    Column("trial", WORDS, nullable=False),
    Column("trial_until", Double, nullable=False),
    # No attempt is made before.
    Column("next_at", Double, nullable=False),
    PrimaryKeyConstraint("policy", "host"),
)
