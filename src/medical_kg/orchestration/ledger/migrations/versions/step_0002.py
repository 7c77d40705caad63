"""Stage results keep what their fingerprint was made of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; results that are there already have no parts."""
    op.add_column("stage_results", sa.Column("parts", sa.JSON(none_as_null=True)))
