"""Circuit breakers and rate limits, which all processes share; and what the calls of a stage came to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# As in the first schema.
WORDS = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, and add the column; results that are there already have no such figures."""
    op.create_table(
        "hosts",
        *(sa.Column(name, WORDS, nullable=False) for name in ("policy", "host")),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.Double()),
        sa.Column("trial", WORDS, nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("trial_until", "next_at")),
        sa.PrimaryKeyConstraint("policy", "host"),
    )
    op.add_column("stage_results", sa.Column("calls", sa.JSON(none_as_null=True)))
