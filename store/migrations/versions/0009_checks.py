"""Keep what a check of an attribution found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what is there has not been checked."""
    op.add_column("attributions", sa.Column("checked", sa.Text(), nullable=True))
