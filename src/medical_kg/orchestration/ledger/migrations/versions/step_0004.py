"""What was seen of an input: which batch is at work on it, and which submission and input it was found by last.

Nothing wrote the table of the first schema, so it is made anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# As in the first schema.
WORDS = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table anew, and add what a stream stage found to the stage results."""
    op.drop_table("seen")
    needed = ("tenant", "pipeline", "item", "input_key", "content_hash", "pipeline_fingerprint")
    op.create_table(
        "seen",
        *(sa.Column(name, WORDS, nullable=False) for name in needed),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("batch_id", WORDS),
        sa.Column("submission_id", WORDS, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "pipeline", "item"),
        sa.ForeignKeyConstraint(["tenant", "submission_id"], ["submissions.tenant", "submissions.id"]),
        sa.ForeignKeyConstraint(["tenant", "batch_id"], ["batches.tenant", "batches.id"]),
    )
    op.create_index("ix_seen_batch", "seen", ["tenant", "batch_id"])
    op.add_column("stage_results", sa.Column("sweep", sa.JSON(none_as_null=True)))
