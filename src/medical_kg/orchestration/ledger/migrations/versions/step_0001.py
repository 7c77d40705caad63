"""The first schema: submissions, batches, stage results, waits, dead letters, signals, seen, history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Compared and ordered byte by byte, whatever language a Postgres server is set up for.
WORDS = sa.String().with_variant(sa.String(collation="C"), "postgresql")
LONG_WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create every table."""
    _submissions()
    _batches()
    _stage_results()
    _waits()
    _dead_letters()
    _signals()
    _seen()
    _history()


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, WORDS, nullable=False) for name in names]


def _json(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.JSON(), nullable=False) for name in names]


def _number(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _time(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double(), nullable=False) for name in names]


def _long(name: str) -> sa.Column[str]:
    return sa.Column(name, LONG_WORDS, nullable=False)


def _of_submission() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant", "submission_id"], ["submissions.tenant", "submissions.id"])


def _of_batch() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant", "batch_id"], ["batches.tenant", "batches.id"])


def _submissions() -> None:
    op.create_table(
        "submissions",
        sa.Column("sequence", sa.Integer(), primary_key=True),
        *_text("tenant", "id", "pipeline", "pipeline_version", "pipeline_path", "pipeline_digest"),
        *_number("batch_size"),
        *_json("input"),
        *_text("input_key"),
        *_json("overrides"),
        sa.Column("unfinished_key", WORDS),
        sa.Column("plugin_lock", sa.JSON(none_as_null=True)),
        *_text("status", "actor"),
        *_time("created_at", "updated_at"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("unfinished_key"),
        sa.UniqueConstraint("tenant", "id", name="uq_submissions_tenant_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_submissions_input", "submissions", ["tenant", "pipeline", "input_key"])


def _batches() -> None:
    op.create_table(
        "batches",
        *_text("tenant", "id", "submission_id"),
        *_number("ordinal"),
        sa.Column("cursor", LONG_WORDS),
        *_text("status"),
        *_number("generation"),
        sa.Column("ready_at", sa.Double()),
        sa.Column("lease_owner", WORDS),
        sa.Column("lease_until", sa.Double()),
        *_text("claimed_by"),
        sa.Column("parent", WORDS),
        sa.Column("follows", WORDS),
        sa.Column("run_id", WORDS),
        *_time("created_at", "updated_at"),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("id"),
        _of_submission(),
        sa.UniqueConstraint("tenant", "submission_id", "ordinal", name="uq_batches_ordinal"),
        sa.UniqueConstraint("tenant", "follows", name="uq_batches_follows"),
    )
    op.create_index("ix_batches_ready_at", "batches", ["ready_at"])


def _stage_results() -> None:
    op.create_table(
        "stage_results",
        *_text("tenant", "batch_id", "stage", "stage_type", "status", "fingerprint"),
        *_json("outputs", "counts", "origin"),
        *_number("retries", "dead_letters"),
        *_time("started_at", "finished_at"),
        sa.Column("error", LONG_WORDS),
        sa.PrimaryKeyConstraint("tenant", "batch_id", "stage"),
        _of_batch(),
    )


def _waits() -> None:
    op.create_table(
        "waits",
        *_text("tenant", "batch_id", "stage"),
        *_json("condition"),
        *_text("on_timeout"),
        *_time("first_waited_at"),
        sa.Column("deadline_at", sa.Double()),
        *_json("baseline"),
        sa.PrimaryKeyConstraint("tenant", "batch_id", "stage"),
        _of_batch(),
    )


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        *_text("tenant", "submission_id", "stage", "item_id", "batch_id"),
        sa.Column("root", WORDS),
        *_text("error"),
        _long("message"),
        _long("traceback"),
        *_number("attempts"),
        *_text("status"),
        *_time("at"),
        sa.PrimaryKeyConstraint("tenant", "submission_id", "stage", "item_id"),
        _of_submission(),
        _of_batch(),
    )
    op.create_index("ix_dead_letters_batch", "dead_letters", ["tenant", "batch_id", "stage"])


def _signals() -> None:
    op.create_table(
        "signals",
        sa.Column("id", sa.Integer(), primary_key=True),
        *_text("tenant", "submission_id"),
        sa.Column("batch_id", WORDS),
        *_text("name"),
        *_json("value", "attachments"),
        *_text("actor"),
        *_time("at"),
        _of_submission(),
        _of_batch(),
    )
    op.create_index("ix_signals_name", "signals", ["tenant", "submission_id", "name"])


def _seen() -> None:
    op.create_table(
        "seen",
        *_text("tenant", "pipeline", "item", "content_hash", "pipeline_fingerprint", "submission_id"),
        *_time("at"),
        sa.PrimaryKeyConstraint("tenant", "pipeline", "item"),
        _of_submission(),
    )


def _history() -> None:
    op.create_table(
        "history",
        sa.Column("id", sa.Integer(), primary_key=True),
        *_text("tenant", "submission_id"),
        sa.Column("batch_id", WORDS),
        sa.Column("stage", WORDS),
        *_text("event"),
        _long("reason"),
        *_text("actor"),
        *_time("at"),
        *_json("detail"),
        _of_submission(),
    )
    op.create_index("ix_history_submission", "history", ["tenant", "submission_id", "id"])
