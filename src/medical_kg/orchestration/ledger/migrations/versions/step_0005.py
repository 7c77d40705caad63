"""Results of single items, kept for later batches by the stages that ask for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# As in the first schema.
WORDS = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "item_results",
        *(sa.Column(name, WORDS, nullable=False) for name in ("tenant", "key", "root", "stage_type")),
        sa.Column("head", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("made_at", "used_at")),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.create_index("ix_item_results_root", "item_results", ["tenant", "root"])
    op.create_index("ix_item_results_used_at", "item_results", ["used_at"])
