"""Documents that are forgotten."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from medical_kg.orchestration.contract.database import WORDS

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the list, empty."""
    op.create_table(
        "forgotten",
        sa.Column("tenant", WORDS, nullable=False),
        sa.Column("root", WORDS, nullable=False),
        sa.Column("actor", WORDS, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.Column("remains", sa.JSON(none_as_null=True)),
        sa.PrimaryKeyConstraint("tenant", "root"),
    )
